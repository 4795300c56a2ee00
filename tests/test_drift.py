"""Drift fires on a shifted stream and stays quiet on a day of unshifted one."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from producer.generate import generate
from stream_scorer.config import SHIPPED_MODEL
from stream_scorer.drift import (
    ALERT_LEVEL,
    FEWEST_ROWS,
    ROWS_A_SECOND,
    Drift,
    stability_index,
)
from stream_scorer.model import Histogram, Model
from stream_scorer.records import DeadLetter, Outcome, Reject
from tests.fakes import Clock
from tests.records import record

DAY_S = 86_400.0
Rows = NDArray[np.float64]


class Watch:
    """Drift of a model on a clock that moves when told."""

    def __init__(self, model: Model, window_s: float = DAY_S) -> None:
        self.model = model
        self.clock = Clock()
        self.drift = Drift(window_s, self.clock)
        self.drift.watch(model)
        self.registry = CollectorRegistry()
        self.registry.register(self.drift)

    def see(self, rows: Rows, *, missing: int = 0) -> None:
        logit, probability = self.model.score(rows)
        letter = DeadLetter(record(0, b"{}"), None, Reject("MISSING", "V1 is missing"))
        outcome = Outcome(
            model_sha256=self.model.sha256,
            alerts=(),
            dead_letters=[letter] * missing,
            scores=(),
            matrix=rows,
            logit=logit,
            probability=probability,
            next_offsets={},
        )
        self.drift.observe(len(rows) + missing, outcome)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"scorer_drift_{name}", labels)

    def worst(self) -> float:
        """Return the largest index of all features and the score."""
        families = {each.name: each.samples for each in self.registry.collect()}
        samples = families["scorer_drift_psi"] + families["scorer_drift_score_psi"]
        assert len(samples) == len(self.model.feature_names), "Time is out, the score is in"
        return max(sample.value for sample in samples)


@pytest.fixture(scope="module")
def shipped() -> Model:
    return Model.load(SHIPPED_MODEL)


@pytest.fixture
def watch(shipped: Model) -> Watch:
    return Watch(shipped)


def batches(count: int, size: int, *, seed: int, fraud_rate: float = 0.002) -> Iterator[Rows]:
    """Yield batches of synthetic transactions, raw (size, 30)."""
    rows = np.concatenate(list(generate(count * size, seed=seed, fraud_rate=fraud_rate)))[:, :-1]
    yield from np.split(rows, count)


def test_day_of_unshifted_transactions_stays_below_the_alert_level(watch: Watch) -> None:
    highest = 0.0
    for minute, rows in enumerate(batches(24 * 60, 128, seed=1)):
        watch.clock.now += 60
        watch.see(rows)
        if minute >= 60 and minute % 10 == 0:
            highest = max(highest, watch.worst())
    assert 0 < highest < ALERT_LEVEL
    assert watch.value("window_seconds") == pytest.approx(DAY_S - 60, abs=3600)


@pytest.mark.parametrize(
    ("shift", "fires"),
    [
        (lambda rows: add(rows, "V14", -2.0), "V14"),
        (lambda rows: scale(rows, "Amount", 100.0), "Amount"),  # cents for euros
        (lambda rows: add(rows, "V4", 3.0), "V4"),
    ],
    ids=["V14 moves", "Amount in cents", "V4 moves"],
)
def test_shift_of_one_feature_fires_for_that_feature(
    watch: Watch, shift: Callable[[Rows], Rows], fires: str
) -> None:
    for rows in batches(40, 128, seed=2):
        watch.clock.now += 1
        watch.see(shift(rows))
    index = {
        name: watch.value("psi", feature=name) or 0
        for name in watch.model.feature_names
        if name != "Time"
    }
    assert [name for name, value in index.items() if value > ALERT_LEVEL] == [fires]


def add(rows: Rows, name: str, amount: float) -> Rows:
    return changed(rows, name, rows[:, column(name)] + amount)


def scale(rows: Rows, name: str, factor: float) -> Rows:
    return changed(rows, name, rows[:, column(name)] * factor)


def changed(rows: Rows, name: str, values: Rows) -> Rows:
    copy = rows.copy()
    copy[:, column(name)] = values
    return copy


def column(name: str) -> int:
    return ("Time", *(f"V{i}" for i in range(1, 29)), "Amount").index(name)


def test_flood_of_frauds_fires_for_the_score(watch: Watch) -> None:
    for rows in batches(40, 128, seed=3, fraud_rate=0.5):
        watch.clock.now += 1
        watch.see(rows)
    assert (watch.value("score_psi") or 0) > ALERT_LEVEL


def test_weightless_feature_is_not_watched(watch: Watch) -> None:
    for rows in batches(40, 128, seed=4):
        watch.clock.now += 1
        watch.see(rows)
    assert watch.value("psi", feature="Time") is None
    assert watch.value("psi", feature="V1") is not None


def test_too_few_rows_give_no_figure(watch: Watch) -> None:
    (rows,) = batches(1, FEWEST_ROWS, seed=5)
    for part in np.split(rows[:-1], [500, 1000, 1500]):
        watch.clock.now += 2
        watch.see(part[:ROWS_A_SECOND])
    assert watch.value("psi", feature="V1") is None
    assert (watch.value("rows") or 0) > 0


def test_rows_beyond_the_share_of_a_second_are_not_looked_at(watch: Watch) -> None:
    for rows in batches(10, 512, seed=6):
        watch.see(rows)
    assert watch.value("rows") == ROWS_A_SECOND
    watch.clock.now += 1
    watch.see(rows)
    assert watch.value("rows") == 2 * ROWS_A_SECOND


def test_window_that_is_full_says_so_for_as_long_as_it_is(shipped: Model) -> None:
    watch = Watch(shipped, window_s=240)
    (rows,) = batches(1, 10, seed=10)
    covered = []
    for _ in range(120):
        watch.clock.now += 5
        watch.see(rows)
        covered.append(watch.value("window_seconds"))
    assert covered[10] == pytest.approx(50)
    assert covered[60:] == [240] * 60


def test_rows_of_each_bin_are_those_that_the_figures_are_of(watch: Watch) -> None:
    for rows in batches(3, 128, seed=5):
        watch.clock.now += 60
        watch.see(rows)
    found = json.loads(watch.drift.counts())
    assert found["rows"] == watch.value("rows") == 384
    watched = [name for name in watch.model.feature_names if name in watch.model.histograms]
    assert list(found["features"]) == watched
    assert {sum(counts) for counts in (*found["features"].values(), found["score"])} == {384}


def test_what_left_the_window_no_longer_counts(shipped: Model) -> None:
    watch = Watch(shipped, window_s=240)
    (rows,) = batches(1, 256, seed=7)
    for _ in range(20):
        watch.clock.now += 10
        watch.see(add(rows, "V14", -9.0))
    assert (watch.value("psi", feature="V14") or 0) > 1
    for _ in range(26):
        watch.clock.now += 10
        watch.see(rows)
    assert (watch.value("psi", feature="V14") or 0) < ALERT_LEVEL
    watch.clock.now += 1000
    assert watch.value("rows") == 0
    assert watch.value("psi", feature="V14") is None


def test_shares_of_missing_and_out_of_range_are_of_what_was_seen(watch: Watch) -> None:
    for rows in batches(40, 100, seed=8):
        watch.clock.now += 1
        rows[:50, column("V2")] = 1000.0
        watch.see(rows, missing=25)
    assert watch.value("missing_ratio") == pytest.approx(0.2)
    assert watch.value("out_of_range_ratio", feature="V2") == pytest.approx(0.5, abs=0.01)


def test_new_model_begins_anew_with_its_own_histograms(watch: Watch, shipped: Model) -> None:
    for rows in batches(40, 128, seed=9):
        watch.clock.now += 1
        watch.see(rows)
    own = {"V1": shipped.histograms["V1"]}
    watch.drift.watch(replace(shipped, histograms=own, score_histogram=None))
    assert watch.value("rows") == 0
    for rows in batches(40, 128, seed=9):
        watch.clock.now += 1
        watch.see(rows)
    assert watch.value("psi", feature="V1") is not None
    assert watch.value("psi", feature="V2") is None
    assert watch.value("score_psi") is None


def test_model_without_histograms_has_no_figures(tiny: Model) -> None:
    watch = Watch(tiny)
    for _ in range(40):
        watch.clock.now += 1
        watch.see(np.zeros((128, 3)), missing=2)
    assert watch.value("psi", feature="V1") is None
    assert watch.value("missing_ratio") == pytest.approx(2 / 130)


def test_index_is_the_formula_by_hand() -> None:
    expected = Histogram(np.array([0.0, 1.0, 2.0]), np.array([60, 40]))
    p, q = np.array([60.5, 40.5]) / 101, np.array([10.5, 30.5]) / 41
    by_hand = sum((q[i] - p[i]) * np.log(q[i] / p[i]) for i in range(2))
    assert stability_index(expected, np.array([10, 30])) == pytest.approx(by_hand)
    assert stability_index(expected, np.array([0, 0])) == pytest.approx(0, abs=0.05)


def test_histogram_counts_as_training_did() -> None:
    edges = np.array([0.0, 1.0, 2.0, 3.0])
    values = np.array([-5.0, 0.0, 0.5, 1.0, 2.0, 3.0, 99.0])
    inside = np.clip(values, 0, 3)
    wanted = np.histogram(inside, bins=edges)[0]
    counted = Histogram(edges, np.zeros(3, dtype=np.int64)).count(values)
    assert counted.tolist() == wanted.tolist()
