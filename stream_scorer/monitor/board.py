"""What the monitor tells: Prometheus, and the topic of figures."""

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from stream_scorer.logs import event
from stream_scorer.monitor.counts import Window
from stream_scorer.monitor.figures import QUALITY_SCHEMA, Figures, of_window
from stream_scorer.monitor.ledger import Ledger

logger = logging.getLogger(__name__)

disable_created_metrics()  # type: ignore[no-untyped-call] # half of the lines, nobody's question

Shown = Callable[[Figures], float | None]
# Name, what it is, and how it is had; README.md says what to do about each.
SHOWN: tuple[tuple[str, str, Shown], ...] = (
    ("precision", "Share of frauds among the labelled alerts.", lambda f: f.precision),
    ("recall", "Share of alerts among the labelled frauds.", lambda f: f.recall),
    ("f1", "Harmonic mean of precision and recall.", lambda f: f.f1),
    ("average_precision", "Of the labelled, by score.", lambda f: f.average_precision),
    (
        "top_k_precision",
        "Share of frauds among the labelled of a day's highest scores.",
        lambda f: f.top_k.precision if f.top_k else None,
    ),
    ("scored", "Transactions scored.", lambda f: f.scored),
    ("labelled", "Of these, those whose truth is known.", lambda f: f.labelled),
    ("alerts", "Transactions that alerted.", lambda f: f.alerts),
    ("alerts_unlabelled", "Of these, those without a label.", lambda f: f.alerts_unlabelled),
    ("caught", "Frauds that alerted.", lambda f: f.caught),
    ("false_alerts", "Genuine transactions that alerted.", lambda f: f.false_alerts),
    ("missed", "Frauds that did not alert.", lambda f: f.missed),
    (
        "label_delay_seconds",
        "Mean time from a transaction to its label.",
        lambda f: f.label_delay.mean_s,
    ),
    (
        "alert_to_label_seconds",
        "Mean time from an alert to its label.",
        lambda f: f.alert_to_label.mean_s,
    ),
)


class Board(Collector):
    """Keeps the newest figures; the metrics server's thread reads them."""

    def __init__(self, registry: CollectorRegistry, *, top_k: int) -> None:
        """Register everything; `top_k`: how many alerts a day people look at."""
        self._top_k = top_k
        self._figures: dict[Window, Figures] = {}
        self._lock = threading.Lock()
        # Flat while its topic grows: the watchdog will end the process.
        self.records = Counter(
            "monitor_records", "Records read and passed on.", ["topic"], registry=registry
        )
        # Rising: somebody writes there who does not know the format; the log has the first.
        self.bad = Counter(
            "monitor_left_out", "Records that are none of ours.", ["topic"], registry=registry
        )
        # 0 on all instances: none has read the table yet, or none runs.
        self.owner = Gauge(
            "monitor_owner", "1 where the figures are computed, else 0.", registry=registry
        )
        # At SCORER_MONITOR_KEEP: labels that come later than that find no score.
        self.held = Gauge("monitor_held", "Transactions held one by one.", registry=registry)
        # Rising: ids of labels and transactions differ, or labels come too late.
        self.unmatched = Gauge(
            "monitor_labels_unmatched", "Labels let go without a score.", registry=registry
        )
        registry.register(self)
        self._warned: set[str] = set()

    def read(self, topic: str) -> None:
        """Count a record."""
        self.records.labels(topic).inc()

    def left_out(self, topic: str, message: Any, why: Exception) -> None:  # noqa: ANN401 - faust's
        """Count a record that is none of ours, and log the first of a topic."""
        self.bad.labels(topic).inc()
        if topic not in self._warned:
            self._warned.add(topic)
            logger.warning(
                "Left out %s[%d]@%d, and counted those that follow: %s",
                topic,
                message.partition,
                message.offset,
                why,
                extra=event("record_left_out", topic=topic),
            )

    def look(self, ledger: Ledger | None) -> list[tuple[bytes, bytes]]:
        """Take the figures that have changed; return them as records of the topic of figures.

        None: another instance computes them.
        """
        self.owner.set(ledger is not None)
        if ledger is None:
            with self._lock:
                self._figures = {}
            return []
        now = {
            each: of_window(each, ledger.counts(each), top_k=self._top_k) for each in ledger.changed
        }
        ledger.changed.clear()
        kept = ledger.windows()
        with self._lock:
            self._figures = {k: v for k, v in self._figures.items() if k in kept} | now
        self.held.set(len(ledger))
        self.unmatched.set(ledger.unmatched)
        return [record(window, figures) for window, figures in sorted(now.items())]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Give Prometheus the figures of all time, and of each model's newest hour and day."""
        with self._lock:
            newest = {(kind, sha256): f for (kind, _, sha256), f in sorted(self._figures.items())}
        for name, documentation, of in SHOWN:
            family = GaugeMetricFamily(f"monitor_{name}", documentation, labels=["window", "model"])
            for labels, figures in newest.items():
                value = of(figures)
                if value is not None:
                    family.add_metric(labels, value)
            yield family


def record(window: Window, figures: Figures) -> tuple[bytes, bytes]:
    """Return a window's figures as key and value; the same figures give the same bytes."""
    kind, start_ms, sha256 = window
    about = {
        "schema_version": QUALITY_SCHEMA,
        "window": kind,
        "start_ms": start_ms,
        "model": {"sha256": sha256},
    }
    value = msgspec.json.encode(about | asdict(figures))
    return f"{kind}/{start_ms}/{sha256}".encode(), value
