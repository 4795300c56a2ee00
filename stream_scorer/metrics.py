"""What Prometheus sees: each metric once, with its unit and what to do about it.

README.md's table is held to this list by a test.
"""

import threading
import time
from collections import Counter as Tally
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import get_args

import numpy as np
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from stream_scorer.drift import Drift
from stream_scorer.model import Model
from stream_scorer.records import Code, Outcome, Partition, Vector

STAGES = ("decode", "score", "reasons", "challenger", "publish", "commit", "shadow")
SECONDS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
LATENCY_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0)
BATCH_RECORDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)
# Fine near 0, where almost all are, and near 1, where decisions fall.
PROBABILITY = (0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)

# Of a challenger's probability less the champion's: fine around 0, where good models agree.
DIFFERENCE = (-0.8, -0.5, -0.2, -0.1, -0.05, -0.01, -0.001, 0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 0.8)
DRIFT_WINDOW_S = 86_400.0

disable_created_metrics()  # type: ignore[no-untyped-call] # half of the lines, nobody's question


class Metrics:
    """All metrics of one process, in one registry."""

    def __init__(
        self, registry: CollectorRegistry, model: Model, *, drift_window_s: float = DRIFT_WINDOW_S
    ) -> None:
        """Register everything; two in one registry are an error of prometheus-client's."""
        self.registry = registry
        # Flat while lag rises: the source does not deliver. Compare with scored + dead letters.
        self.records = Counter("scorer_records", "Records read.", registry=registry)
        self.scored = Counter("scorer_scored", "Records scored.", registry=registry)
        # A jump: an attack, a wrong model, or a changed producer. Look at the score histogram.
        self.alerts = Counter("scorer_alerts", "Alerts written.", registry=registry)
        # Rising: a producer changed its format. Look at the dead letters' `dlq.reason` header.
        self.dead_letters = Counter(
            "scorer_dead_letters", "Records dead-lettered.", ["reason"], registry=registry
        )
        for code in get_args(Code):  # from 0 on, or the first would be no increase
            self.dead_letters.labels(code)
        # Tombstones, where SCORER_TOMBSTONES says so. Records = scored + dead letters + skipped.
        self.skipped = Counter("scorer_skipped", "Tombstones skipped.", registry=registry)
        # Above 0: a producer writes a field twice, and another reader may take the other value.
        self.doubled = Counter(
            "scorer_duplicate_keys", "Records in which a key stands twice.", registry=registry
        )
        # Always at max_batch_rows: a backlog is being worked off.
        self.batch = Histogram(
            "scorer_batch_records", "Records in a batch.", buckets=BATCH_RECORDS, registry=registry
        )
        # The stage that grew is the one to look at; commit is the broker's time.
        self.stage = Histogram(
            "scorer_stage_seconds",
            "Seconds a batch spends in a stage.",
            ["stage"],
            buckets=SECONDS,
            registry=registry,
        )
        # Above the promise: see lag first, then the stages. Old when old events are replayed.
        self.event_to_alert = Histogram(
            "scorer_event_to_alert_seconds",
            "Seconds from a transaction's timestamp to its alert's acknowledgement by Kafka.",
            buckets=LATENCY_SECONDS,
            registry=registry,
        )
        # Moving against the training's shape: drift.
        self.probability = BatchHistogram("scorer_probability", "Probabilities given.", PROBABILITY)
        registry.register(self.probability)
        # An index above 0.25 over a whole window: look at the features' producers, then train anew.
        self.drift = Drift(drift_window_s)
        registry.register(self.drift)
        # Rising on one side: the two models would alert on other transactions. Look at a sample.
        self.disagreements = Counter(
            "scorer_challenger_disagreements",
            "Records on which one of champion and challenger alerts, by which one.",
            ["alerts"],
            registry=registry,
        )
        # Above 0: the challenger must not become the champion.
        self.challenger_not_finite = Counter(
            "scorer_challenger_not_finite",
            "Records for which the challenger's score is no number.",
            registry=registry,
        )
        # Wide: the challenger ranks or is calibrated otherwise.
        self.difference = BatchHistogram(
            "scorer_challenger_difference",
            "The challenger's probability less the champion's.",
            DIFFERENCE,
        )
        registry.register(self.difference)
        # Refused: the old model is still at work; the log says why.
        self.model_changes = Counter(
            "scorer_model_changes",
            "New models that took over, or were refused.",
            ["result"],
            registry=registry,
        )
        for result in ("swapped", "refused"):  # from 0 on, or the first would be no increase
            self.model_changes.labels(result)
        # Rising for minutes: more replicas (up to the partitions), or a slow broker.
        self.lag = Gauge(
            "scorer_lag_records",
            "Records not yet read.",
            ["topic", "partition"],
            registry=registry,
        )
        # More than a few an hour: replicas restart, or a batch takes longer than max.poll.interval.
        self.rebalances = Counter(
            "scorer_rebalances",
            "Partitions assigned, revoked or lost.",
            ["kind"],
            registry=registry,
        )
        # Flat under load: offsets do not move, a restart would repeat all since the last one.
        self.commits = Counter("scorer_commits", "Commits acknowledged.", registry=registry)
        # Above a few: brokers or the network time out, or two scorers have one SCORER_REPLICA.
        self.undone = Counter(
            "scorer_transactions_undone",
            "Transactions undone, their records scored again.",
            registry=registry,
        )
        # Differs between replicas: a deployment is half done.
        self.model = Info("scorer_model", "The model that scores.", registry=registry)
        self.serve(model)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self._stages = {stage: self.stage.labels(stage) for stage in STAGES}
        self._lagging: set[tuple[str, str]] = set()

    def serve(self, model: Model) -> None:
        """Name the model that scores from now on, and measure drift against its training."""
        self.model.info({"name": model.name, "version": model.version, "sha256": model.sha256})
        self.drift.watch(model)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Measure one stage of one batch."""
        start = time.perf_counter()
        yield
        self._stages[stage].observe(time.perf_counter() - start)

    def batch_done(self, read: int, outcome: Outcome) -> None:
        """Count one batch of `read` records that has been written."""
        self.records.inc(read)
        self.batch.observe(read)
        self.scored.inc(len(outcome.probability))
        self.probability.observe(outcome.probability)
        self.drift.observe(read, outcome)
        if outcome.alerts:
            self.alerts.inc(len(outcome.alerts))
        if outcome.dead_letters:
            for code, count in Tally(each.reject.code for each in outcome.dead_letters).items():
                self.dead_letters.labels(code).inc(count)
        self.skipped.inc(outcome.skipped)
        self.doubled.inc(outcome.doubled)
        if outcome.comparison:
            self.disagreements.labels("champion").inc(outcome.comparison.champion_only)
            self.disagreements.labels("challenger").inc(outcome.comparison.challenger_only)
            self.challenger_not_finite.inc(outcome.comparison.not_finite)
            self.difference.observe(outcome.comparison.difference)

    def alert_acked(self, seconds: float) -> None:
        """Note one alert's latency; a timestamp in the future counts as 0."""
        self.event_to_alert.observe(max(0.0, seconds))

    def set_lag(self, lag: Mapping[Partition, int]) -> None:
        """Show the lag of the owned partitions, and of no other."""
        now = {(topic, str(number)) for topic, number in lag}
        for gone in self._lagging - now:
            self.lag.remove(*gone)
        for (topic, number), records in lag.items():
            self.lag.labels(topic, str(number)).set(records)
        self._lagging = now


