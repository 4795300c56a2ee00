"""Passes events on in packs: a record is acknowledged once the pack that holds it is."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from stream_scorer.monitor.joined import Pack, Passed

# Events in one record of our own topic.
PACK = 500

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
        self._waiting: list[tuple[Source, Passed]] = []

    async def take(self, source: Source, passed: Passed) -> None:
        """Take an event; return once a pack that is full has been sent."""
        self._waiting.append((source, passed))
        if len(self._waiting) >= PACK:
            await self.flush()

    async def flush(self) -> None:
        """Send what waits."""
        async with self._sending:
            waiting, self._waiting = self._waiting, []
            if waiting:
                pack = Pack(self._topic, [passed for _, passed in waiting])
                await self._send(msgspec.json.encode(pack))
                for source, _ in waiting:
                    source.ack()
