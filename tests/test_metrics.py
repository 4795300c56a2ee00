"""What Prometheus reads."""

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from stream_scorer.metrics import PROBABILITY, Metrics
from stream_scorer.model import Model
from tests.records import record
from tests.test_scorer import make_scorer


@pytest.fixture
def metrics(tiny: Model) -> Metrics:
    return Metrics(CollectorRegistry(), tiny)


def test_probability_histogram_counts_each_value_at_or_below_a_bound(metrics: Metrics) -> None:
    values = np.array([0.0, 0.001, 0.0011, 0.8, 0.81, 1.0], dtype=np.float32)
    metrics.probability.observe(values)
    metrics.probability.observe(values[:1])
    read = metrics.registry.get_sample_value
    counts = {bound: read("scorer_probability_bucket", {"le": str(bound)}) for bound in PROBABILITY}
    for bound, count in counts.items():
        expected = (values <= np.float32(bound)).sum() + 1
        assert count == expected, bound
    assert read("scorer_probability_count") == 7
    assert read("scorer_probability_sum") == pytest.approx(values.sum(dtype=np.float64))


def test_lag_of_a_partition_that_left_is_not_shown(metrics: Metrics) -> None:
    metrics.set_lag({("t", 0): 5, ("t", 1): 7})
    metrics.set_lag({("t", 1): 3})
    read = metrics.registry.get_sample_value
    assert read("scorer_lag_records", {"topic": "t", "partition": "0"}) is None
    assert read("scorer_lag_records", {"topic": "t", "partition": "1"}) == 3


def test_latency_of_an_event_from_the_future_is_zero(metrics: Metrics) -> None:
    metrics.alert_acked(-5.0)
    assert metrics.registry.get_sample_value("scorer_event_to_alert_seconds_sum") == 0


def test_model_is_named(metrics: Metrics, tiny: Model) -> None:
    labels = {"name": "tiny", "version": "7", "sha256": tiny.sha256}
    assert metrics.registry.get_sample_value("scorer_model_info", labels) == 1


def test_every_stage_is_there_before_the_first_batch(metrics: Metrics) -> None:
    text = generate_latest(metrics.registry).decode()
    for stage in ("decode", "score", "reasons", "publish", "commit"):
        assert f'scorer_stage_seconds_count{{stage="{stage}"}} 0.0' in text


def test_series_do_not_grow_with_what_records_hold(tiny: Model, metrics: Metrics) -> None:
    scorer = make_scorer(tiny)

    def series() -> int:
        families = metrics.registry.collect()
        return sum(len(family.samples) for family in families)

    def score(start: int) -> None:
        values = [
            b'{"Time":0,"V1":0,"Amount":%d,"merchant":"m%d","transaction_id":"t%d"}' % (n, n, n)
            for n in range(start, start + 500)
        ]
        batch = [record(start + i, value) for i, value in enumerate([*values, b"{"])]
        metrics.batch_done(len(batch), scorer(batch))

    score(0)
    before = series()
    for start in range(501, 100_000, 501):
        score(start)
    assert series() == before
