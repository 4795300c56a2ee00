"""What is happening now, for all who watch: asked for once, twice a second."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import func, select

from stream_scorer.console import schema
from stream_scorer.console.database import Database
from stream_scorer.console.queue import SHOWN, Listed, listed, newest
from stream_scorer.logs import event

logger = logging.getLogger(__name__)

NEWEST, WINDOW_S = 20, 300


@dataclass(frozen=True, slots=True)
class Moment:
    """One look; None is unknown, never nought."""

    at: float  # seconds since 1970
    scored: int | None = None  # records behind the group's committed offsets
    lag: int | None = None
    alerts: int = 0
    dead_letters: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What pages show."""

    moments: Sequence[Moment] = ()  # of the last minutes, the newest last
    newest: Sequence[Listed] = ()  # alerts
    open_alerts: int = 0
    labels_waiting: int = 0
    silent_since: float | None = None  # seconds since 1970; None: Kafka answers
    trouble: str = ""
    number: int = 0  # moves when the newest alerts do

    def rate(self, name: str, seconds: float = 5.0) -> float | None:
        """Return how fast a count has moved lately, a second; None if that is not known."""
        known = [each for each in self.moments if getattr(each, name) is not None]
        if len(known) < 2:  # noqa: PLR2004 - a rate is between two looks
            return None
        last = known[-1]
        first = next((each for each in known if each.at >= last.at - seconds), known[0])
        if first is last:
            first = known[-2]
        moved: float = getattr(last, name) - getattr(first, name)
        return moved / (last.at - first.at)


@dataclass
class Pulse:
    """Looks, from two threads, and keeps the latest snapshot for the pages."""

    database: Database
    progress: Callable[[], tuple[int, int] | None]  # records done, and not yet; None: not known
    waiting: Callable[[], int]  # labels
    clock: Callable[[], float] = time.time
    snapshot: Snapshot = field(default_factory=Snapshot)

    def __post_init__(self) -> None:
        """Begin without anything seen."""
        self._moments: deque[Moment] = deque(maxlen=WINDOW_S * 2)
        self._silent_since: float | None = None
        self._troubles: dict[str, str] = {}  # by who has it
        self._lock = threading.Lock()

    def trouble(self, who: str, text: str) -> None:
        """Note what keeps one of the threads from its work; an empty text: nothing does."""
        with self._lock:
            if text and self._troubles.get(who) != text:
                logger.warning("%s: %s", who, text, extra=event("trouble", who=who))
            if text:
                self._troubles[who] = text
            else:
                self._troubles.pop(who, None)
            if not self._troubles:
                self._silent_since = None
            elif self._silent_since is None:
                self._silent_since = self.clock()

    def look(self) -> None:
        """Take the figures anew."""
        # Whether Kafka is away the reader of the topics tells: it is not asked then.
        known = None if self._silent_since is not None else self.progress()
        scored, lag = known or (None, None)
        alert, letter = schema.alert.c, schema.dead_letter.c
        with self.database.reading() as connection:
            alerts = newest(connection)
            letters = connection.scalar(select(func.max(letter.id))) or 0
            some = select(alert.id).where(alert.state == "open").limit(10_001).subquery()
            open_alerts = connection.scalars(select(func.count()).select_from(some)).one()
        self._moments.append(Moment(self.clock(), scored, lag, alerts, letters))
        waiting = self.waiting()
        with self._lock:
            self.snapshot = replace(
                self.snapshot,
                moments=tuple(self._moments),
                open_alerts=open_alerts,
                labels_waiting=waiting,
                silent_since=self._silent_since,
                trouble=next(iter(self._troubles.values()), ""),
            )

    def look_for_alerts(self) -> None:
        """Take the newest alerts anew."""
        alert = schema.alert.c
        latest = select(*SHOWN).order_by(alert.timestamp_ms.desc(), alert.id.desc())
        with self.database.reading() as connection:
            rows = listed(connection, latest.limit(NEWEST))
        with self._lock:
            before = self.snapshot
            if [row.alert_id for row in rows] != [row.alert_id for row in before.newest]:
                self.snapshot = replace(before, newest=rows, number=before.number + 1)
