"""What one batch leads to."""

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import msgspec
import numpy as np
import pytest
from confluent_kafka import Message

from stream_scorer.codecs.json import JsonDecoder
from stream_scorer.events import Event
from stream_scorer.model import Model, warm_up
from stream_scorer.offline import FileRecord
from stream_scorer.records import Headers, Outcome
from stream_scorer.scorer import Scorer
from tests.bundles import probability, write_refusing, write_table
from tests.records import FRAUD, GOOD, P0, TOPIC, event, record


def make_scorer(model: Model, **changes: object) -> Scorer:
    settings: dict[str, object] = {"threshold": 0.8, "cluster_id": "cluster"} | changes
    return Scorer(model=model, decoder=JsonDecoder(model.feature_names), **settings)  # type: ignore[arg-type]


@pytest.fixture
def scorer(tiny: Model) -> Scorer:
    return make_scorer(tiny)


def codes(outcome: Outcome) -> list[str]:
    return [letter.reject.code for letter in outcome.dead_letters]


class Headed(FileRecord):
    """A record that is asked for its headers once; for line 1 the client cannot read them."""

    asked: ClassVar[set[int]] = set()

    def headers(self) -> Headers | None:
        assert self.line not in self.asked, "asked twice: the real client would crash"
        self.asked.add(self.line)
        if self.line == 1:
            raise SystemError
        return [("a", b"1")]


def test_bad_record_is_dead_lettered_and_its_offset_still_moves(scorer: Scorer) -> None:
    outcome = scorer([record(7, GOOD), record(8, b"{")])
    assert codes(outcome) == ["DECODE"]
    assert outcome.next_offsets == {P0: 9}


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"{",
        None,
        b"[]",
        event(V1="3"),
        event(V1=None),
        b"\xff",
        b'{"Time":1}',
        b'{"V1":1e400}',
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_good_records_score_as_if_the_bad_one_were_not_there(
    scorer: Scorer, bad: bytes | None, place: int
) -> None:
    good = [record(1, GOOD), record(2, FRAUD)]
    alone = scorer(good)
    beside = scorer([*good[:place], record(9, bad), *good[place:]])
    assert len(beside.dead_letters) == 1
    assert np.array_equal(alone.probability, beside.probability)
    assert [a.value for a in alone.alerts] == [a.value for a in beside.alerts]


def test_batch_of_nothing_but_bad_records_scores_nothing(scorer: Scorer) -> None:
    outcome = scorer([record(0, b"{"), record(1, None)])
    assert codes(outcome) == ["DECODE", "TOMBSTONE"]
    assert outcome.probability.shape == (0,)


def test_probability_is_the_models(scorer: Scorer) -> None:
    rows = [[1.0, -2.0, 5.0], [2.0, 1.0, 300.0]]
    records = [record(i, event(Time=t, V1=v, Amount=a)) for i, (t, v, a) in enumerate(rows)]
    assert scorer(records).probability == pytest.approx(probability(rows), abs=1e-6)


def test_alert_says_what_where_why_and_by_which_model(scorer: Scorer, tiny: Model) -> None:
    outcome = scorer([record(42, event(V1=3.0, transaction_id="t-1", merchant="x"))])
    (alert,) = outcome.alerts
    value = json.loads(alert.value)
    assert alert.key == b"t-1"
    assert value.pop("alert_id") == json.loads(alert.value)["alert_id"]
    assert value["probability"] == outcome.probability[0]
    assert value["decision"] == "alert"
    assert value["model"] == {"name": "tiny", "version": "7", "sha256": tiny.sha256}
    assert value["features"] == {"Time": 1.0, "V1": 3.0, "Amount": 20.0}
    assert value["source"] == {
        "topic": TOPIC, "partition": 0, "offset": 42, "timestamp_ms": 1_700_000_000_000,
    }  # fmt: skip
    (reason,) = value["reasons"]
    assert reason == {
        "feature": "V1", "value": 3.0, "baseline": 0.0, "effect": 6.0,
        "text": "with a typical V1 the log-odds would be 6.0 lower",
    }  # fmt: skip


def test_repeated_record_gives_the_same_bytes_whatever_is_beside_it(scorer: Scorer) -> None:
    alone = scorer([record(3, FRAUD)]).alerts[0]
    among = scorer([record(i, FRAUD if i == 3 else GOOD) for i in range(200)]).alerts[0]
    assert alone.value == among.value


@pytest.mark.parametrize(
    "other",
    [record(3, FRAUD, topic="other"), record(3, FRAUD, partition=1), record(4, FRAUD)],
    ids=["topic", "partition", "offset"],
)
def test_alert_id_differs_for_another_record(scorer: Scorer, other: Message) -> None:
    ids = [
        json.loads(scorer([each]).alerts[0].value)["alert_id"] for each in (record(3, FRAUD), other)
    ]
    assert ids[0] != ids[1]


def test_alert_id_differs_for_another_cluster(tiny: Model) -> None:
    a, b = (
        json.loads(make_scorer(tiny, cluster_id=c)([record(3, FRAUD)]).alerts[0].value)
        for c in "ab"
    )
    assert a["alert_id"] != b["alert_id"]


