"""Passes events on in packs: a record is acknowledged once the pack that holds it is."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from stream_scorer.monitor.joined import Pack, Passed

# Events, and their bytes, in one record of our own topic: it fits into one of Kafka's default size.
PACK, PACK_BYTES = 500, 400_000

unpack = msgspec.json.Decoder(Pack).decode


class Source(Protocol):
    """What is needed of faust's event."""

    def ack(self) -> object: ...


class Forwarder:
    """Collects the events of one topic and sends them in their order."""

    def __init__(self, topic: str, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Send by `send`, which returns when Kafka has the record."""
        self._topic = topic
        self._send = send
        self._sending = asyncio.Lock()
        self._waiting: list[tuple[Source, msgspec.Raw]] = []
        self._bytes = 0  # of what waits

    async def take(self, source: Source, passed: Passed) -> None:
        """Take an event; return once a pack that is full has been sent."""
        event = msgspec.json.encode(passed)
        self._waiting.append((source, msgspec.Raw(event)))
        self._bytes += len(event)
        if len(self._waiting) >= PACK or self._bytes >= PACK_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Send what waits."""
        async with self._sending:
            waiting, self._waiting, self._bytes = self._waiting, [], 0
            if waiting:
                # The form of a `Pack`.
                await self._send(msgspec.json.encode((self._topic, [raw for _, raw in waiting])))
                for source, _ in waiting:
                    source.ack()
