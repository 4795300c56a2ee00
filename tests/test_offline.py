"""Scoring a file: a result for every row, or the reason why there is none."""

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from openpyxl import Workbook

from stream_scorer.cli import cli
from tests.bundles import NAMES, probability

ROWS = [[1.0, 0.5, 20.0], [2.0, 3.0, 10.0], [3.0, -1.0, 500.0]]


def score(model: Path, *arguments: str, stdin: str | None = None) -> Result:
    command = ["score", *arguments, "--model", str(model)]
    return CliRunner().invoke(cli, command, input=stdin, standalone_mode=False)


def write_csv(path: Path, rows: list[list[object]], names: tuple[str, ...] = NAMES) -> Path:
    lines = [",".join(names), *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def results(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "rows.csv", ROWS)  # type: ignore[arg-type]


def test_every_row_gets_its_probability_and_decision(tiny_path: Path, table: Path) -> None:
    rows = results(score(tiny_path, str(table), "-o", "-").stdout)
    assert [float(row["probability"]) for row in rows] == pytest.approx(probability(ROWS), abs=1e-6)
    assert [row["decision"] for row in rows] == ["genuine", "fraud", "genuine"]
    assert [row["line"] for row in rows] == ["2", "3", "4"]
    assert rows[1]["reasons"] == "V1=3 (+6.0)"


def test_columns_are_found_by_name_in_any_order(tiny_path: Path, table: Path) -> None:
    turned = write_csv(
        table.with_name("turned.csv"),
        [[a, "x", t, v, 1] for t, v, a in ROWS],
        ("Amount", "note", "Time", "V1", "Class"),
    )
    both = [results(score(tiny_path, str(path), "-o", "-").stdout) for path in (table, turned)]
    assert [r["probability"] for r in both[0]] == [r["probability"] for r in both[1]]


def test_row_that_cannot_be_scored_says_why_and_the_others_are_scored(
    tiny_path: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.csv"
    broken.write_text("Time,V1,Amount\n1,0,5\n2,abc,5\n3,1\n4,nan,5\n5,,5\n6,1,5\n")
    rows = results(score(tiny_path, str(broken), "-o", "-").stdout)
    assert [row["decision"] for row in rows] == [
        "genuine", "not scored", "not scored", "not scored", "not scored", "genuine",
    ]  # fmt: skip
    assert rows[1]["reasons"] == "TYPE: Expected `float`, got `str` - at `$.V1`"
    assert rows[2]["reasons"] == "2 fields, want 3"


def test_summary_counts_the_file(tiny_path: Path, table: Path) -> None:
    done = score(tiny_path, str(table), "--json")
    summary = json.loads(done.stdout)
    assert {k: summary[k] for k in ("rows", "fraud", "genuine", "not_scored")} == {
        "rows": 3, "fraud": 1, "genuine": 2, "not_scored": 0,
    }  # fmt: skip
    assert [row["line"] for row in summary["riskiest"]] == [3, 4, 2]


def test_xlsx_and_standard_input_give_what_the_csv_gives(tiny_path: Path, table: Path) -> None:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    for row in (list(NAMES), *ROWS):
        sheet.append(row)
    book.save(table.with_suffix(".xlsx"))
    given = [
        results(score(tiny_path, str(table), "-o", "-").stdout),
        results(score(tiny_path, str(table.with_suffix(".xlsx")), "-o", "-").stdout),
        results(score(tiny_path, "-", "-o", "-", stdin=table.read_text()).stdout),
    ]
    assert given[0]
    for other in given[1:]:
        assert [row["probability"] for row in other] == [row["probability"] for row in given[0]]


def test_lacking_column_is_named(tiny_path: Path, tmp_path: Path) -> None:
    table = write_csv(tmp_path / "less.csv", [[1, 2]], ("Time", "V1"))
    done = score(tiny_path, str(table))
    assert "lacks Amount" in str(done.exception)


def test_file_without_a_row_to_score_is_a_failure(tiny_path: Path, tmp_path: Path) -> None:
    table = write_csv(tmp_path / "bad.csv", [["a", "b", "c"]])
    assert "no row could be scored" in str(score(tiny_path, str(table)).exception)


def test_input_is_never_overwritten(tiny_path: Path, table: Path) -> None:
    before = table.read_bytes()
    assert "is the file that is read" in str(
        score(tiny_path, str(table), "-o", str(table)).exception
    )
    assert table.read_bytes() == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_full_disk_is_one_line(tiny_path: Path, table: Path) -> None:
    assert "No space left" in str(score(tiny_path, str(table), "-o", "/dev/full").exception)


def test_results_go_to_a_file(tiny_path: Path, table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    done = score(tiny_path, str(table), "-o", str(out))
    assert (done.return_value, len(results(out.read_text()))) == (0, 3)
    assert "cannot" not in done.stdout
    denied = score(tiny_path, str(table), "-o", str(tmp_path / "none" / "out.csv"))
    assert "No such file" in str(denied.exception)
