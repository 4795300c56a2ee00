"""The live board of the demo: rate, lag, latency, counts and the latest alerts."""

import json
import time
from collections import deque
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from stream_scorer.alerts import printable, why
from stream_scorer.books import quantiles
from stream_scorer.codecs.alerts import as_json
from stream_scorer.errors import Unfit
from stream_scorer.loopback import open_url
from stream_scorer.topics import TopicReader

LATEST_ALERTS = 8
# Seconds between two looks at the metrics, and between two plain lines where there is no terminal.
LOOK_S, LINE_S = 0.5, 2.0
# Alerts over which the board's own latency is taken.
RECENT = 200


@dataclass(slots=True)
class Figures:
    """What the scorer's metrics say."""

    at: float = 0.0  # monotonic seconds
    records: int = 0
    scored: int = 0
    alerts: int = 0
    dead_letters: int = 0
    lag: int = 0
    rate: float = 0.0  # records a second since the look before


@dataclass(slots=True)
class Board:
    """Looks at the alerts topic and the metrics, and shows what it sees."""

    console: Console
    reader: TopicReader
    metrics_url: str
    phase: str = ""
    latency_ms: dict[str, list[float]] = field(default_factory=dict)  # by phase
    figures: Figures = field(default_factory=Figures)
    _latest: deque[tuple[str, str, str, str]] = field(
        default_factory=lambda: deque(maxlen=LATEST_ALERTS)
    )
    _lined: float = 0.0

    def close(self) -> None:
        """Let the topic go."""
        self.reader.close()

    def begin(self, phase: str) -> None:
        """Count latencies from now on for another phase."""
        self.phase = phase
        self.latency_ms[phase] = []

    def look(self) -> None:
        """Take in what has come; waits up to a tenth of a second for an alert."""
        for message in self.reader.arriving(timeout_s=0.1):
            alert = json.loads(as_json(message.value()) or b"{}")
            latency = time.time() * 1000 - alert["source"]["timestamp_ms"]
            self.latency_ms[self.phase].append(latency)
            risk = f"{alert['probability']:.4f}"
            amount = f"{alert['features'].get('Amount', 0):,.2f}"
            identity, reasons = printable(alert["transaction_id"]), printable(why(alert))
            self._latest.append((identity, risk, amount, reasons))
        now = time.monotonic()
        if now - self.figures.at >= LOOK_S:
            self.figures = read_figures(self.metrics_url, self.figures, now)

    def show(self, live: Live | None) -> None:
        """Draw the board, or print a line now and then where there is no terminal."""
        if live is not None:
            live.update(self.draw())
        elif time.monotonic() - self._lined >= LINE_S:
            self._lined = time.monotonic()
            self.console.print("  ".join(self.cells()), highlight=False, soft_wrap=True)

    def cells(self) -> tuple[str, ...]:
        """Return the counters as words."""
        figures = self.figures
        p50, p99 = quantiles(self.latency_ms.get(self.phase, [])[-RECENT:])
        return (
            self.phase,
            f"{figures.rate:,.0f} records/s",
            f"scored {figures.scored:,}",
            f"lag {figures.lag:,}",
            f"alerts {figures.alerts:,}",
            f"dead letters {figures.dead_letters:,}",
            f"event to alert p50 {p50}, p99 {p99}",
        )

    def draw(self) -> Group:
        """Return the board."""
        counters = Table.grid(padding=(0, 3))
        counters.add_row(*self.cells())
        latest = Table("transaction", "risk", "amount", "why", box=None, expand=True)
        for cells in self._latest:
            latest.add_row(*map(Text, cells))
        return Group(counters, "", latest)


def read_figures(url: str, before: Figures, now: float) -> Figures:
    """Return what the metrics say now; raise Unfit if the scorer does not answer."""
    try:
        with open_url(url, timeout=5) as response:
            text = response.read().decode()
    except OSError as exc:
        raise Unfit(f"the scorer does not answer at {url}: {exc}") from exc
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    records = int(sums["scorer_records_total"])
    return Figures(
        at=now,
        records=records,
        scored=int(sums["scorer_scored_total"]),
        alerts=int(sums["scorer_alerts_total"]),
        dead_letters=int(sums.get("scorer_dead_letters_total", 0)),
        lag=int(sums.get("scorer_lag_records", 0)),
        rate=(records - before.records) / (now - before.at) if before.at else 0.0,
    )
