"""What-if on files and on what topics hold: how they are joined, and each wrong input in a line."""

import json
import subprocess
import sys
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Message
from pyarrow import parquet

from stream_scorer.cli import cli
from stream_scorer.errors import BadInput
from stream_scorer.records import Place, Record
from stream_scorer.what_if.figures import Costs, best, figures_at
from stream_scorer.what_if.from_topics import LabelReader, ScoreReader, choose
from stream_scorer.what_if.showing import Answer, as_table, sentences
from stream_scorer.what_if.sides import Side
from tests.bundles import probability, write_bundle
from tests.records import TOPIC, event, record

HEADER = "Time,V1,Amount,Class"
DAY = 86_400
# V1 3 is a probability of 0.95, 2.2 of 0.80, 1 of 0.27, 0 of 0.05 (Amount 0).
ROWS = f"0,3,0,1\n10,3,0,0\n20,2.2,50,1\n30,1,10,1\n40,0,0,0\n{DAY},0,1,0\n"


def what_if(model: Path, *arguments: str) -> Result:
    command = ["what-if", *arguments, "--model", str(model)]
    return CliRunner().invoke(cli, command, standalone_mode=False)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "labelled.csv"
    path.write_text(f"{HEADER}\n{ROWS}")
    return path


def figures(result: Result, threshold: float, *, model: int = 0) -> dict[str, Any]:
    assert result.exception is None, result.output
    rows = json.loads(result.stdout)["models"][model]["thresholds"]
    found: dict[str, Any] = next(row for row in rows if row["threshold"] == threshold)
    return found


def test_file_is_scored_and_its_figures_are_counted(tiny_path: Path, table: Path) -> None:
    at = figures(what_if(tiny_path, str(table), "--json", "--false-alert-cost", "7"), 0.8)
    assert at == {
        "threshold": 0.8, "alerts": 3.0, "alerts_a_day": 3.0, "frauds_caught": 2,
        "false_alerts": 1.0, "precision": 2 / 3, "recall": 2 / 3, "money_caught": 50.0,
        "money_missed": 10.0, "cost": 17.0, "within_capacity": True,
    }  # fmt: skip


def test_probabilities_are_the_streams(tiny_path: Path, table: Path) -> None:
    edge = float(str(np.float32(probability([[30, 1, 10]])[0])))
    result = what_if(tiny_path, str(table), "--json", "--threshold", str(edge))
    assert figures(result, edge)["frauds_caught"] == 3


def test_genuine_rows_count_with_their_weight_and_a_number_may_stand_for_a_missed_fraud(
    tiny_path: Path, table: Path
) -> None:
    costs = ("--false-alert-cost", "1", "--missed-fraud-cost", "100", "--genuine-weight", "10")
    at = figures(what_if(tiny_path, str(table), "--json", *costs), 0.8)
    assert (at["false_alerts"], at["precision"], at["cost"]) == (10.0, 2 / 12, 110.0)
    assert at["alerts_a_day"] == 12.0


def test_capacity_alone_asks_for_the_most_frauds_within_it(tiny_path: Path, table: Path) -> None:
    result = what_if(tiny_path, str(table), "--json", "--alerts-a-day", "3")
    found = json.loads(result.stdout)["models"][0]["best"]
    assert (found["figures"]["frauds_caught"], found["figures"]["alerts"]) == (2, 3)
    assert found["cost_interval"] is None
    assert not figures(result, 0.2)["within_capacity"]


def test_rows_without_label_and_bad_rows_are_said_and_left_out(
    tiny_path: Path, table: Path
) -> None:
    table.write_text(f"{HEADER}\n{ROWS}50,3,1,\n60,abc,1,0\n70,1\n80,1,1,maybe\n")
    result = what_if(tiny_path, str(table), "--json")
    side = json.loads(result.stdout)["models"][0]
    assert (side["frauds"], side["genuine"], side["unlabelled"], side["left_out"]) == (3, 3, 1, 3)
    assert side["left_out_example"] == "line 10: 2 fields, want 4"
    at = figures(result, 0.8)
    assert (at["alerts"], at["frauds_caught"], at["false_alerts"]) == (4, 2, 1)
    shown = what_if(tiny_path, str(table)).stdout
    assert "1 without a label" in shown
    assert "not in precision, recall, money and cost" in shown
    assert "3 left out, such as line 10: 2 fields" in shown


def test_repeated_transaction_id_counts_once_with_its_last_row(
    tiny_path: Path, tmp_path: Path
) -> None:
    table = tmp_path / "ids.csv"
    table.write_text(
        "transaction_id,Time,V1,Amount,Class\na,0,3,0,0\nb,1,0,0,0\na,2,3,5,1\nc,86400,0,0,0\n"
    )
    result = what_if(tiny_path, str(table), "--json")
    side = json.loads(result.stdout)["models"][0]
    assert (side["frauds"], side["genuine"], side["repeated"]) == (1, 2, 1)


