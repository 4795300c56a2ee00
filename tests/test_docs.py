"""The docs say what is true: settings, metrics, commands and decisions are held to the code."""

import json
import re
from pathlib import Path

from prometheus_client import CollectorRegistry

from stream_scorer import __version__, certificates
from stream_scorer.cli import COMMANDS
from stream_scorer.config import PREFIX, Settings
from stream_scorer.metrics import Metrics
from stream_scorer.model import Model
from stream_scorer.monitor.board import Board, record
from stream_scorer.monitor.figures import figures

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def first_cells(heading: str) -> list[str]:
    """Return the code in the first cell of each row of the table under a heading."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `([^`]+)`", section, flags=re.MULTILINE)


def test_readme_lists_every_setting_and_no_other() -> None:
    settings = [PREFIX + name.upper() for name in Settings.model_fields if name != "kafka"]
    assert first_cells("Settings") == [*settings, "SCORER_KAFKA_<KEY>"]


def test_readme_gives_every_settings_default() -> None:
    for name, field in Settings.model_fields.items():
        if name not in {"kafka", "model", "sinks"} and field.default not in ("", None, {}):
            row = next(r for r in README.splitlines() if f"| `{PREFIX}{name.upper()}`" in r)
            assert f"`{field.default}`" in row, row


def test_readme_lists_every_metric_and_no_other(tiny: Model) -> None:
    registry = CollectorRegistry()
    Metrics(registry, tiny)
    certificates.gauge(registry)
    suffix = {"counter": "_total", "info": "_info"}
    names = [
        family.name + suffix.get(family.type, "")
        for family in registry.collect()
        if family.name.startswith("scorer_")
    ]
    assert sorted(first_cells("Metrics")) == sorted(names)


def test_readme_lists_every_metric_of_the_monitor_and_no_other() -> None:
    registry = CollectorRegistry()
    Board(registry, top_k=1)
    suffix = {"counter": "_total"}
    names = [family.name + suffix.get(family.type, "") for family in registry.collect()]
    assert sorted(first_cells("Live quality")) == sorted(names)


def test_readme_shows_a_record_of_figures_as_it_is_written() -> None:
    section = README.split("\n## Live quality\n")[1]
    shown = json.loads(section.split("```json\n")[1].split("```")[0])
    told = json.loads(record(("day", 1_700_006_400_000, ""), figures({}, top_k=100))[1])
    assert list(shown) == list(told)
    for part in ("top_k", "label_delay", "alert_to_label"):
        assert list(shown[part]) == list(told[part])


def test_readme_names_every_command() -> None:
    assert {cell.split()[0] for cell in first_cells("Commands")} == set(COMMANDS)


def test_decisions_are_numbered_and_short() -> None:
    text = (ROOT / "stream_scorer" / "DECISIONS.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (\d+)\. ", text, flags=re.MULTILINE)[1:]
    assert [int(n) for n in parts[::2]] == list(range(1, len(parts) // 2 + 1))
    assert all(len(body.strip().splitlines()) <= 11 for body in parts[1::2])


def test_changelog_begins_with_what_is_not_released_and_knows_this_version_or_none() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert headings[1:] == [] or headings[1] == __version__


def test_links_in_the_docs_lead_somewhere() -> None:
    own = [str(each.relative_to(ROOT)) for each in (ROOT / "docs").glob("*/*.md")]
    names = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "models/search.md", *own)
    for name in (each for each in names if "docs/reference" not in each):
        text = (ROOT / name).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
            beside = (ROOT / name).parent / target
            made = beside.resolve().parent == ROOT / "docs" / "reference"  # by `make docs`
            assert target.startswith("http") or made or beside.exists(), target
