"""What Prometheus sees: each metric once, with its unit and what to do about it.

README.md's table is held to this list by a test.
"""

import threading
import time
from collections import Counter as Tally
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

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

from stream_scorer.model import Model
from stream_scorer.records import Outcome, Partition, Vector

STAGES = ("decode", "score", "reasons", "publish", "commit")
SECONDS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
LATENCY_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0)
BATCH_RECORDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)
# Fine near 0, where almost all are, and near 1, where decisions fall.
PROBABILITY = (0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)

disable_created_metrics()  # type: ignore[no-untyped-call] # half of the lines, nobody's question


class Metrics:
    """All metrics of one process, in one registry."""

    def __init__(self, registry: CollectorRegistry, model: Model) -> None:
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
        self.probability = ProbabilityHistogram()
        registry.register(self.probability)
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
        # Differs between replicas: a deployment is half done.
        self.model = Info("scorer_model", "The model that scores.", registry=registry)
        self.model.info({"name": model.name, "version": model.version, "sha256": model.sha256})
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self._stages = {stage: self.stage.labels(stage) for stage in STAGES}
        self._lagging: set[tuple[str, str]] = set()

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
        if outcome.alerts:
            self.alerts.inc(len(outcome.alerts))
        if outcome.dead_letters:
            for code, count in Tally(each.reject.code for each in outcome.dead_letters).items():
                self.dead_letters.labels(code).inc(count)

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


class ProbabilityHistogram(Collector):
    """A histogram that takes a whole batch in one numpy call."""

    def __init__(self) -> None:
        """Start empty."""
        self._bounds = np.array(PROBABILITY, dtype=np.float32)
        self._counts = np.zeros(len(PROBABILITY) + 1, dtype=np.int64)
        self._sum = 0.0
        self._lock = threading.Lock()  # the server's thread reads

    def observe(self, probability: Vector) -> None:
        """Count float32 (rows,) probabilities; a bucket holds what is at most its bound."""
        places = np.searchsorted(self._bounds, probability, side="left")
        counts = np.bincount(places, minlength=len(self._counts))
        with self._lock:
            self._counts += counts
            self._sum += float(probability.sum(dtype=np.float64))

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Give Prometheus the cumulative counts."""
        with self._lock:
            cumulative, total = np.cumsum(self._counts).tolist(), self._sum
        bounds = [*(str(bound) for bound in PROBABILITY), "+Inf"]
        yield HistogramMetricFamily(
            "scorer_probability",
            "Probabilities given.",
            buckets=list(zip(bounds, cumulative, strict=True)),
            sum_value=total,
        )
