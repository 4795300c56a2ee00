"""A new model takes over between two batches, once it has shown that it can; or not at all."""

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from prometheus_client import CollectorRegistry

from stream_scorer.events import Event
from stream_scorer.live import LiveScorer
from stream_scorer.metrics import Metrics
from stream_scorer.model import Model
from stream_scorer.offline import FileRecord
from stream_scorer.records import Headers, Outcome, Record
from tests.bundles import metadata, write_bundle
from tests.records import FRAUD, GOOD, P0, TOPIC, event, record
from tests.test_scorer import make_scorer


class Bench:
    """A live scorer, and the loop's two calls on each batch."""

    def __init__(self, model: Model, *, shadow_rows: int = 4) -> None:
        self.registry = CollectorRegistry()
        metrics = Metrics(self.registry, model)
        self.live = LiveScorer(make_scorer(model), metrics, group="g", shadow_rows=shadow_rows)
        self.offset = 0

    def turn(self, *values: bytes | None, partition: int = 0) -> Outcome:
        records = [
            record(self.offset + i, value, partition=partition) for i, value in enumerate(values)
        ]
        self.offset += len(values)
        return self.pass_on(records)

    def pass_on(self, records: Sequence[Record]) -> Outcome:
        outcome = self.live(records)
        self.live.shadow(records, outcome)
        return outcome

    def changes(self, result: str) -> float:
        found = self.registry.get_sample_value("scorer_model_changes_total", {"result": result})
        return found or 0.0


@pytest.fixture
def bench(tiny: Model) -> Bench:
    return Bench(tiny)


@pytest.fixture
def newer(tmp_path: Path) -> Model:
    """Return the tiny model under another version, so with another sha256."""
    return Model.load(write_bundle(tmp_path / "newer.onnx", metadata(version="8")))


def test_candidate_takes_over_between_two_batches_after_its_rows_in_shadow(
    bench: Bench, newer: Model, tiny: Model
) -> None:
    bench.live.offer(make_scorer(newer))
    assert bench.turn(GOOD, FRAUD).model_sha256 == tiny.sha256
    assert bench.turn(GOOD, FRAUD).model_sha256 == tiny.sha256
    outcome = bench.turn(FRAUD)
    assert outcome.model_sha256 == newer.sha256
    assert json.loads(outcome.alerts[0].value)["model"]["version"] == "8"
    assert bench.changes("swapped") == 1
    info = {"name": "tiny", "version": "8", "sha256": newer.sha256}
    assert bench.registry.get_sample_value("scorer_model_info", info) == 1


