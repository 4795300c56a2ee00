"""Rules of `stream-scorer model compare` as its user meets it: one run, its report, bad input."""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import click
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from models import comparison, reading
from models.candidates import FAMILIES, SIDE_BY_SIDE
from models.cli import model
from models.compare_command import conclude, next_step
from models.fits import Budget
from models.imbalance import STRATEGIES
from models.measures import NAMES
from models.order import Order
from models.recipe import RECIPE, Recipe
from models.report import HEADINGS
from models.transactions import Sampling
from producer.generate import csv_lines
from stream_scorer.errors import BadInput

pytestmark = pytest.mark.train

# A name that would be markup if it were not escaped.
NAME = "made up <b>&.csv"
TINY = Budget(
    "tiny",
    settings=1,
    rounds=20,
    svc_genuine_rows=200,
    trees=10,
    epochs=2,
    recipe=Recipe(blocks=2, epochs=8, batch_rows=64, warmup_steps=2, learning_rate=2e-2),
)


@dataclass(frozen=True)
class Run:
    """One comparison of made-up transactions: what it said and wrote."""

    said: Result
    page: str
    figures: dict[str, Any]
    rows: pd.DataFrame
    files: set[str]
    # Shares of the work that were told.
    told: list[float]


def compare(*arguments: str | Path) -> Result:
    """Run the command in this process; an error comes through."""
    return CliRunner().invoke(model, ["compare", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a comparison of 1,500 made-up rows, an eighth of them frauds, on a tiny budget."""
    folder = tmp_path_factory.mktemp("comparison")
    data, page, figures = folder / NAME, folder / "report.html", folder / "figures.json"
    data.write_text("\n".join(csv_lines(1500, seed=3, fraud_rate=0.125)))
    order = Order(
        budget=TINY,
        seed=4,
        threshold=0.7,
        false_alert_cost=3.0,
        missed_fraud_cost=None,
        sampling=Sampling(),
        why_weighted="none",
        command="stream-scorer model compare '<b>'",
        source="made up here",
    )
    told: list[float] = []
    found = comparison.compare(
        reading.read(data, sampling=Sampling()), order, lambda _text, share: told.append(share)
    )

    @click.command()
    def conclusion() -> None:
        conclude(found, data, output=page, json_to=str(figures))

    return Run(
        CliRunner().invoke(conclusion, catch_exceptions=False),
        page.read_text(encoding="utf-8"),
        json.loads(figures.read_text()),
        pd.read_csv(data),
        {each.name for each in folder.iterdir()},
        told,
    )


class Tags(HTMLParser):
    """Collects the tags of a page with their attributes, and checks that they are closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in {"meta", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_command_says_what_came_out_and_what_comes_next(run: Run) -> None:
    assert run.said.exit_code == 0
    assert f"* {run.figures['choice']['name']}" in run.said.stdout
    assert "Next   " in run.said.stdout.splitlines()[-1]
    assert run.files == {NAME, "report.html", "figures.json"}


def test_progress_rises_to_the_whole_and_no_further(run: Run) -> None:
    assert run.told == sorted(run.told)
    assert (run.told[0], run.told[-1]) == (0, 1)


def test_every_kind_of_model_has_every_figure_with_its_interval(run: Run) -> None:
    models = run.figures["models"]
    assert set(models) == {*FAMILIES, RECIPE}
    for each in models.values():
        assert set(each["test"]) == set(NAMES) == set(HEADINGS)
        for figure in each["test"].values():
            assert set(figure) == {"value", "low", "high"}
        assert set(each["classification_report"]) >= {"genuine", "fraud"}
        assert each["reliability"]
        assert each["at_threshold"]["threshold"] == 0.7


def test_what_the_models_learn_from_is_earlier_than_what_tests_them(run: Run) -> None:
    split = run.figures["split"]
    assert split["train"]["time_to"] < split["validation"]["time_from"]
    assert split["validation"]["time_to"] < split["test"]["time_from"]
    assert sum(part["rows"] for part in split.values()) == run.figures["file"]["rows"]


def test_strategies_stand_side_by_side_and_the_best_on_validation_is_compared(run: Run) -> None:
    assert set(run.figures["imbalance"]) == set(SIDE_BY_SIDE)
    for family, strategies in run.figures["imbalance"].items():
        assert list(strategies) == list(STRATEGIES)
        on_validation = {
            name: each["validation_average_precision"]["value"] for name, each in strategies.items()
        }
        taken = run.figures["models"][family]["strategy"]
        assert on_validation[taken] == max(on_validation.values())
        assert strategies[taken]["test"] == run.figures["models"][family]["test"]


def test_the_models_tell_made_up_frauds_apart(run: Run) -> None:
    for name, each in run.figures["models"].items():
        assert each["test"]["roc_auc"]["value"] > 0.8, name


def test_a_balanced_test_flatters_the_precision(run: Run) -> None:
    flattered = [
        each["on_balanced_test"]["precision"]["value"] - each["on_whole_test"]["precision"]["value"]
        for each in run.figures["balanced"]["models"]
        if each["on_whole_test"]["precision"]["value"] is not None
    ]
    assert flattered
    assert sum(flattered) > 0


def test_the_report_loads_nothing_and_runs_nothing(run: Run) -> None:
    tags = Tags(run.page)
    assert not tags.open
    kinds = {tag for tag, _ in tags.found}
    assert not kinds & {"script", "link", "iframe", "object", "embed", "base", "form", "video"}
    for tag, attributes in tags.found:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "srcset", "background", "data", "poster", "action"):
            assert (attributes.get(name) or "data:").startswith("data:"), (tag, name)
        assert (attributes.get("href") or "#").startswith("#")
    style = run.page.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "http" not in re.sub(r"data:[^\"]+", "", run.page).replace("http-equiv", "")


def test_every_picture_has_a_text_and_every_entry_of_the_contents_leads_somewhere(run: Run) -> None:
    tags = Tags(run.page).found
    pictures = [attributes for tag, attributes in tags if tag == "img"]
    assert len(pictures) == 7
    assert all(len(each["alt"] or "") > 20 for each in pictures)
    places = Counter(attributes["id"] for _, attributes in tags if "id" in attributes)
    links = [attributes["href"] or "" for tag, attributes in tags if tag == "a"]
    assert {link.removeprefix("#") for link in links} == set(places)
    assert set(places.values()) == {1}


def test_the_report_has_the_figures_of_the_json_and_says_how_to_get_them_again(run: Run) -> None:
    for each in run.figures["models"].values():
        assert f"<td>{each['test']['average_precision']['value']:.3f}" in run.page
    assert run.figures["file"]["sha256"] in run.page
    assert "made up here" in run.page
    assert "stream-scorer model compare &#39;&lt;b&gt;&#39;" in run.page
    assert "<b>" not in run.page


def test_no_transaction_is_in_the_report_or_the_json(run: Run) -> None:
    text = run.page + json.dumps(run.figures)
    for _, row in run.rows.iterrows():
        # Single values may be a quantile; two of one row would begin to show it.
        assert f"{row['V1']!r}" not in text or f"{row['V2']!r}" not in text


# Bad input.


def good() -> pd.DataFrame:
    lines = list(csv_lines(60, seed=3, fraud_rate=0.5))
    rows = [list(map(float, line.split(","))) for line in lines[1:]]
    return pd.DataFrame(rows, columns=lines[0].split(","))


def doubled(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([rows, rows[["V5"]]], axis=1)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda rows: rows.drop(columns="V7"), "lacks the column V7; want Time, V1"),
        (doubled, "has the column V5 more than once; want it once"),
        (lambda rows: rows.assign(V3="high"), "V3 is high in row 1 .* want a finite number"),
        (lambda rows: rows.assign(Class=0), "Class is 0 in all 60 rows; want frauds"),
        (lambda rows: rows.assign(Class=1), "Class is 1 in all 60 rows; want frauds"),
        (lambda rows: rows.assign(Class=2), "Class is 2.* in row 1; want 0 or 1"),
        (lambda rows: rows[:0], "has no rows; want labelled transactions"),
        (lambda rows: rows, r"\d+ of the \d+ \w+ rows are frauds; want at least 10"),
    ],
)
def test_a_file_that_cannot_be_compared_is_refused_and_nothing_is_written(
    tmp_path: Path, spoil: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    data = tmp_path / "data.csv"
    spoil(good()).to_csv(data, index=False)
    with pytest.raises(BadInput, match=message) as raised:
        compare(data, "-o", tmp_path / "report.html", "--json", tmp_path / "figures.json")
    assert "\n" not in str(raised.value)
    assert [each.name for each in tmp_path.iterdir()] == ["data.csv"]


def test_a_truncated_parquet_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data.parquet"
    good().to_parquet(data)
    data.write_bytes(data.read_bytes()[:-200])
    with pytest.raises(BadInput, match=r"data\.parquet is no readable CSV or Parquet file"):
        compare(data, "-o", tmp_path / "report.html")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--full", "--genuine-weight", "2"], "--full is given with weights"),
        (["--complete-until", "5"], "--complete-until is given without --genuine-weight"),
        (["-o", "nowhere/report.html"], "there is no directory nowhere"),
        (["--json", "report.html"], "would be one file"),
        (["--json", "/"], "cannot write /: it is a directory"),
        (["--full"], "data.csv has 60 rows, .* want the complete creditcard.csv"),
    ],
)
def test_options_that_cannot_work_are_refused(
    tmp_path: Path, options: list[str], message: str
) -> None:
    data = tmp_path / "data.csv"
    good().to_csv(data, index=False)
    with pytest.raises(BadInput, match=message):
        compare(data, *options)