class BatchHistogram(Collector):
    """A histogram that takes a whole batch in one numpy call."""

    def __init__(self, name: str, documentation: str, bounds: Sequence[float]) -> None:
        """Start empty; `bounds` ascend."""
        self._name = name
        self._documentation = documentation
        self._shown = [*map(str, bounds), "+Inf"]
        self._bounds = np.array(bounds, dtype=np.float32)
        self._counts = np.zeros(len(bounds) + 1, dtype=np.int64)
        self._sum = 0.0
        self._lock = threading.Lock()  # the server's thread reads

    def observe(self, values: Vector) -> None:
        """Count float32 (rows,) values; a bucket holds what is at most its bound."""
        places = np.searchsorted(self._bounds, values, side="left")
        counts = np.bincount(places, minlength=len(self._counts))
        with self._lock:
            self._counts += counts
            self._sum += float(values.sum(dtype=np.float64))

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Give Prometheus the cumulative counts."""
        with self._lock:
            cumulative, total = np.cumsum(self._counts).tolist(), self._sum
        # With a negative bound prometheus-client gives no sum and count: a sum may fall.
        yield HistogramMetricFamily(
            self._name,
            self._documentation,
            buckets=list(zip(self._shown, cumulative, strict=True)),
            sum_value=total,
        )