def test_two_models_are_shown_side_by_side(tiny_path: Path, table: Path, tmp_path: Path) -> None:
    other = write_bundle(tmp_path / "other.onnx", weights=(0.0, 2.0, 0.01 + 1e-9))
    result = what_if(tiny_path, str(table), "--json", "--against", str(other))
    assert figures(result, 0.8, model=0) == figures(result, 0.8, model=1)
    hashes = {side["sha256"] for side in json.loads(result.stdout)["models"]}
    assert len(hashes) == 2
    shown = what_if(tiny_path, str(table), "--against", str(other), "--false-alert-cost", "1")
    assert shown.stdout.count("Best for tiny 7") == 2
    assert "scored different transactions" not in shown.stdout
    same = what_if(tiny_path, str(table), "--against", str(tiny_path))
    assert "is the same model" in str(same.exception)


def test_file_without_time_or_amount_leaves_out_what_needs_them(
    tmp_path: Path, table: Path
) -> None:
    table.write_text("V1,Class\n3,1\n3,0\n0,0\n")
    one = write_one_feature(tmp_path / "one.onnx")
    result = what_if(one, str(table), "--json")
    at = figures(result, 0.8)
    assert (at["alerts"], at["alerts_a_day"], at["money_caught"], at["recall"]) == (
        2,
        None,
        None,
        1,
    )
    shown = what_if(one, str(table)).stdout
    assert "No money: the Amount of 1 of the frauds is not known." in shown
    assert "No alerts a day" in shown
    cost = what_if(one, str(table), "--false-alert-cost", "1")
    assert "the Amount of 1 of 1 frauds is not known; give a number" in str(cost.exception)
    limit = what_if(one, str(table), "--alerts-a-day", "1")
    assert "span no time" in str(limit.exception)


def write_one_feature(path: Path) -> Path:
    """Write a bundle that takes V1 only."""
    p = [float(1 / (1 + np.exp(3.0))), float(1 / (1 + np.exp(-3.0)))]
    entries = {
        "bundle_schema": "1",
        "name": "one",
        "version": "1",
        "feature_names": '["V1"]',
        "baseline": "[0.0]",
        "golden": json.dumps({"features": [[0.0], [3.0]], "logit": [-3, 3], "probability": p}),
    }
    return write_bundle(path, entries, weights=(2.0,))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        (f"{HEADER}\n", "could score no row"),
        (f"{HEADER}\n1,a,2,0\n", "could score no row, such as line 2: TYPE"),
        (f"{HEADER}\n1,2,3,9\n", "could score no row, such as line 2: Class is 9"),
        (f"{HEADER}\n1,2,3,0\n2,2,3,0\n", "2 labelled transactions that tiny 7 scored is no fraud"),
        (f"{HEADER}\n1,2,3,1\n", "is no genuine one"),
        (f"{HEADER}\n1,2,3,\n", "none of the 1 transactions that tiny 7 scored has a label"),
        ("Time,V1,Amount\n1,2,3\n", "lacks Class"),
        ("Time,Amount,Class\n1,2,0\n", "lacks V1"),
        ("Time,V1,V1,Amount,Class\n1,2,2,3,0\n", "two columns are named 'V1'"),
    ],
)
def test_input_that_cannot_be_compared_is_one_line(
    tiny_path: Path, table: Path, text: str, says: str
) -> None:
    table.write_text(text)
    error = what_if(tiny_path, str(table)).exception
    assert isinstance(error, BadInput)
    assert says in str(error)
    assert "\n" not in str(error)


def test_truncated_parquet_is_one_line(tiny_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.parquet"
    columns = {name: [1.0, 2.0] for name in HEADER.split(",")}
    parquet.write_table(pa.table(columns), path)
    path.write_bytes(path.read_bytes()[:-20])
    assert "no readable Parquet file" in str(what_if(tiny_path, str(path)).exception)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--missed-fraud-cost", "3"],
        ["--false-alert-cost", "nan"],
        ["--false-alert-cost", "-1"],
        ["--false-alert-cost", "1", "--missed-fraud-cost", "much"],
        ["--false-alert-cost", "1", "--missed-fraud-cost", "inf"],
        ["--alerts-a-day", "0"],
        ["--genuine-weight", "0"],
        ["--false-alert-cost", "1e300"],
        ["--false-alert-cost", "1", "--missed-fraud-cost", "1e300"],
    ],
    ids=" ".join,
)
def test_wrong_option_is_a_usage_error(tiny_path: Path, table: Path, arguments: list[str]) -> None:
    done = CliRunner().invoke(cli, ["what-if", str(table), "--model", str(tiny_path), *arguments])
    assert (done.exit_code, "Error: " in done.output) == (2, True)


