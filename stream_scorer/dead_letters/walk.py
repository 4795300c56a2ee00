"""Goes over dead letters in their order and decides on each: redrive, park or skip."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum

from confluent_kafka import Message

from stream_scorer.dead_letters import letters
from stream_scorer.dead_letters.choosing import Choice
from stream_scorer.dead_letters.letters import Letter
from stream_scorer.dead_letters.marks import Mark
from stream_scorer.errors import BadInput, KafkaTrouble
from stream_scorer.records import Headers

# One transaction: records copied, records read and bytes copied, at most.
MOST_COPIES, MOST_READ, MOST_BYTES = 500, 5000, 8_000_000
# Records before the start of a run that are looked at, and letters that are remembered, to know a
# repeat: a scorer that was killed writes again, shortly after, what it had not committed.
LOOK_BACK, REMEMBERED = 1000, 50_000
Bounds = Mapping[int, tuple[int, int]]  # of each partition: its first offset, and the end


class Fate(Enum):
    """What is decided on a dead letter."""

    REDRIVE = "redriven"
    PARK = "parked"
    # Skipped:
    LEFT_OUT = "left out by the filters"
    OTHER_TOPIC = "from another topic"
    EARLIER = "redriven or parked before"
    REPEAT = "written twice"
    UNFIT = "no whole dead letter of a scorer"


MOVED = {Fate.REDRIVE, Fate.PARK}
STAYS = {Fate.LEFT_OUT, Fate.OTHER_TOPIC}  # for later runs; all others are done


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked for."""

    choice: Choice
    max_attempts: int
    may_park: bool = True  # else the walk stops where it would have to
    limit: int | None = None  # of records that are redriven or parked
    # Milliseconds since 1970: marks that are older are forgotten by Kafka.
    forgotten_before_ms: int = 0


@dataclass(frozen=True, slots=True)
class Copy:
    """A dead letter that is to be redriven or parked."""

    message: Message
    headers: Headers  # as they are on the dead letter
    letter: Letter
    fate: Fate


@dataclass(slots=True)
class Batch:
    """What one transaction holds."""

    copies: list[Copy] = field(default_factory=list)
    counts: Counter[Fate] = field(default_factory=Counter)
    unfit: list[str] = field(default_factory=list)  # which, and why
    bytes: int = 0
    unparked: Letter | None = None  # where the walk stopped, as there is nowhere to park it

    def is_full(self, most_copies: int) -> bool:
        """Tell whether it is time to end the transaction."""
        return (
            len(self.copies) >= most_copies
            or self.counts.total() >= MOST_READ
            or self.bytes >= MOST_BYTES
        )


