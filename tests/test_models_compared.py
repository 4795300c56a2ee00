"""Rules of the comparison in a bundle: typed as a user types it, from the data to the card."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from models import bundle, compared
from models.candidates import FAMILIES
from models.cli import model
from models.recipe import RECIPE
from models.transactions import FEATURES
from stream_scorer.errors import BadInput

pytestmark = pytest.mark.train

DATA = "made up.csv"


def typed(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the program in `folder`, which must succeed."""
    ran = subprocess.run(
        [sys.executable, "-m", "stream_scorer", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with made-up transactions and what `model compare --quick` made of them."""
    folder = tmp_path_factory.mktemp("compared")
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(2000, len(FEATURES))), columns=list(FEATURES))
    frauds = rng.random(2000) < 0.05
    rows["V4"] += 2.0 * frauds
    rows["V14"] -= 3.0 * frauds
    rows["Time"] = np.arange(2000) * 30.0
    rows["Class"] = frauds.astype(int)
    rows.to_csv(folder / DATA, index=False)
    typed(folder, "model", "compare", DATA, "--quick", "-o", "page.html", "--json", "found.json")
    return folder


def test_a_quick_comparison_measures_every_kind_and_its_page_needs_no_network(folder: Path) -> None:
    found = json.loads((folder / "found.json").read_text())
    assert found["budget"]["name"] == "quick"
    assert set(found["models"]) == {*FAMILIES, RECIPE}
    for each in found["models"].values():
        assert None not in each["test"]["average_precision"].values()
    page = (folder / "page.html").read_text()
    assert page.count("<svg") + page.count("<img") > 5
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", page)


def test_the_figures_of_a_comparison_get_into_the_bundle_and_its_card(folder: Path) -> None:
    said = typed(folder, "model", "train", DATA, "--comparison", "found.json", "-o", "my.onnx")
    found = json.loads((folder / "found.json").read_text())
    carried = json.loads(bundle.metadata_texts((folder / "my.onnx").read_bytes())["comparison"])
    card = (folder / "my.md").read_text()
    assert "SCORER_MODEL=my.onnx" in said.stdout
    assert list(carried["models"]) == found["choice"]["by_validation"]
    for name, each in carried["models"].items():
        assert each["average_precision"] == found["models"][name]["test"]["average_precision"]
        assert f"{each['average_precision']['value']:.3f} [" in card
    assert f"| **{found['choice']['name']}** |" in card
    assert found["command"] in card
    assert "--comparison found.json" in card


def report_with(folder: Path, **changes: Any) -> Path:
    """Write a comparison with some parts replaced; return its path."""
    path = folder / "changed.json"
    path.write_text(json.dumps(json.loads((folder / "found.json").read_text()) | changes))
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": {}}, "is no comparison; want what model compare --json wrote"),
        ({"choice": None}, "is no comparison"),
        (
            {"file": {"sha256": "ab", "weights": "none"}},
            "compares on a file of sha256 ab; want one",
        ),
    ],
)
def test_a_report_that_is_none_or_of_other_data_is_refused(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        compared.read(report_with(folder, **changes), sha256="cd")


def test_a_comparison_is_never_written_over(folder: Path) -> None:
    before = (folder / "found.json").read_bytes()
    words = ["train", str(folder / DATA), "--comparison", str(folder / "found.json")]
    with pytest.raises(BadInput, match="would be one file"):
        CliRunner().invoke(
            model, [*words, "-o", str(folder / "found.json")], catch_exceptions=False
        )
    assert (folder / "found.json").read_bytes() == before