def test_number_that_is_no_amount_and_no_time_is_not_known(tiny_path: Path, table: Path) -> None:
    table.write_text(f"{HEADER}\n0,3,1e16,1\n1e16,3,5,1\n5,0,5,0\n{DAY},0,5,0\n")
    result = what_if(tiny_path, str(table), "--json")
    assert json.loads(result.stdout)["models"][0]["days"] == 1.0
    assert figures(result, 0.8)["money_missed"] is None


def test_costs_of_nothing_are_nothing(tiny_path: Path, table: Path) -> None:
    table.write_text(f"{HEADER}\n0,3,0.1,1\n9,3,0.2,1\n5,3,0.7,1\n{DAY},0,5,0\n")
    result = what_if(tiny_path, str(table), "--json", "--false-alert-cost", "0")
    best = json.loads(result.stdout)["models"][0]["best"]
    assert best["cost_interval"] == [0.0, 0.0]
    assert figures(result, 0.99)["money_caught"] == 0.0


@pytest.mark.train
@pytest.mark.parametrize("kind", ["svg", "png"])
def test_picture_is_written_whole_and_the_same_each_time(
    tiny_path: Path, table: Path, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / f"picture.{kind}"
    written = []
    for _ in range(2):
        done = what_if(tiny_path, str(table), "--false-alert-cost", "1", "--picture", str(path))
        assert done.exception is None
        written.append(path.read_bytes())
    assert written[0] == written[1]
    assert written[0].startswith(b"<?xml" if kind == "svg" else b"\x89PNG")
    assert [each.name for each in tmp_path.iterdir() if "unfinished" in each.name] == []


@pytest.mark.train
def test_picture_that_cannot_be_written_is_refused_before_any_work(
    tiny_path: Path, table: Path, tmp_path: Path
) -> None:
    for name, says in (("p.pdf", "ends in .svg or .png"), ("none/p.svg", "there is no directory")):
        done = what_if(tiny_path, str(table), "--picture", str(tmp_path / name))
        assert says in str(done.exception)


def test_picture_without_matplotlib_says_what_to_install(table: Path) -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None; from stream_scorer.cli import main; "
        f"main(['what-if', {str(table)!r}, '--picture', 'p.svg'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr == (
        "stream-scorer: --picture needs matplotlib: pip install 'stream-scorer[train]'\n"
    )


SHA = "a" * 64


def score(offset: int, identity: str, p: float, **changes: Any) -> Message:
    """Return a score as it stands on its topic; its source has the offset of the score."""
    value = {
        "transaction_id": identity,
        "probability": p,
        "model": {"version": "1", "sha256": changes.pop("sha256", SHA)},
        "source": {
            "topic": TOPIC, "partition": 0, "offset": offset, "timestamp_ms": 1_000 * offset,
        },
    }  # fmt: skip
    return record(offset, json.dumps(value).encode(), topic="scores", **changes)


def label(offset: int, identity: str, truth: int | None, **changes: Any) -> Message:
    value = {"schema_version": 1, "transaction_id": identity, "label": truth, "source": "replay"}
    return record(offset, json.dumps(value).encode(), topic="labels", **changes)


def fetch(places: Collection[Place]) -> Iterator[tuple[Place, Record | str]]:
    """Give each source; its Amount is its offset; 9 is gone and 8 is another record by now."""
    for place in sorted(places):
        offset = place[2]
        time = (1, 5 if offset == 8 else 1_000 * offset)
        source = record(offset, event(Amount=float(offset)), timestamp=time)
        yield place, "gone" if offset == 9 else source


def side(scores: list[Message], labels: list[Message]) -> Side:
    score_reader, label_reader = ScoreReader(), LabelReader()
    score_reader.read(scores)
    label_reader.read(labels)
    return score_reader.side(SHA, label_reader, fetch, genuine_weight=1.0)


SCORES = [score(1, "a", 0.9), score(2, "b", 0.2), score(3, "c", 0.6), score(4, "d", 0.7)]
LABELS = [label(0, "a", 1), label(1, "b", 0), label(2, "d", 1)]


def test_withdrawn_label_leaves_the_transaction_unlabelled() -> None:
    found = side(SCORES, [*LABELS, label(3, "d", None)]).scored
    assert found.frauds.tolist() == [np.float32(0.9)]
    assert np.float32(0.7) in found.unlabelled


def test_scores_and_labels_are_joined_by_id_and_frauds_get_the_amount_of_their_source() -> None:
    found = side(SCORES, LABELS).scored
    assert found.frauds.tolist() == [np.float32(0.7), np.float32(0.9)]
    assert found.amounts.tolist() == [4.0, 1.0]
    assert found.genuine.tolist() == [np.float32(0.2)]
    assert found.unlabelled.tolist() == [np.float32(0.6)]
    assert found.days == 3 / 86_400


