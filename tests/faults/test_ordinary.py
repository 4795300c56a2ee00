"""What shows an ordinary row is there, and what shows nothing does not pass."""

import json
import re
from pathlib import Path

import pytest

from tests.faults.ordinary import ROWS, Ordinary, longest, run_ordinary, uncaught
from tests.faults.registry import NOT_HERE, all_rows

NAMED = sorted({each for row in ROWS for each in row.tests})


@pytest.mark.parametrize("name", NAMED)
def test_each_test_that_is_named_is_there(name: str) -> None:
    file, _, function = name.partition("::")
    assert re.search(rf"^def {function}", Path(file).read_text(encoding="utf-8"), re.MULTILINE)


def test_each_row_of_the_scorecard_is_run_or_has_a_reason() -> None:
    ids = [*(row.id for row in ROWS), *all_rows(), *NOT_HERE]
    assert len(ids) == len(set(ids))
    assert {f"R{n:02}" for n in range(1, 58)} <= {each[:3] for each in ids}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("def test_a() -> None: ...", True),
        ("def test_a() -> None: raise ValueError", False),
        ("import pytest\n\n@pytest.mark.skip\ndef test_a() -> None: ...", False),
        ("", False),
    ],
    ids=["passes", "fails", "is skipped", "is not there"],
)
def test_row_holds_if_its_tests_pass(tmp_path: Path, text: str, *, holds: bool) -> None:
    path = tmp_path / "test_one.py"
    path.write_text(text)
    said: list[str] = []
    (shown,) = run_ordinary([Ordinary("R99", "t", (str(path),))], quick=True, say=said.append)
    assert shown.holds == holds
    assert said[0].startswith("CHECK R99: 1 tests passed [" if holds else "CHECK R99: BROKEN ")


@pytest.mark.parametrize(
    ("script", "holds"), [(("-c", "print('all well')"), True), (("-c", "1 / 0"), False)]
)
def test_row_holds_if_its_script_ends_well(script: tuple[str, ...], *, holds: bool) -> None:
    (shown,) = run_ordinary([Ordinary("R99", "t", script=script)], quick=False, say=lambda _: None)
    assert (shown.holds, shown.found) == (holds, "all well" if holds else "")


def test_hard_records_may_take_as_long_as_the_scorecard_says() -> None:
    assert longest(json.dumps({"longest_ms": {"a": {"last": 49.0}}})).startswith("max_ms=49.0")
    with pytest.raises(AssertionError, match="want 50"):
        longest(json.dumps({"longest_ms": {"a": {"last": 49.0, "reject": 51.0}}}))


def test_both_fuzzers_must_say_something() -> None:
    line = "CHECK R42 {}: uncaught=0 of 10 in 1 s (scored 10)"
    both = "\n".join(line.format(name) for name in ("examples", "mutations"))
    assert uncaught(both).startswith("examples: uncaught=0 of 10")
    with pytest.raises(AssertionError, match="want a line"):
        uncaught(line.format("examples"))
