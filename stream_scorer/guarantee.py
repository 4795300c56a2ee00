"""What a commit promises: at least once here, exactly once in transaction.py."""

from collections.abc import Callable
from enum import Enum
from typing import Protocol

from confluent_kafka import Producer

from stream_scorer.records import NextOffsets


class Commit(Enum):
    """What came of a commit."""

    DONE = "done"
    LATER = "not possible yet: try again"
    UNDONE = "what was written since the last one does not count: read it again"


class Guarantee(Protocol):
    """Ties what was written to how far was read."""

    # Whether readers of committed records see what was written only after a commit.
    hidden_until_commit: bool

    def begin(self) -> Producer:
        """Return the producer to write with."""
        ...

    def commit(self, offsets: NextOffsets) -> Commit:
        """Let what was written, and is acknowledged, count, and these next offsets."""
        ...

    def anchor(self, offsets: NextOffsets) -> bool:
        """Commit where partitions begin of which nothing was read; False: try again later."""
        ...

    def undo(self, *, failed: Exception | None) -> bool:
        """Take back what was written since the last commit, if that is possible; tell.

        `failed` is what could not be written, if that is why.
        """
        ...


class AtLeastOnce:
    """Offsets follow what is acknowledged; what was written cannot be taken back."""

    hidden_until_commit = False

    def __init__(self, producer: Producer, commit: Callable[[NextOffsets], bool]) -> None:
        """Write with `producer`; `commit` commits offsets in the group, False: try again."""
        self._producer = producer
        self._commit = commit

    def begin(self) -> Producer:
        """Return the producer: nothing need be begun."""
        return self._producer

    def commit(self, offsets: NextOffsets) -> Commit:
        """Commit the offsets in the group."""
        return Commit.DONE if self._commit(offsets) else Commit.LATER

    def anchor(self, offsets: NextOffsets) -> bool:
        """Commit the offsets in the group."""
        return self._commit(offsets)

    def undo(self, *, failed: Exception | None) -> bool:  # noqa: ARG002 - the protocol's
        """Take nothing back."""
        return False
