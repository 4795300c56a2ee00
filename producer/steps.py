"""What a replay goes through: the rows of a file, once or again and again, as steps to send."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import msgspec

from stream_scorer.events import ID, LABEL, Event
from stream_scorer.tables import Cell, Malformed

TIME = "Time"
# Seconds. Between the last event of a pass and the first of the next one.
PASS_GAP_S = 1.0
# Seconds. A Time beyond 300 years is no time; as a timestamp it would not fit Kafka's.
LARGEST_TIME_S = 1e10


class Step(msgspec.Struct, frozen=True, gc=False):  # a Struct: a dataclass takes 1 us longer
    """One event and how to send it."""

    number: int  # 1 is the first row of the first pass; malformed rows count too
    key: str
    transaction_id: str
    value: bytes
    label: int | None
    time_s: float | None  # event time; goes on growing over the passes; None: not asked for
    timestamp_ms: int | None  # None: the moment it is due


class AnyRow(Protocol):
    """What a step needs of a row."""

    @property
    def number(self) -> int: ...
    @property
    def line(self) -> int: ...
    @property
    def cells(self) -> Mapping[str, Cell]: ...


R = TypeVar("R", bound=AnyRow)
R_contra = TypeVar("R_contra", bound=AnyRow, contravariant=True)


class ToEvent(Protocol[R_contra]):
    """Returns the event of a row, or why there is none; `suffix` ends the transaction id."""

    def __call__(self, row: R_contra, *, suffix: str) -> Event | Malformed: ...


@dataclass(frozen=True, slots=True)
class Rows(Generic[R]):
    """Rows that can be read again and again, and how each becomes an event."""

    read: Callable[[], Iterable[R | Malformed]]  # one pass
    to_event: ToEvent[R]


@dataclass(frozen=True, slots=True)
class Way:
    """How rows become steps."""

    key: str = ID  # column
    timed: bool = False  # the column Time is needed
    start_at_ms: int | None = None  # what Time 0 is, as milliseconds since 1970
    loop: bool = False
    limit: int | None = None  # rows

    def needs(self) -> list[str]:
        """Return the columns without which no row becomes a step."""
        return [TIME] * self.timed + [self.key] * (self.key != ID)


def to_steps(rows: Rows[R], way: Way, *, first: int = 1) -> Iterator[Step | Malformed]:
    """Yield the rows from number `first` on."""
    passed, offset_s = 0, 0.0
    for turn in range(1, 2**63):
        suffix = "" if turn == 1 else f"-pass{turn}"
        number, begin_s, end_s, good = passed, None, 0.0, False
        for row in rows.read():
            number = passed + row.number
            if way.limit is not None and number > way.limit:
                return
            if isinstance(row, Malformed):
                if number >= first:
                    yield Malformed(number, row.line, row.reason)
                continue
            time_s = time_of(row) if way.timed else None
            if time_s is not None:
                begin_s = time_s if begin_s is None else begin_s
                end_s = max(end_s, time_s)
                time_s += offset_s
            if number >= first:
                event = rows.to_event(row, suffix=suffix)
                step = to_step(row, event, way, number=number, time_s=time_s)
                good |= isinstance(step, Step)
                yield step
            else:
                good = True  # an earlier run had it
        if not way.loop or not good:  # a file without a good row would loop for ever
            return
        passed = number
        offset_s += end_s - (begin_s or 0.0) + PASS_GAP_S


def to_step(
    row: AnyRow, event: Event | Malformed, way: Way, *, number: int, time_s: float | None
) -> Step | Malformed:
    """Return the step of one row, or why there is none."""
    if way.timed and time_s is None:
        text = row.cells.get(TIME)
        return Malformed(number, row.line, f"{TIME} is {text!r}, want seconds as a number")
    if isinstance(event, Malformed):
        return Malformed(number, row.line, event.reason)
    key = event.transaction_id if way.key == ID else row.cells.get(way.key)
    if key is None:
        return Malformed(number, row.line, f"{way.key}, the key, is empty")
    stamp = None
    if way.start_at_ms is not None and time_s is not None:
        stamp = way.start_at_ms + round(time_s * 1000)
        if stamp < 0:
            return Malformed(number, row.line, f"{TIME} is {time_s}, which is before 1970")
    return Step(number, str(key), event.transaction_id, event.value, event.label, time_s, stamp)


def time_of(row: AnyRow) -> float | None:
    """Return the event time in seconds, None if the cell holds none."""
    value = row.cells.get(TIME)
    if isinstance(value, str) or value is None or abs(value) > LARGEST_TIME_S:
        return None
    return float(value)


def missing(way: Way, columns: Iterable[str], *, labels: bool) -> str | None:
    """Return the first column that a replay needs and the table lacks."""
    needed = [*way.needs(), *[LABEL] * labels]
    return next((name for name in needed if name not in set(columns)), None)