def test_latest_label_wins_in_whatever_order_partitions_are_read() -> None:
    later = label(0, "b", 1, partition=1, timestamp=(1, 1_700_000_000_001))
    for labels in ([*LABELS, later], [later, *LABELS]):
        assert (
            len(side([*SCORES, score(5, "e", 0.1)], [*labels, label(9, "e", 0)]).scored.frauds) == 3
        )


def test_repeated_score_counts_once_with_the_latest() -> None:
    again = score(7, "a", 0.3, timestamp=(1, 1_700_000_000_001))
    for scores in ([*SCORES, SCORES[1], again], [again, SCORES[1], *SCORES]):
        found = side(scores, LABELS)
        assert found.repeated == 2
        assert found.scored.frauds.tolist() == [np.float32(0.3), np.float32(0.7)]
        assert found.scored.amounts.tolist() == [7.0, 4.0]


@pytest.mark.parametrize("offset", [8, 9])
def test_fraud_whose_source_is_gone_or_replaced_has_no_amount(offset: int) -> None:
    found = side([*SCORES, score(offset, "x", 0.8)], [*LABELS, label(3, "x", 1)])
    assert not found.scored.has_money
    assert np.isnan(found.scored.amounts).sum() == 1


@pytest.mark.parametrize(
    "value",
    [
        None, b"", b"{", b"{}", b"\xff",
        score(1, "x", 1.5).value(),
    ],
)  # fmt: skip
def test_what_is_no_score_or_no_label_is_counted_and_left_out(value: bytes | None) -> None:
    bad = record(77, value, topic="bad")
    scores, labels = ScoreReader(), LabelReader()
    scores.read([*SCORES, bad])
    labels.read([bad, *LABELS])
    for reader, count in ((scores, 4), (labels, 3)):
        assert (len(reader), reader.bad.count) == (count, 1)
        assert reader.bad.example.startswith("bad/0/77: ")


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([label(0, "nobody", 1)], "none of the 4 transactions"),
        ([label(0, "a", 1)], "is no genuine one"),
        ([label(0, "a", 0)], "is no fraud"),
    ],
)
def test_labels_that_leave_nothing_to_compare_are_one_line(
    labels: list[Message], says: str
) -> None:
    with pytest.raises(BadInput, match=says):
        side(SCORES, labels)


def test_models_that_scored_other_transactions_are_said_not_to_compare() -> None:
    other = "b" * 64
    twice = [*SCORES, *(score(i, x, 0.5, sha256=other) for i, x in ((11, "a"), (12, "b")))]
    scores, labels = ScoreReader(), LabelReader()
    scores.read(twice)
    labels.read([*LABELS, label(5, "c", 0)])
    answers = [
        Answer(scores.side(sha256, labels, fetch, genuine_weight=1.0), 0.8, [], None)
        for sha256 in scores.counts()
    ]
    assert any("scored different transactions" in each for each in sentences(answers, Costs()))


COUNTS = {"aa11": 5, "ab22": 3, "cc33": 1}


def test_models_on_the_topics_are_chosen_by_pin_and_beginning() -> None:
    two = {"aa11": 5, "ab22": 3}
    assert choose({"aa11": 5}, "", None) == ["aa11"]
    assert choose(two, "", None) == ["aa11", "ab22"]
    assert choose(two, "ab22", None) == ["ab22"]
    assert choose(two, "", "ab") == ["aa11", "ab22"]
    assert choose(COUNTS, "cc33", "ab") == ["cc33", "ab22"]


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        ("", None, "the scores are of 3 models: aa11"),
        ("", "a", "is the beginning of 2 of"),
        ("", "zz", "is the beginning of 0 of"),
        ("aa11", "aa11", "is the beginning of 0 of"),
        ("", "", "is the beginning of 0 of"),
        ("", "cc", "choose by --model-sha256"),
        ("dd44", None, "no score is of model dd44"),
    ],
)
def test_choice_that_settles_nothing_names_what_there_is(
    first: str, second: str | None, says: str
) -> None:
    with pytest.raises(BadInput, match=says):
        choose(COUNTS, first, second)


@pytest.mark.parametrize("text", ["[/x]", "[bold]b", "\x1b[31mRED\x07\nNL"])
def test_version_from_outside_neither_breaks_the_table_nor_steers_the_terminal(text: str) -> None:
    found = side(SCORES, LABELS)
    costs = Costs(1.0)
    hostile = replace(found, model=text, sha256=text)
    chosen = best(found.scored, costs, seed=0)
    answer = Answer(hostile, 0.8, figures_at([0.8], found.scored, costs), chosen)
    assert as_table([answer, answer]).row_count == 2
    assert all(each.isprintable() for each in sentences([answer, answer], costs))
