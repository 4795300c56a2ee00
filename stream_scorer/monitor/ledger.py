"""Holds the newest transactions and what older ones came to, and survives being cut off anywhere.

All of it is rows of one table. Their writes reach Kafka in their order, so a crash leaves a
beginning of them. Older transactions are let go by adding them to their windows' counts. Each such
row says up to which transaction it has added; then a mark says that all of the rows have; then the
transactions are deleted. Whatever a crash leaves of that, `load` knows what is still to be added.
"""

import math
from collections.abc import Iterable
from itertools import islice
from typing import TypeAlias

import msgspec

from stream_scorer.monitor.counts import LENGTH_MS, Counts, Window, add, parts
from stream_scorer.monitor.joined import UNMATCHED, Event, Joined, Pack, merged

Throughs: TypeAlias = tuple[int, int, int]
NONE: Throughs = (-1, -1, -1)
# Share of the transactions that is let go at a time, when some windows' rows are written anew.
LET_GO = 0.01
# Windows of each kind that figures are kept of; later changes to older ones count in `all` only.
MOST_WINDOWS = 72


class Folded(msgspec.Struct, frozen=True, array_like=True):
    """What the transactions that were let go came to in a window."""

    through: Throughs  # by queue, the number of the last that is in it, or could be
    counts: Counts


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """How far transactions were let go, and which windows were."""

    through: Throughs = NONE
    unmatched: int = 0  # labels that were let go without a score
    floors: dict[str, int] = {}  # by kind, the newest start that is let go


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Up to where a partition of a topic has been taken in."""

    next_offset: int


Row: TypeAlias = Joined | Folded | Mark | Position
Write: TypeAlias = tuple[str, Row | None]  # None: delete
MARK = "mark"


def held_key(transaction_id: str) -> str:
    """Return the key of a transaction's row."""
    return f"t/{transaction_id}"


def folded_key(window: Window) -> str:
    """Return the key of a window's row."""
    kind, start_ms, sha256 = window
    return f"w/{kind}/{start_ms}/{sha256}"


def moved(through: Throughs, queue: int, to: int) -> Throughs:
    """Return how far the queues are let go, one of them moved on."""
    first, second, third = (to if i == queue else each for i, each in enumerate(through))
    return first, second, third


def position_key(topic: str, partition: int) -> str:
    """Return the key of a partition's position."""
    return f"p/{topic}/{partition}"