def test_json_without_a_file_is_all_that_stdout_has(tmp_path: Path, run: Run) -> None:
    @click.command()
    def conclusion() -> None:
        conclude(run.figures, tmp_path / NAME, output=tmp_path / "page.html", json_to="-")

    said = CliRunner().invoke(conclusion, catch_exceptions=False)
    assert json.loads(said.stdout) == run.figures
    assert "Report " in said.stderr


def test_the_next_step_keeps_the_weights() -> None:
    file = {"genuine_weight": 4.9, "complete_until": 19899.0}
    figures = {"choice": {"name": RECIPE}, "file": file}
    assert next_step(figures, Path("my data.csv"), "-") == (
        "stream-scorer model train 'my data.csv' --genuine-weight 4.9 --complete-until 19899"
    )
    other = {"choice": {"name": "shallow net"}, "file": file}
    assert "stream-scorer model convert" in next_step(other, Path("data.csv"), None)


def test_the_next_step_carries_the_figures_that_were_written() -> None:
    file = {"genuine_weight": 1.0, "complete_until": None}
    figures = {"choice": {"name": RECIPE}, "file": file}
    assert next_step(figures, Path("data.csv"), "my figures.json") == (
        "stream-scorer model train data.csv --comparison 'my figures.json'"
    )


def test_the_data_are_never_written_over(tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    good().to_csv(data, index=False)
    before = data.read_bytes()
    for option in ("-o", "--json"):
        with pytest.raises(BadInput, match="would be one file"):
            compare(data, option, data)
    assert data.read_bytes() == before