def test_swap_says_how_the_two_alerted_in_shadow(
    bench: Bench, newer: Model, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bench.live.offer(make_scorer(newer, threshold=0.01))
    bench.turn(GOOD, FRAUD, GOOD, FRAUD, b"{")
    assert "of 4 rows in shadow it alerts on 4, the old one on 2, both on 2" in caplog.text


def test_candidate_that_rejects_what_the_old_one_scores_is_refused(
    bench: Bench, tmp_path: Path, tiny: Model, caplog: pytest.LogCaptureFixture
) -> None:
    names = json.dumps(("Time", "V1", "country_risk"))
    wanting = Model.load(write_bundle(tmp_path / "w.onnx", metadata(feature_names=names)))
    bench.live.offer(make_scorer(wanting))
    for _ in range(3):
        assert bench.turn(GOOD, FRAUD).model_sha256 == tiny.sha256
    assert bench.changes("refused") == 1
    assert "MISSING, Object missing required field `country_risk`" in caplog.text


def test_candidate_that_raises_is_refused(bench: Bench, newer: Model, tiny: Model) -> None:
    class Broken:
        def run(self, *_: object) -> None:
            raise RuntimeError("no such operator\nmore")

    bench.live.offer(make_scorer(replace(newer, session=Broken())))
    bench.turn(GOOD)
    assert bench.changes("refused") == 1
    assert bench.turn(GOOD, GOOD, GOOD, GOOD).model_sha256 == tiny.sha256
    assert bench.changes("swapped") == 0


def test_candidate_with_another_feature_order_decodes_for_itself(
    bench: Bench, tmp_path: Path
) -> None:
    golden = {"features": [[20.0, 0.0, 0.0]], "probability": [0.057324]}
    entries = metadata(
        feature_names=json.dumps(("Amount", "Time", "V1")),
        baseline=json.dumps((20.0, 0.0, 0.0)),
        golden=json.dumps(golden),
    )
    turned = Model.load(write_bundle(tmp_path / "t.onnx", entries, weights=(0.01, 0.0, 2.0)))
    before = bench.turn(FRAUD, event(V1=1.0)).probability
    bench.live.offer(make_scorer(turned))
    bench.turn(GOOD, GOOD, GOOD, GOOD)
    after = bench.turn(FRAUD, event(V1=1.0))
    assert after.model_sha256 == turned.sha256
    assert after.probability == pytest.approx(before, abs=1e-6)


def test_bad_records_do_not_speak_against_a_candidate(bench: Bench, newer: Model) -> None:
    bench.live.offer(make_scorer(newer))
    bench.turn(b"{", None, event(V1="x"))
    bench.turn(GOOD, b"[]", GOOD, GOOD, GOOD)
    assert bench.live.model.sha256 == newer.sha256


class Unreadable(FileRecord):
    """A record whose headers the client cannot read; a second try crashes the real one."""

    asked: ClassVar[int] = 0

    def headers(self) -> Headers | None:
        if self.line:
            return None
        Unreadable.asked += 1
        assert self.asked == 1, "asked twice: the real client would crash"
        raise SystemError


def test_headers_that_cannot_be_read_are_not_asked_for_by_the_shadow(
    bench: Bench, newer: Model
) -> None:
    bench.live.offer(make_scorer(newer))
    outcome = bench.pass_on([Unreadable(TOPIC, i, Event(f"t{i}", GOOD, None)) for i in range(5)])
    assert [letter.reject.code for letter in outcome.dead_letters] == ["HEADERS"]
    assert bench.live.model.sha256 == newer.sha256


def test_same_file_again_is_no_change(bench: Bench, tiny: Model) -> None:
    bench.live.offer(make_scorer(tiny))
    bench.turn(GOOD, GOOD, GOOD, GOOD)
    assert bench.changes("swapped") == bench.changes("refused") == 0


def test_newest_of_two_candidates_takes_over(bench: Bench, newer: Model, tmp_path: Path) -> None:
    newest = Model.load(write_bundle(tmp_path / "newest.onnx", metadata(version="9")))
    bench.live.offer(make_scorer(newer))
    bench.turn(GOOD)
    bench.live.offer(make_scorer(newest))
    bench.turn(GOOD, GOOD, GOOD, GOOD)
    assert bench.live.model.version == "9"
    assert bench.changes("swapped") == 1


def test_no_rows_in_shadow_means_the_next_batch_but_one(tiny: Model, newer: Model) -> None:
    bench = Bench(tiny, shadow_rows=0)
    bench.live.offer(make_scorer(newer))
    assert bench.turn(GOOD).model_sha256 == tiny.sha256
    assert bench.turn(GOOD).model_sha256 == newer.sha256


def handovers(outcome: Outcome) -> list[tuple[int, int, str]]:
    values: list[dict[str, Any]] = [json.loads(each.value) for each in outcome.handovers]
    return [(v["partition"], v["first_offset"], v["model"]["version"]) for v in values]


def test_where_a_model_begins_is_recorded_once_for_each_partition(
    bench: Bench, newer: Model
) -> None:
    assert handovers(bench.turn(GOOD, GOOD)) == [(0, 0, "7")]
    assert handovers(bench.turn(GOOD)) == []
    assert handovers(bench.turn(GOOD, partition=1)) == [(1, 3, "7")]
    bench.live.offer(make_scorer(newer))
    bench.turn(GOOD, GOOD, GOOD, GOOD)
    outcome = bench.turn(GOOD)
    assert handovers(outcome) == [(0, 8, "8")]
    assert outcome.handovers[0].key == b"handover/g/transactions/0/8"
    assert handovers(bench.turn(GOOD, partition=1)) == [(1, 9, "8")]


def test_partition_that_comes_back_is_recorded_again(bench: Bench) -> None:
    bench.turn(GOOD)
    bench.live.forget([P0])
    assert handovers(bench.turn(GOOD)) == [(0, 1, "7")]
    assert handovers(bench.turn(GOOD)) == []


def test_dead_letters_of_a_batch_name_the_model_that_was_at_work(
    bench: Bench, newer: Model, tiny: Model
) -> None:
    bench.live.offer(make_scorer(newer))
    assert bench.turn(GOOD, GOOD, GOOD, GOOD, b"{").model_sha256 == tiny.sha256
    assert bench.turn(b"{").model_sha256 == newer.sha256


def test_refused_request_takes_back_the_one_before_it(bench: Bench, newer: Model) -> None:
    bench.live.offer(make_scorer(newer))
    bench.turn(GOOD)
    bench.live.refuse("it is no model")
    for _ in range(3):
        bench.turn(GOOD, GOOD)
    assert bench.changes("swapped") == 0
    assert bench.changes("refused") == 1