class Walk:
    """One way through the dead letters, from where the marks say to where they ended."""

    def __init__(
        self,
        task: Task,
        topic: str,
        marks: Mapping[int, Mark],
        bounds: Bounds,
        *,
        topic_id: str = "",
    ) -> None:
        """Raise KafkaTrouble if a mark is beyond its partition's end, or of a topic now gone."""
        self._task = task
        self._topic = topic
        self._bounds = bounds
        self._marks: dict[int, Mark] = {}
        for number, (first, end) in bounds.items():
            mark = marks.get(number, Mark())
            if mark.low > end or mark.topic_id not in {"", topic_id}:
                raise KafkaTrouble(
                    f"redriving had come to {topic}/{number}/{mark.low}, but that topic was "
                    f"deleted: this one ends at {end}; delete the offsets of the redriving group"
                )
            self._marks[number] = Mark(max(mark.low, first), mark.ran, topic_id)
        self._unmarked = bounds.keys() - marks.keys()
        self._touched = set(marks)  # all of them: a mark that is written again is kept for longer
        self._starts = {n: mark.begin(task.choice) for n, mark in self._marks.items()}
        self._end = dict(self._starts)
        self._low = {n: mark.low for n, mark in self._marks.items()}
        self._recent: dict[object, None] = {}

    def batches(
        self, messages: Iterable[Message], *, moved: int = 0, most_copies: int = MOST_COPIES
    ) -> Iterator[Batch]:
        """Yield what belongs into one transaction each; the last one may be empty.

        `moved` records have been moved before. Raises BadInput where nobody knows what was done.
        """
        batch = Batch()
        for message in messages:
            if moved + len(batch.copies) == self._task.limit or not self._take(message, batch):
                break
            if batch.is_full(most_copies):
                moved += len(batch.copies)
                yield batch
                batch = Batch()
        yield batch

    def marks(self) -> dict[int, Mark]:
        """Return the marks as they are once all that was decided so far is done."""
        return {
            n: self._marks[n].after(self._task.choice, low=self._low[n], end=self._end[n])
            for n in sorted(self._touched)
        }

    def _take(self, message: Message, batch: Batch) -> bool:
        """Decide on a record; False: the walk cannot go on."""
        number, offset = message.partition() or 0, message.offset() or 0
        if offset >= self._bounds[number][1]:
            return True  # newer than this walk
        headers, letter = letters.read(message)
        if offset < self._starts[number]:
            if isinstance(letter, Letter) and not letter.flaw(message.value()):
                self._remember(message, letter)
            return True
        fate, detail = self._decide(message, letter)
        if isinstance(letter, Letter):
            if fate is Fate.PARK and not self._task.may_park:
                batch.unparked = letter
                return False
            if fate is not Fate.UNFIT:  # what is left out, too: its repeat may not be
                self._remember(message, letter)
            if fate in MOVED:
                batch.copies.append(Copy(message, headers, letter, fate))
                batch.bytes += len(message)
        if self._low[number] == self._end[number] and fate not in STAYS:
            self._low[number] = offset + 1
        self._end[number] = offset + 1
        self._touched.add(number)
        batch.counts[fate] += 1
        if fate is Fate.UNFIT:
            batch.unfit.append(f"{self._topic}/{number}/{offset}: {detail}")
        return True

    def _decide(self, message: Message, letter: Letter | str) -> tuple[Fate, str]:
        """Return what is to be done with a record, and of an unfit one why it is."""
        if isinstance(letter, str):
            return Fate.UNFIT, letter
        self._refuse_forgotten(message, letter)
        choice = self._task.choice
        if self._marks[message.partition() or 0].is_done(message.offset() or 0, letter):
            return Fate.EARLIER, ""
        if not choice.takes(letter):
            other = choice.topic and choice.topic != letter.topic
            return Fate.OTHER_TOPIC if other else Fate.LEFT_OUT, ""
        if identity(message, letter) in self._recent:
            return Fate.REPEAT, ""
        flaw = letter.flaw(message.value())
        if flaw:
            return Fate.UNFIT, flaw
        return Fate.PARK if letter.attempt >= self._task.max_attempts else Fate.REDRIVE, ""

    def _refuse_forgotten(self, message: Message, letter: Letter) -> None:
        """Raise BadInput where a partition has no mark and Kafka may have forgotten it."""
        number = message.partition() or 0
        if number not in self._unmarked or self._task.choice.since_ms is not None:
            return
        if letter.failed_at_ms < self._task.forgotten_before_ms:
            old, kept = (
                f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d}"
                for ms in (letter.failed_at_ms, self._task.forgotten_before_ms)
            )
            raise BadInput(
                f"{self._topic}/{number} holds dead letters from {old} on and no mark of an "
                f"earlier redrive, but Kafka forgets marks from before {kept} "
                "(offsets.retention.minutes): --since 2000-01-01 if none of them was ever "
                f"redriven, otherwise a time after {kept}"
            )
        self._unmarked = self._unmarked - {number}  # what comes later is younger

    def _remember(self, message: Message, letter: Letter) -> None:
        """Keep what a repeat is known by; the oldest goes."""
        self._recent[identity(message, letter)] = None
        if len(self._recent) > REMEMBERED:
            del self._recent[next(iter(self._recent))]


def identity(message: Message, letter: Letter) -> object:
    """Return what two dead letters of the same record, and only those, have in common.

    Its place alone does not do: a topic may have been made anew.
    """
    return letter.id, letter.timestamp_ms, letter.payload_sha256, message.key()
