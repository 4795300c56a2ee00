"""Dead letters -> how many there are of each kind, and the entries of a list."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from confluent_kafka import Message

from stream_scorer.dead_letters import letters
from stream_scorer.dead_letters.choosing import Choice
from stream_scorer.dead_letters.letters import Letter
from stream_scorer.records import place_text


@dataclass(frozen=True, slots=True)
class Entry:
    """One dead letter, without the record that is in it."""

    at: tuple[int, int]  # partition and offset of the dead letter
    letter: Letter
    value_bytes: int | None  # None: a null value

    @property
    def order(self) -> tuple[int, int, int]:
        """What comes later."""
        return self.letter.failed_at_ms, *self.at


@dataclass(slots=True)
class Tallies:
    """How many there are."""

    by_code: Counter[tuple[str, str]] = field(default_factory=Counter)  # code, topic/partition
    left_out: int = 0
    unfit: int = 0
    an_unfit: str = ""  # the first, and why


def chosen(messages: Iterable[Message], choice: Choice, tallies: Tallies) -> Iterator[Entry | None]:
    """Yield the dead letters that are chosen, None for any other record; count all of them."""
    for message in messages:
        _, letter = letters.read(message)
        if isinstance(letter, str):
            tallies.unfit += 1
            tallies.an_unfit = tallies.an_unfit or f"{place_text(message)} {letter}"
        elif choice.takes(letter):
            tallies.by_code[letter.code, f"{letter.topic}/{letter.partition}"] += 1
            value = message.value()
            yield Entry(
                (message.partition() or 0, message.offset() or 0),
                letter,
                None if value is None else len(value),
            )
            continue
        else:
            tallies.left_out += 1
        yield None


def by_code(tallies: Tallies) -> dict[str, Counter[str]]:
    """Return the counts by topic/partition for each code, the most frequent code first."""
    found: dict[str, Counter[str]] = {}
    for (code, place), count in tallies.by_code.items():
        found.setdefault(code, Counter())[place] = count
    return dict(sorted(found.items(), key=lambda item: (-item[1].total(), item[0])))
