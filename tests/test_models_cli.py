"""Rules of `stream-scorer model train` on the command line."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from models.cli import model
from models.extra import EXTRA
from models.transactions import FEATURES
from stream_scorer.errors import BadInput

pytestmark = pytest.mark.train

HEAVY = tuple(sorted(EXTRA))


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in an interpreter of its own."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_the_command_line_loads_no_library_for_training() -> None:
    found = run_python(f"import sys, models.cli; print(set({HEAVY}) & set(sys.modules))")
    assert found.stdout.strip() == "set()"


def test_help_shows_an_example() -> None:
    shown = CliRunner().invoke(model, ["train", "--help"])
    assert "Example: stream-scorer model train creditcard.csv" in shown.output


def test_a_missing_extra_is_named_in_one_line(tmp_path: Path) -> None:
    absent = "import sys; sys.modules['pandas'] = None"  # as if not installed
    data = tmp_path / "any.csv"
    data.touch()
    arguments = ["model", "train", str(data), "--output", str(tmp_path / "fraud.onnx")]
    found = run_python(f"{absent}; from stream_scorer.cli import main; main({arguments!r})")
    assert found.returncode == 1
    assert found.stderr == (
        "stream-scorer: training needs the extra: pip install 'stream-scorer[train]'\n"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--complete-until", "5"], "--complete-until is given without --genuine-weight"),
        (["--output", "nowhere/fraud.onnx"], "cannot write .* there is no directory nowhere"),
    ],
)
def test_options_that_cannot_work_are_refused_before_training(
    tmp_path: Path, options: list[str], message: str
) -> None:
    arguments = ["train", "any.csv", "--output", str(tmp_path / "fraud.onnx"), *options]
    with pytest.raises(BadInput, match=message):
        CliRunner().invoke(model, arguments, catch_exceptions=False)


def test_a_csv_becomes_a_model_and_a_card_that_tells_how_to_make_it_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(3000, len(FEATURES))), columns=list(FEATURES))
    frauds = rng.random(3000) < 0.2
    rows["V4"] += 9.0 * frauds
    rows["V14"] -= 9.0 * frauds
    rows["Time"] = np.arange(3000)[::-1]
    rows["Class"] = np.where(frauds, "1", '"0"')
    source = tmp_path / "made up.csv"
    rows.to_csv(source, index=False)
    output, card = tmp_path / "made-up.onnx", tmp_path / "card.md"
    arguments = ["train", str(source), "--output", str(output), "--card", str(card)]
    options = ["--genuine-weight", "2.5", "--name", "made-up", "--source", "made up here"]

    shown = CliRunner().invoke(model, [*arguments, *options], catch_exceptions=False)

    assert shown.exit_code == 0
    assert f"SCORER_MODEL={output} stream-scorer check" in shown.stdout
    assert "made up.csv was not in order of Time: sorted" in shown.stdout
    assert [line.strip() for line in shown.stderr.splitlines()][-1] == "100% done"
    assert (
        "stream-scorer model train 'made up.csv' --name made-up --genuine-weight 2.5 "
        "--source 'made up here'"
    ) in card.read_text(encoding="utf-8")
    assert str(tmp_path).encode() not in output.read_bytes() + card.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "card.md",
        "made up.csv",
        "made-up.onnx",
    ]


def test_the_training_file_is_not_written_over(tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text("Time\n1\n")
    with pytest.raises(BadInput, match="would be one file"):
        CliRunner().invoke(model, ["train", str(data), "-o", str(data)], catch_exceptions=False)
    assert data.read_text() == "Time\n1\n"
