"""Passes events on in packs: a record is acknowledged once the pack that holds it is."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from stream_scorer.monitor.joined import Event
from stream_scorer.monitor.reading import packed

# Events in one record of our own topic.
PACK = 500


class Source(Protocol):
    """What is needed of faust's event."""

    def ack(self) -> object: ...


class Forwarder:
    """Collects the events of one topic."""

    def __init__(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Send by `send`, which returns when Kafka has the record."""
        self._send = send
        self._waiting: list[tuple[Source, Event]] = []

    async def take(self, source: Source, event: Event) -> None:
        """Take an event; return once a pack that is full has been sent."""
        self._waiting.append((source, event))
        if len(self._waiting) >= PACK:
            await self.flush()

    async def flush(self) -> None:
        """Send what waits."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            await self._send(packed([event for _, event in waiting]))
            for source, _ in waiting:
                source.ack()
