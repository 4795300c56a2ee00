"""What is known of one transaction; merging repeats, in any order, gives the same."""

from typing import TypeAlias

import msgspec

LabelOrder: TypeAlias = tuple[int, int, int]  # time in ms, partition, offset of the label's record

# The queues that transactions wait in for what is still to come: each is let go by itself.
QUIET, ALERTED, UNMATCHED = range(3)


class Label(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The truth of a transaction, as its newest record says."""

    fraud: bool | None  # None: withdrawn, not known any more
    time_ms: int  # of the label's own record
    partition: int
    offset: int

    @property
    def order(self) -> LabelOrder:
        """What tells the later of two labels, as `what-if` does."""
        return self.time_ms, self.partition, self.offset


class Seen(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A transaction as one model scored it, by its score, its alert or both."""

    sha256: str  # of the model
    rank: int  # the log-odds on the grid of `figures.py`
    time_ms: int  # of the transaction; 0: not known, or not to be believed
    topic: str  # of the transaction
    partition: int
    offset: int
    alert_ms: int | None  # when its alert was published; None: there is none

    @property
    def order(self) -> tuple[int, str, int, int]:
        """What tells the later of two transactions of one id."""
        return self.time_ms, self.topic, self.partition, self.offset


class Joined(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One transaction: what each model said of it, and its truth."""

    number: int  # in the order of arrival in its queue, so that the oldest can be let go
    label: Label | None = None
    seen: tuple[Seen, ...] = ()  # one a model

    @property
    def queue(self) -> int:
        """Where it waits: an alert is labelled late and surely, others rarely, or not at all."""
        if not self.seen:
            return UNMATCHED
        return ALERTED if any(each.alert_ms is not None for each in self.seen) else QUIET


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One score, alert or label."""

    transaction_id: str
    said: Seen | None = None
    label: Label | None = None


class Passed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An event and where its record stands."""

    partition: int
    offset: int
    event: Event


class Pack(msgspec.Struct, frozen=True, array_like=True):
    """Events of one topic, of each partition in their order."""

    topic: str  # its name and id, so that one made anew is another
    passed: list[Passed]


def merged(known: Joined, event: Event) -> Joined:
    """Return what is known with an event; the same object if it brings nothing new.

    The last label counts, whichever arrives last. Of several transactions of one id the latest
    counts, for each model by itself; its score and its alert, and repeats of both, are one.
    """
    label, seen = known.label, known.seen
    if event.label is not None and (label is None or event.label.order > label.order):
        label = event.label
    if event.said is not None:
        seen = with_said(seen, event.said)
    if label is known.label and seen is known.seen:
        return known
    return Joined(known.number, label, seen)


def with_said(seen: tuple[Seen, ...], said: Seen) -> tuple[Seen, ...]:
    """Return what each model said, with one more score or alert."""
    for i, each in enumerate(seen):
        if each.sha256 == said.sha256:
            newer = later(each, said)
            return seen if newer is each else (*seen[:i], newer, *seen[i + 1 :])
    return (*seen, said)


def later(one: Seen, other: Seen) -> Seen:
    """Return the later of two of one model; of one transaction with its first alert."""
    if one.order != other.order:
        return max(one, other, key=lambda each: each.order)
    if other.alert_ms is None or (one.alert_ms is not None and one.alert_ms <= other.alert_ms):
        return one
    return other
