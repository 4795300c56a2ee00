"""Log lines: one object each for machines, and every one names its event."""

import ast
import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stream_scorer.logs import AsJson, begin, event, last_line

ROOT = Path(__file__).parents[1]
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


@contextmanager
def no_handlers() -> Iterator[None]:
    """Take the root logger's handlers away, pytest's among them, for the length of the block."""
    kept, logging.root.handlers = logging.root.handlers, []
    try:
        yield
    finally:
        logging.root.handlers = kept


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    logger = logging.getLogger("stream_scorer.test")
    return logger.makeRecord(logger.name, logging.WARNING, "f", 1, message, args, None, extra=extra)


def test_line_is_an_object_with_time_level_event_and_fields() -> None:
    text = AsJson(3).format(record("%d gone", 7, **event("records_gone", count=7)))
    line = json.loads(text)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line.pop("time"))
    assert line == {
        "level": "warning",
        "event": "records_gone",
        "worker": 3,
        "count": 7,
        "logger": "stream_scorer.test",
        "message": "7 gone",
    }
    assert "\n" not in text


def test_line_of_a_library_is_other_and_what_json_has_not_is_text() -> None:
    assert json.loads(AsJson(None).format(record("hello")))["event"] == "other"
    where = event("x", path=Path("/a"), lines="one\ntwo")
    text = AsJson(None).format(record("m", **where))
    assert json.loads(text)["path"] == "/a"
    assert "\n" not in text


def test_last_line_is_in_the_form_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    with no_handlers():
        last_line("the topic is gone", 1)
        assert capsys.readouterr().err == "stream-scorer: the topic is gone\n"
        begin("json")
        last_line("100 % of the records", 3)
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["exit_code"], line["level"]) == ("ended", 3, "critical")
    assert line["message"] == "100 % of the records"


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Yield each call of a logger with where it stands."""
    for file in sorted((ROOT / "stream_scorer").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                of = node.func.value
                if isinstance(of, ast.Name) and of.id == "logger" and node.func.attr in LEVELS:
                    yield f"{file.name}:{node.lineno}", node


def test_every_line_names_its_event() -> None:
    found = list(calls())
    assert len(found) > 30
    without = [
        where for where, call in found if "extra" not in {each.arg for each in call.keywords}
    ]
    assert without == []


def test_readme_lists_every_event_and_no_other() -> None:
    named: set[str] = set()
    for file in (ROOT / "stream_scorer").rglob("*.py"):
        named.update(re.findall(r'\bevent\(\s*f?"([a-z_{}]+)"', file.read_text()))
    named.remove("partitions_{kind}")
    named |= {f"partitions_{kind}" for kind in ("assigned", "revoked", "lost")}
    section = (ROOT / "README.md").read_text().partition("\n## Logs\n")[2].partition("\n## ")[0]
    listed = {
        name
        for row in re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
        for name in re.findall(r"`([a-z_]+)`", row)
    }
    assert listed == named | {"other"}
