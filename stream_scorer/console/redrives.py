"""Redriving from the console: a look first, its count typed, then one run at a time."""

import logging
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Protocol

from sqlalchemy.exc import DBAPIError

from stream_scorer.config import Settings
from stream_scorer.console import audit, lease
from stream_scorer.console.database import Database
from stream_scorer.console.people import Person, Role
from stream_scorer.dead_letters.choosing import Choice
from stream_scorer.dead_letters.running import Order, redriver
from stream_scorer.dead_letters.walk import MOVED, Batch, Fate
from stream_scorer.errors import BadInput, ScorerError
from stream_scorer.logs import event

logger = logging.getLogger(__name__)

NAME = "redrive"
# Seconds between two renewals of the lease.
RENEW_S = 2.0


class Runs(Protocol):
    """What is needed of `redriving.Redriver`."""

    def run(self) -> None: ...


class Prepares(Protocol):
    """What `running.redriver` is."""

    def __call__(
        self,
        settings: Settings,
        order: Order,
        *,
        counts: Counter[Fate],
        tell: Callable[[Batch], None],
    ) -> AbstractContextManager[Runs]: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What a look has found: what would be moved, and what not."""

    choice: Choice
    counts: Counter[Fate]
    unfit: tuple[str, ...] = ()  # some, and why

    @property
    def moves(self) -> int:
        """How many would be redriven or parked."""
        return sum(self.counts[fate] for fate in MOVED)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    by: str
    choice: Choice
    of: int
    counts: Counter[Fate] = field(default_factory=Counter)
    running: bool = True
    trouble: str = ""

    @property
    def moved(self) -> int:
        """How many are redriven or parked, and stay so."""
        return sum(self.counts[fate] for fate in MOVED)


@dataclass
class Redrives:
    """The redrives of this console; of several on one database one at a time has one."""

    settings: Settings
    database: Database
    clock: Callable[[], int]
    prepare: Prepares = redriver
    holder: str = field(default_factory=lease.holder)
    progress: Progress | None = None  # of the run, or of the last one
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _thread: threading.Thread | None = None

    def look(self, by: Person, choice: Choice) -> Plan:
        """Return what a redrive of what is chosen would do now; nothing is written.

        Raises BadInput for who may not, KafkaTrouble if Kafka does not answer.
        """
        refuse(by)
        counts: Counter[Fate] = Counter()
        unfit: list[str] = []

        def tell(batch: Batch) -> None:
            unfit.extend(batch.unfit[: 10 - len(unfit)])

        order = Order(choice, dry_run=True)
        with self.prepare(self.settings, order, counts=counts, tell=tell) as ready:
            ready.run()
        return Plan(choice, counts, tuple(unfit))

    def start(self, by: Person, plan: Plan, typed: str) -> None:
        """Begin to redrive what was looked at, and no more than that.

        Raises BadInput for who may not, for another count than the plan's, and while a redrive of
        this or another console goes on.
        """
        refuse(by)
        if not plan.moves:
            raise BadInput("nothing is to be redriven")
        if plan.counts[Fate.PARK] and not self.settings.parking_topic:
            raise BadInput(
                f"{plan.counts[Fate.PARK]:,} have failed too often: want SCORER_PARKING_TOPIC"
            )
        if typed.strip().replace(",", "") != str(plan.moves):
            raise BadInput(f"type the count, {plan.moves}, to redrive")
        with self._lock:
            if self.progress is not None and self.progress.running:
                raise BadInput(f"{self.progress.by} redrives now: wait for the end")
            with self.database.writing() as connection:
                if not lease.hold(connection, NAME, self.holder, self.clock()):
                    raise BadInput("another console redrives now: wait for the end")
                audit.act(
                    connection,
                    by,
                    at=self.clock(),
                    action="redrive",
                    target=f"begins: {chosen(plan.choice)}, {plan.moves} at most",
                )
            self.progress = Progress(by.name, plan.choice, plan.moves)
            self._thread = threading.Thread(
                target=self._go, args=(by, plan), name=NAME, daemon=True
            )
            self._thread.start()

    def wait(self) -> None:
        """Return once the run has ended."""
        if self._thread is not None:
            self._thread.join()

    def _go(self, by: Person, plan: Plan) -> None:
        """Redrive, and hold the lease meanwhile."""
        counts: Counter[Fate] = Counter()
        work = threading.Thread(target=self._run, args=(plan, counts), daemon=True)
        work.start()
        while work.is_alive():
            work.join(RENEW_S)
            try:
                with self.database.writing() as connection:
                    lease.hold(connection, NAME, self.holder, self.clock())
            except DBAPIError:  # Kafka itself lets only one count, by the transactional.id
                about = event("redrive_without_database")
                logger.warning("A redrive goes on without the database", extra=about)
        progress = self.progress
        if progress is None:
            return
        try:
            with self.database.writing() as connection:
                lease.let_go(connection, NAME, self.holder)
                audit.act(
                    connection,
                    by,
                    at=self.clock(),
                    action="redrive",
                    target=f"ended: {in_words(progress.counts)}; {progress.trouble}".rstrip("; "),
                )
        finally:
            self._set(running=False)  # last: another may begin from here on

    def _run(self, plan: Plan, counts: Counter[Fate]) -> None:
        order = Order(plan.choice, limit=plan.moves)

        def tell(_: Batch) -> None:
            self._set(counts=Counter(counts))

        try:
            with self.prepare(self.settings, order, counts=counts, tell=tell) as ready:
                ready.run()
        except ScorerError as exc:
            self._set(trouble=str(exc))
        except Exception:
            mark = uuid.uuid4().hex[:8]
            logger.exception("Redrive %s", mark, extra=event("redrive_failed", mark=mark))
            self._set(trouble=f"it failed: the log says why, at {mark}")

    def _set(self, **changes: object) -> None:
        if self.progress is not None:
            self.progress = replace(self.progress, **changes)  # type: ignore[arg-type]


def refuse(by: Person) -> None:
    """Raise BadInput for who may not redrive."""
    if not by.may(Role.OPERATOR):
        raise BadInput("only an operator redrives dead letters")


def chosen(choice: Choice) -> str:
    """Say which dead letters are chosen."""
    if choice.ids:
        return f"{len(choice.ids)} marked"
    return ", ".join(choice.codes) or "all codes"


def in_words(counts: Counter[Fate]) -> str:
    """Say what was, or would be, done, and why some are left."""
    skipped = [f"{n:,} {fate.value}" for fate, n in counts.items() if fate not in MOVED and n]
    said = f"{counts[Fate.REDRIVE]:,} redriven, {counts[Fate.PARK]:,} parked"
    return f"{said}; left: {', '.join(skipped)}" if skipped else said
