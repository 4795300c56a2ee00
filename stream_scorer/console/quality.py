"""How good the model is, from the monitor's figures: shares with their counts and intervals."""

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import msgspec
from sqlalchemy import Connection, func, select

from stream_scorer.console import labels, schema
from stream_scorer.console.database import Database

# Fewer labels say nothing.
FEWEST_LABELS = 30
# Milliseconds without a new figure after which that is said.
SILENT_MS = 60_000
# Windows of one kind that are looked at; the monitor keeps 72 of each model.
MOST_WINDOWS = 500
HOUR, DAY, ALL = "hour", "day", "all"
# Standard normal quantile of a two-sided interval of 95 %.
Z_95 = 1.959963984540054
# Milliseconds between two looks, for all who watch.
LOOK_MS = 2000

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class TopK(msgspec.Struct, frozen=True):
    """How good the highest scores of a day are."""

    k: Count
    labelled: float
    precision: float | None


class Delay(msgspec.Struct, frozen=True):
    """How long something took; `within`: how many took no longer than so many seconds."""

    count: Count
    mean_s: float | None
    within: dict[str, Count] = {}


class ModelValue(msgspec.Struct, frozen=True):
    """Whose figures they are."""

    sha256: Annotated[str, msgspec.Meta(max_length=64)]


class Figures(msgspec.Struct, frozen=True):
    """One window's record on the monitor's topic; what can be computed from counts is not read."""

    start_ms: Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
    model: ModelValue
    scored: Count
    labelled: Count
    alerts: Count
    alerts_unlabelled: Count
    caught: Count
    false_alerts: Count
    missed: Count
    passed: Count
    label_delay: Delay
    alert_to_label: Delay
    average_precision: float | None = None
    top_k: TopK | None = None

    @property
    def judged(self) -> bool:
        """Whether there are enough labels to say anything."""
        return self.labelled >= FEWEST_LABELS

    @property
    def precision(self) -> "Share":
        """Of the labelled alerts, how many are frauds."""
        return Share(self.caught, self.caught + self.false_alerts)

    @property
    def recall(self) -> "Share":
        """Of the frauds that are known, how many alerted."""
        return Share(self.caught, self.caught + self.missed)

    @property
    def f1(self) -> "Share":
        """Harmonic mean of both, by way of F*: see `Share.harmonic`."""
        return Share(self.caught, self.caught + self.false_alerts + self.missed, harmonic=True)


decode = msgspec.json.Decoder(Figures).decode


@dataclass(frozen=True, slots=True)
class Share:
    """A share of some transactions; the interval tells how little few of them say.

    `harmonic`: the share is F* = caught / (caught + false alerts + missed), and what is shown is
    F1 = 2 F* / (1 + F*), which grows with it, so that an interval of the one is one of the other
    (Hand, Christen and Kirielle, Machine Learning 110, 2021).
    """

    part: int
    whole: int
    harmonic: bool = False

    @property
    def value(self) -> float | None:
        """The share, None of nothing."""
        return self._shown(self.part / self.whole) if self.whole else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The Wilson interval at 95 %, None of nothing."""
        if not self.whole:
            return None
        low, high = wilson(self.part, self.whole)
        return self._shown(low), self._shown(high)

    def _shown(self, share: float) -> float:
        return 2 * share / (1 + share) if self.harmonic else share


def wilson(part: int, whole: int, z: float = Z_95) -> tuple[float, float]:
    """Return the score interval of a share, `part` of `whole` > 0.

    (Wilson, Journal of the American Statistical Association 22, 1927.) It holds near 0 and 1,
    where p +- z sqrt(p (1 - p) / n) leaves them.
    """
    share, squared = part / whole, z * z / whole
    middle = share + squared / 2
    half = z * math.sqrt(share * (1 - share) / whole + squared / (4 * whole))
    low, high = ((middle - half) / (1 + squared), (middle + half) / (1 + squared))
    return (0.0 if part == 0 else low), (1.0 if part == whole else high)


@dataclass(frozen=True, slots=True)
class Report:
    """All that is known of quality."""

    overall: Sequence[Figures] = ()  # of all time; the model with the newest figures first
    hours: Sequence[Figures] = ()  # the newest first, of all models
    days: Sequence[Figures] = ()
    seen_at: int | None = None  # when the newest figure was written; None: there is none
    unread: int = 0  # records that hold other figures than we know
    oldest_open: int | None = None  # milliseconds; the transaction of the oldest open alert

    def of(self, window: str, sha256: str) -> list[Figures]:
        """Return the windows of a model, the oldest first."""
        found = self.hours if window == HOUR else self.days
        return [each for each in reversed(found) if each.model.sha256 == sha256]

    def silent(self, now: int) -> bool:
        """Tell whether the monitor has not written for a while."""
        return self.seen_at is not None and now - self.seen_at > SILENT_MS


def report(connection: Connection) -> Report:
    """Read the figures."""
    table, alert = schema.quality, schema.alert.c
    found: dict[str, list[tuple[Figures, int]]] = {}
    unread = 0
    for window in (ALL, DAY, HOUR):
        rows = connection.execute(
            select(table.c.body, table.c.seen_at)
            .where(table.c.window == window)
            .order_by(table.c.begins_at.desc(), table.c.seen_at.desc(), table.c.key)
            .limit(MOST_WINDOWS)
        )
        found[window] = []
        for row in rows:
            try:
                found[window].append((decode(row.body), row.seen_at))
            except msgspec.DecodeError:
                unread += 1
    by_age = sorted(found[ALL], key=lambda each: -each[1])
    oldest = select(alert.timestamp_ms).where(alert.state == labels.OPEN)
    return Report(
        [each for each, _ in by_age],
        [each for each, _ in found[HOUR]],
        [each for each, _ in found[DAY]],
        connection.scalar(select(func.max(table.c.seen_at))),
        unread,
        connection.scalar(oldest.order_by(alert.timestamp_ms, alert.id).limit(1)),
    )


@dataclass
class Reports:
    """Reads the figures once for all who watch."""

    database: Database
    clock: Callable[[], int]
    _latest: Report | None = None
    _looked_at: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def latest(self) -> Report:
        """Return the figures, a few seconds old at most."""
        with self._lock:
            now = self.clock()
            if self._latest is None or now - self._looked_at >= LOOK_MS:
                with self.database.reading() as connection:
                    self._latest = report(connection)
                self._looked_at = now
            return self._latest
