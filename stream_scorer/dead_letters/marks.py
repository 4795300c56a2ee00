"""How far redriving is on each partition of the dead letters: kept with the group's offsets.

The committed offset says: all before it is done. What filtered runs have done behind it stands in
the note that Kafka keeps with an offset: each run's filters, and how far it went; before them,
of which topic of that name the offset is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition

from stream_scorer import clients
from stream_scorer.config import Settings
from stream_scorer.dead_letters.choosing import Choice
from stream_scorer.dead_letters.letters import Letter
from stream_scorer.errors import BadInput, KafkaTrouble
from stream_scorer.topic_id import NOTE as TOPIC_ID

# Bytes. A broker takes 4,096 by default (offset.metadata.max.bytes).
LONGEST_NOTE = 4000
# Seconds. Offsets in a transaction that is not yet ended are waited for, up to its time-out.
ANSWER_S = 30.0


class Ran(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One filtered run: what it chose before `end` is done."""

    choice: Choice
    end: int


NOTE = msgspec.json.Decoder(list[Ran])


@dataclass(frozen=True, slots=True)
class Mark:
    """How far redriving is on one partition."""

    low: int = 0  # all before this offset is done
    ran: tuple[Ran, ...] = ()  # and, behind it, what these took
    topic_id: str = ""  # of the topic with this offset; "" is not known

    @classmethod
    def read(cls, offset: int, note: str | None) -> Self:
        """Return the mark of a committed offset and its note; raise ValueError if it is none."""
        topic_id, rest = "", note or ""
        if rest.startswith(TOPIC_ID):
            topic_id, _, rest = rest.removeprefix(TOPIC_ID).partition(" ")
        return cls(offset, tuple(NOTE.decode(rest)) if rest else (), topic_id)

    def is_done(self, offset: int, letter: Letter) -> bool:
        """Tell whether an earlier run has redriven or parked a dead letter."""
        return offset < self.low or any(
            offset < each.end and each.choice.takes(letter) for each in self.ran
        )

    def begin(self, choice: Choice) -> int:
        """Return where a run with these filters goes on: behind what the last such run has seen."""
        return max([self.low, *(each.end for each in self.ran if each.choice == choice)])

    def after(self, choice: Choice, *, low: int, end: int) -> Self:
        """Return the mark once what `choice` takes is done before `end`, and all before `low`."""
        ran = [each for each in self.ran if each.end > low and each.choice != choice]
        return replace(self, low=low, ran=(*ran, *([Ran(choice, end)] if end > low else [])))

    def note(self) -> str:
        """Return what is kept with the offset; raise BadInput if Kafka would not take it."""
        note = msgspec.json.encode(self.ran).decode() if self.ran else ""
        if self.topic_id:
            note = f"{TOPIC_ID}{self.topic_id} {note}"
        size = len(note.encode())
        if size > LONGEST_NOTE and len(self.ran) == 1:
            raise BadInput(
                f"the filters take {size} bytes, and Kafka keeps {LONGEST_NOTE}: name fewer --id"
            )
        if size > LONGEST_NOTE:
            raise BadInput(
                f"{len(self.ran)} runs with different filters are remembered, and Kafka takes no "
                "more: run redrive once without filters, which does what they left out"
            )
        return note


class Ledger:
    """The group's offsets: read here, written by the transactions of ExactlyOnce."""

    def __init__(self, settings: Settings, partitions: int) -> None:
        """Connect; the group is never joined."""
        self.group = f"{settings.group_id}-redrive"
        self._topic = settings.dead_letters_topic
        self._partitions = partitions
        self._consumer: Consumer = clients.consumer(
            settings,
            # Only a member of the group has these, or needs them.
            {"group.id": self.group, "group.protocol": "classic", "group.instance.id": ""},
        )

    def membership(self) -> object:
        """Return the group's metadata; who is no member is fenced by the transactional.id."""
        return self._consumer.consumer_group_metadata()

    def marks(self) -> dict[int, Mark]:
        """Return each partition's mark, none of one that was never redriven from."""
        places = [TopicPartition(self._topic, number) for number in range(self._partitions)]
        try:
            found: Sequence[TopicPartition] = clients.settled(
                lambda: self._consumer.committed(places, ANSWER_S), timeout_s=ANSWER_S
            )
        except KafkaException as exc:
            raise KafkaTrouble(
                f"the offsets of group {self.group!r} cannot be read: {exc.args[0].str()}"
            ) from exc
        marks: dict[int, Mark] = {}
        for each in found:
            if each.offset < 0:
                continue
            try:
                marks[each.partition] = Mark.read(each.offset, each.metadata)
            except (msgspec.MsgspecError, ValueError) as exc:
                raise KafkaTrouble(
                    f"group {self.group!r} keeps a note with its offset of {self._topic}/"
                    f"{each.partition} that is none of redrive's: {' '.join(str(exc).split())}"
                ) from exc
        return marks

    def close(self) -> None:
        """Let the connection go."""
        self._consumer.close()
