"""Labelled alerts -> what another threshold would have done, as far as alerts can tell."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import Connection, select

from stream_scorer.console import labels, schema
from stream_scorer.console.database import Database
from stream_scorer.console.quality import FEWEST_LABELS
from stream_scorer.what_if.figures import Best, Costs, Figures, Scored, best, figures_at
from stream_scorer.what_if.sides import FRAUD, GENUINE, UNKNOWN, Columns, to_scored

ALERT = schema.alert.c
# Of each state, the newest; reading them takes a fraction of a second.
MOST = 5000
# Milliseconds between two looks, for all who watch.
LOOK_MS = 30_000
LABELS = {
    labels.FRAUD: FRAUD,
    labels.GENUINE: GENUINE,
    labels.UNSURE: UNKNOWN,
    labels.OPEN: UNKNOWN,
}


class Threshold(msgspec.Struct, frozen=True):
    """From which probability on an alert's scorer alerted."""

    threshold: float


decode = msgspec.json.Decoder(Threshold).decode


@dataclass(frozen=True, slots=True)
class History:
    """Alerts of one model; one a transaction."""

    scored: Scored
    floor: float  # all of them alerted from here on: below, some are not known
    model_version: str
    model_sha256: str
    first_ms: int
    last_ms: int
    others: int  # alerts of other models, left out
    unread: int  # alerts that do not say their threshold, left out

    @property
    def labelled(self) -> int:
        """How many have a label."""
        return len(self.scored.frauds) + len(self.scored.genuine)

    @property
    def judged(self) -> bool:
        """Whether there are enough labels, and of both kinds."""
        both = len(self.scored.frauds) and len(self.scored.genuine)
        return self.labelled >= FEWEST_LABELS and bool(both)

    def at(self, threshold: float, costs: Costs) -> Figures:
        """Return what a threshold would have done; one below the floor is raised to it."""
        (found,) = figures_at([max(threshold, self.floor)], self.scored, costs)
        return found

    def best(self, costs: Costs) -> Best:
        """Return the threshold that costs least among those at the floor or above.

        All alerts are at the floor or above, and so are the thresholds that are looked at.
        """
        return best(self.scored, costs, seed=0)


def history(connection: Connection) -> History | None:
    """Read the newest alerts of the model of the newest one; None: there are none."""
    newest = connection.execute(
        select(ALERT.model_sha256, ALERT.model_version)
        .order_by(ALERT.timestamp_ms.desc(), ALERT.id.desc())
        .limit(1)
    ).one_or_none()
    if newest is None:
        return None
    columns = (
        *(ALERT.transaction_id, ALERT.timestamp_ms, ALERT.probability, ALERT.amount),
        *(ALERT.state, ALERT.model_sha256, ALERT.body),
    )
    rows: list[Any] = []
    since = 0
    for state in LABELS:
        query = select(*columns).where(ALERT.state == state)
        query = query.order_by(ALERT.timestamp_ms.desc(), ALERT.id.desc()).limit(MOST)
        found = connection.execute(query).all()
        if len(found) == MOST:  # older ones of the other states would be overcounted
            since = max(since, found[-1].timestamp_ms)
        rows += found
    floor, others, unread = 0.0, 0, 0
    kept = {}
    for row in sorted(rows, key=lambda each: each.timestamp_ms):
        if row.timestamp_ms < since:
            continue
        if row.model_sha256 != newest.model_sha256:
            others += 1
            continue
        try:
            threshold = decode(row.body).threshold
        except msgspec.DecodeError:
            unread += 1
            continue
        floor = max(floor, threshold)
        kept[row.transaction_id] = row
    alerts = [each for each in kept.values() if each.probability >= np.float32(floor)]
    if not alerts:
        return None
    times = np.array([each.timestamp_ms for each in alerts], dtype=np.float64)
    amounts = [np.nan if each.amount is None else each.amount for each in alerts]
    scored = to_scored(
        Columns(
            probability=np.array([each.probability for each in alerts], dtype=np.float32),
            label=np.array([LABELS[each.state] for each in alerts], dtype=np.int8),
            amount=np.array(amounts, dtype=np.float64),
            time_s=times / 1000,
        ),
        genuine_weight=1.0,
    )
    first_ms, last_ms = int(times.min()), int(times.max())
    sha256, version = newest.model_sha256, newest.model_version
    return History(scored, floor, version, sha256, first_ms, last_ms, others, unread)


@dataclass
class Histories:
    """Reads the labelled alerts once for all who watch."""

    database: Database
    clock: Callable[[], int]
    _latest: History | None = None
    _looked_at: int | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def latest(self) -> History | None:
        """Return them, half a minute old at most."""
        with self._lock:
            now = self.clock()
            if self._looked_at is None or now - self._looked_at >= LOOK_MS:
                with self.database.reading() as connection:
                    self._latest = history(connection)
                self._looked_at = now
            return self._latest