class Ledger:
    """The state of the monitor, as a pure function of the events that it took."""

    def __init__(self, keep: int) -> None:
        """Keep so many transactions one by one, beside them so many alerts, so many lone labels.

        A label that comes after its transaction was let go finds no score, and a repeat of the
        score counts as another transaction.
        """
        self._keep = keep
        self._at_once = math.ceil(keep * LET_GO)
        # By queue, in the order of arrival there.
        self._held: tuple[dict[str, Joined], ...] = ({}, {}, {})
        self._live: dict[Window, Counts] = {}  # what those that are held come to
        self._folded: dict[Window, Folded] = {}
        self._positions: dict[str, int] = {}
        self._mark = Mark()
        self._next = 0
        self._starts: dict[str, set[int]] = {kind: set() for kind in LENGTH_MS}
        self._writes: list[Write] = []
        self.changed: set[Window] = set()  # since somebody emptied it

    def __len__(self) -> int:
        """Count the transactions that are held."""
        return sum(map(len, self._held))

    @property
    def unmatched(self) -> int:
        """Labels that were let go, as no score came."""
        return self._mark.unmatched

    def windows(self) -> set[Window]:
        """Return the windows that there are figures of."""
        return self._live.keys() | self._folded.keys()

    def counts(self, window: Window) -> Counts:
        """Return a window's counts, of all transactions."""
        total = dict(self._folded[window].counts) if window in self._folded else {}
        add(total, self._live.get(window, {}))
        return total

    def load(self, rows: Iterable[tuple[str, Row]]) -> None:
        """Take up what a table holds; what a crash has left undone is done by the next `take`."""
        held: list[tuple[str, Joined]] = []
        for key, row in rows:
            if isinstance(row, Joined):
                held.append((key.removeprefix("t/"), row))
            else:
                self._load_row(key, row)
        for transaction_id, joined in sorted(held, key=lambda item: item[1].number):
            if joined.number <= self._mark.through[joined.queue]:
                self._writes.append((held_key(transaction_id), None))
            else:
                self._held[joined.queue][transaction_id] = joined
        each_through = (each.through for each in self._folded.values())
        through = [max(each) for each in zip(NONE, *each_through, strict=True)]
        self._next = max(*self._mark.through, *through, *(j.number for _, j in held)) + 1
        for window in list(self._folded):
            if self._let_go_of(window):
                self._drop(window)
            else:
                self._note_start(window)
        for queue, waiting in enumerate(self._held):
            cut_off = [key for key, each in waiting.items() if each.number <= through[queue]]
            self._let_go(queue, cut_off)
            for joined in waiting.values():
                self._count(joined, 1)
        self._keep_newest_windows()
        self.changed = self.windows()

    def _load_row(self, key: str, row: Folded | Mark | Position) -> None:
        if isinstance(row, Mark):
            self._mark = row
        elif isinstance(row, Position):
            self._positions[key] = row.next_offset
        else:
            kind, start_ms, sha256 = key.removeprefix("w/").split("/")
            self._folded[kind, int(start_ms), sha256] = row

    def take_pack(self, pack: Pack) -> list[Write]:
        """Take in what was not taken in before; return what must be written, in this order.

        A crash makes records come again, any number of them: they are known by where they stand, or
        those whose transactions were let go would count twice.
        """
        events: list[Event] = []
        positions: dict[str, int] = {}
        for each in pack.passed:
            key = position_key(pack.topic, each.partition)
            if each.offset >= positions.get(key, self._positions.get(key, 0)):
                positions[key] = each.offset + 1
                events.append(each.event)
        self._positions |= positions
        return [*self.take(events), *((key, Position(at)) for key, at in positions.items())]

    def take(self, events: Iterable[Event]) -> list[Write]:
        """Take events in; return what must be written, in this order, before they are done with."""
        for queue, waiting in enumerate(self._held):
            if len(waiting) >= self._keep + self._at_once:
                oldest = list(islice(waiting, len(waiting) - self._keep))
                for key in oldest:
                    self._count(waiting[key], -1)
                self._let_go(queue, oldest)
        for event in events:
            key = event.transaction_id
            known = next((each[key] for each in self._held if key in each), None)
            now = merged(known or Joined(self._next), event)
            if now is known:
                continue  # a repeat
            if known is not None:
                self._count(known, -1)
            if known is None or now.queue != known.queue:
                if known is not None:
                    del self._held[known.queue][key]
                now = msgspec.structs.replace(now, number=self._next)
                self._next += 1
            self._count(now, 1)
            self._held[now.queue][key] = now
            self._writes.append((held_key(key), now))
            self._keep_newest_windows()
        writes, self._writes = self._writes, []
        return writes

    def _count(self, joined: Joined, times: int) -> None:
        """Add a transaction that is held to its windows, or take it out of them."""
        for window, counts in parts(joined):
            if not self._let_go_of(window):
                if window not in self._live:
                    self._live[window] = {}
                    self._note_start(window)
                add(self._live[window], counts, times)
                self.changed.add(window)

    def _let_go(self, queue: int, transaction_ids: list[str]) -> None:
        """Add transactions to the rows of their windows, where a crash has not let that happen."""
        if not transaction_ids:
            return
        waiting = self._held[queue]
        through = waiting[transaction_ids[-1]].number
        sums: dict[Window, Counts] = {}
        for key in transaction_ids:
            joined = waiting.pop(key)
            for window, counts in parts(joined):
                done = self._folded[window].through if window in self._folded else NONE
                if joined.number > done[queue] and not self._let_go_of(window):
                    add(sums.setdefault(window, {}), counts)
        for window, counts in sums.items():
            known = self._folded.get(window, Folded(NONE, {}))
            add(counts, known.counts)
            self._folded[window] = Folded(moved(known.through, queue, through), counts)
            self._note_start(window)
            self._writes.append((folded_key(window), self._folded[window]))
        mark = Mark(
            moved(self._mark.through, queue, through),
            self._mark.unmatched + len(transaction_ids) * (queue == UNMATCHED),
            self._mark.floors,
        )
        self._write_mark(mark)
        self._writes += [(held_key(key), None) for key in transaction_ids]

    def _write_mark(self, mark: Mark) -> None:
        self._mark = mark
        self._writes.append((MARK, mark))

    def _let_go_of(self, window: Window) -> bool:
        """Tell whether no figures are kept of a window any more."""
        kind, start_ms, _ = window
        return start_ms <= self._mark.floors.get(kind, -1)

    def _note_start(self, window: Window) -> None:
        kind, start_ms, _ = window
        if kind in self._starts:
            self._starts[kind].add(start_ms)

    def _keep_newest_windows(self) -> None:
        """Let go of the oldest windows of a kind where there are too many."""
        for kind, starts in self._starts.items():
            if len(starts) > MOST_WINDOWS:
                floor = sorted(starts)[-MOST_WINDOWS - 1]
                floors = {**self._mark.floors, kind: floor}
                self._write_mark(msgspec.structs.replace(self._mark, floors=floors))
                starts.difference_update({start for start in starts if start <= floor})
                for window in filter(self._let_go_of, self.windows()):
                    self._drop(window)

    def _drop(self, window: Window) -> None:
        """Forget a window; the last figures that were told of it stay where they were told."""
        self._live.pop(window, None)
        self.changed.discard(window)
        if self._folded.pop(window, None):
            self._writes.append((folded_key(window), None))