@pytest.mark.parametrize(
    ("value", "key", "transaction_id"),
    [
        (event(V1=3.0, transaction_id="t"), b"k", "t"),
        (event(V1=3.0, transaction_id=12), b"k", "12"),
        (event(V1=3.0, transaction_id=None), b"k", "k"),
        (event(V1=3.0, transaction_id={"a": 1}), b"k", "k"),
        (FRAUD, b"k", "k"),
        (FRAUD, b"\xff", "transactions/0/5"),
        (FRAUD, b"", "transactions/0/5"),
        (event(V1=3.0, transaction_id="x" * 256), b"k", "x" * 256),
        (event(V1=3.0, transaction_id="x" * 257), b"k", "k"),
        (event(V1=3.0, transaction_id="a\0b"), b"k", "k"),
        (FRAUD, b"a\0b", "transactions/0/5"),
        (event(V1=3.0, transaction_id="x" * 600_000), b"k" * 257, "transactions/0/5"),
        (FRAUD, None, "transactions/0/5"),
    ],
)
def test_transaction_id_is_the_events_else_the_key_else_the_place(
    scorer: Scorer, value: bytes, key: bytes | None, transaction_id: str
) -> None:
    (alert,) = scorer([record(5, value, key=key)]).alerts
    assert alert.key.decode() == transaction_id
    assert json.loads(alert.value)["transaction_id"] == transaction_id


def test_unreadable_headers_are_a_reject_and_are_asked_for_once(scorer: Scorer) -> None:
    outcome = scorer([Headed(TOPIC, line, Event(f"t{line}", GOOD, None)) for line in range(3)])
    assert codes(outcome) == ["HEADERS"]
    assert outcome.dead_letters[0].headers is None
    assert len(outcome.probability) == 2
    assert outcome.next_offsets == {P0: 3}


def test_row_that_the_model_does_not_take_is_dead_lettered_and_changes_no_other(
    tmp_path: Path,
) -> None:
    model = Model.load(write_table(tmp_path / "table.onnx"))
    warm_up(model, 4)
    scorer = make_scorer(model)
    rows = [record(0, event(V1=9.0)), record(1, event(V1=999.0)), record(2, event(V1=3.0))]
    outcome = scorer(rows)
    assert codes(outcome) == ["NONFINITE"]
    assert outcome.logit.tolist() == [4.5, -1.5]
    assert codes(scorer(rows[1:2])) == ["NONFINITE"], "alone as well"
    assert outcome.next_offsets == {P0: 3}


@pytest.mark.parametrize(
    ("kind", "refused"), [("encoder", 3.0), ("division", 5.0), ("shape", 500.0)]
)
@pytest.mark.parametrize("bad", [[0], [5], [9], [2, 3], [0, 4, 9], list(range(10))], ids=str)
def test_rows_that_the_model_does_not_take_are_dead_letters_and_their_neighbours_are_scored(
    tmp_path: Path, kind: str, refused: float, bad: list[int]
) -> None:
    model = Model.load(write_refusing(tmp_path / "refusing.onnx", kind))
    warm_up(model, 10)
    scorer = make_scorer(model)
    values = [refused if i in bad else (4.0 if i % 2 else 9.0) for i in range(10)]
    outcome = scorer([record(i, event(V1=value)) for i, value in enumerate(values)])
    assert [letter.record.offset() for letter in outcome.dead_letters] == bad
    assert set(codes(outcome)) == {"NONFINITE"}
    alone = [scorer([record(0, event(V1=values[i]))]) for i in range(10) if i not in bad]
    assert outcome.logit.tolist() == [one.logit.item() for one in alone]
    assert outcome.next_offsets == {P0: 10}


def test_alert_whose_copy_the_model_does_not_take_is_published_and_says_what_is_not_known(
    tmp_path: Path,
) -> None:
    path = write_refusing(tmp_path / "encoder.onnx", "encoder")
    model = replace(Model.load(path), baseline=np.array([0.0, 3.0, 20.0]))
    outcome = make_scorer(model)([record(0, event(V1=9.0)), record(1, event(V1=4.0))])
    (alert,) = [msgspec.json.decode(each.value) for each in outcome.alerts]
    assert alert["reasons"] == []
    assert alert["unexplained"] == ["V1"]
    assert outcome.dead_letters == []


def test_score_that_is_not_finite_is_dead_lettered_never_compared(scorer: Scorer) -> None:
    outcome = scorer([record(0, event(V1=1e308)), record(1, GOOD)])
    assert codes(outcome) == ["NONFINITE"]
    assert outcome.dead_letters[0].reject.stage == "score"
    assert len(outcome.probability) == 1


def test_next_offsets_are_kept_for_each_partition(scorer: Scorer) -> None:
    records = [record(5, GOOD), record(9, GOOD, partition=1), record(6, GOOD)]
    assert scorer(records).next_offsets == {(TOPIC, 0): 7, (TOPIC, 1): 10}


def test_scores_are_given_only_if_asked_for(tiny: Model, scorer: Scorer) -> None:
    records = [record(0, GOOD, key=b"a"), record(1, b"{"), record(2, FRAUD, key=b"b")]
    assert not scorer(records).scores
    outcome = make_scorer(tiny, every_score=True)(records)
    assert [score.key for score in outcome.scores] == [b"a", b"b"]
    values = [json.loads(score.value) for score in outcome.scores]
    assert [value["source"]["offset"] for value in values] == [0, 2]
    assert [value["probability"] for value in values] == outcome.probability.tolist()


def test_each_stage_is_timed_once_a_batch(scorer: Scorer) -> None:
    stages: list[str] = []

    def timed(stage: str) -> contextlib.AbstractContextManager[object]:
        stages.append(stage)
        return contextlib.nullcontext()

    scorer([record(0, FRAUD), record(1, b"{")], timed=timed)
    assert stages == ["decode", "score", "reasons"]
