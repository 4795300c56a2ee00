"""The faust application: three agents pass events on, one joins them in a table and tells.

faust is held on a short rope, as DECISIONS.md says: nothing is acknowledged before what follows
from it is, and whatever fails ends the process.
"""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import faust
from faust.types import TP, EventT

from stream_scorer.config import Settings
from stream_scorer.monitor import faust_settings, places
from stream_scorer.monitor.board import Board
from stream_scorer.monitor.forwarding import Forwarder, unpack
from stream_scorer.monitor.joined import Event, Passed
from stream_scorer.monitor.reading import Decoder, NotOurs
from stream_scorer.monitor.table import PLACE, LedgerTable
from stream_scorer.monitor.transport import Transport

# Seconds that an event waits at most for others to be passed on with.
PACK_S = 0.1
# Seconds between two looks at what has changed.
TELL_S = 1.0
# Seconds between commits: so much is read again after a crash.
COMMIT_S = 1.0

Source = EventT[bytes]
Work = Callable[..., Awaitable[None]]
Fail = Callable[[BaseException], None]


class Stream(Protocol):
    """What is needed of faust's stream."""

    def noack(self) -> "Stream": ...
    def events(self) -> AsyncIterator[Source]: ...


class Application:
    """The agents, the table and what they share."""

    def __init__(
        self, settings: Settings, topics: places.Topics, board: Board, folder: Path, fail: Fail
    ) -> None:
        """Wire it; `fail` is told what ends it. `folder` is for faust, which writes nothing there.

        Raises BadInput for settings that aiokafka does not know.
        """
        self.faust = faust_app(settings, folder)
        self._topics, self._board = topics, board
        self._events, self._quality = self._topic(topics.events), self._topic(topics.quality)
        self._table = LedgerTable(self.faust, name=places.TABLE, keep=settings.monitor_keep)
        self.faust.tables.add(self._table)
        decoder = Decoder()
        self._forwarders: list[Forwarder] = []
        for name, read in (
            (topics.scores, partial(score, decoder, alert=False)),
            (topics.alerts, partial(score, decoder, alert=True)),
            (topics.labels, partial(label, decoder)),
        ):
            forwarder = Forwarder(topics.identities[name], self._send)
            self._forwarders.append(forwarder)
            work = partial(self._read, name, read, forwarder)
            self.faust.agent(self._topic(name), name=f"read {name}")(loud(work, fail))
        self.faust.agent(self._events, name="join")(loud(self._join, fail))
        self.faust.task(loud(self._pass_on, fail))
        self.faust.task(loud(self._tell, fail))

    def owned(self) -> list[TP]:
        """Return the partitions that are read here."""
        found = self.faust.consumer.assignment() if self.faust.started else ()
        return [each for each in found if each.topic != self._topics.changelog]

    def _topic(self, name: str) -> faust.TopicT:
        return self.faust.topic(
            name, key_serializer="raw", value_serializer="raw", key_type=bytes, value_type=bytes
        )

    async def _send(self, value: bytes) -> None:
        """Write to our own topic; return when Kafka has it."""
        await (await self._events.send(value=value, partition=PLACE))

    async def _read(
        self, name: str, read: Callable[[Source], Event], forwarder: Forwarder, stream: Stream
    ) -> None:
        """Agent: pass one topic's events on."""
        async for source in stream.noack().events():
            try:
                event = read(source)
            except NotOurs as exc:
                self._board.left_out(name, source.message, exc)
                source.ack()
            else:
                self._board.read(name)
                message = source.message
                await forwarder.take(source, Passed(message.partition, message.offset, event))

    async def _join(self, stream: Stream) -> None:
        """Agent: take packs of events into the ledger."""
        async for source in stream.noack().events():
            async with self._table.at_work:
                # Of an earlier time: whoever has the partition now reads it again.
                current = source.message.generation_id == self.faust.consumer_generation_id
                if current and self._table.ledger is not None:
                    await self._table.write(self._table.ledger.take_pack(unpack(source.value)))
                    source.ack()

    async def _pass_on(self) -> None:
        """Send the packs that do not get full."""
        while not self.faust.should_stop:
            await asyncio.sleep(PACK_S)
            for each in self._forwarders:
                await each.flush()

    async def _tell(self) -> None:
        """Publish the figures that have changed."""
        while not self.faust.should_stop:
            await asyncio.sleep(TELL_S)
            async with self._table.at_work:
                told = self._board.look(self._table.ledger)
            sent = [await self._quality.send(key=key, value=value) for key, value in told]
            await asyncio.gather(*sent)


def faust_app(settings: Settings, folder: Path) -> faust.App:
    """Return faust's part, which connects when it is started."""
    session_s = faust_settings.session_s(settings)
    app = faust.App(
        places.group(settings),
        broker=faust_settings.broker_urls(settings),
        **faust_settings.credentials(settings),
        datadir=str(folder),
        store="memory://",
        autodiscover=False,
        web_enabled=False,
        topic_allow_declare=False,  # `places` has created them
        topic_disable_leader=True,
        stream_wait_empty=False,  # what is not acknowledged is read again
        broker_commit_interval=COMMIT_S,
        broker_session_timeout=session_s,
        broker_heartbeat_interval=session_s / 5,
        producer_acks=-1,
        producer_max_request_size=10_000_000,  # the topic's own limit decides
    )
    app.transport = Transport(app.conf.broker_consumer, app)
    return app


def time_ms(source: Source) -> int:
    """Return a record's own time; faust has it in seconds."""
    return round(source.message.timestamp * 1000)


def score(decoder: Decoder, source: Source, *, alert: bool) -> Event:
    """Return the event of a score or an alert; raise NotOurs."""
    return decoder.score(source.value, time_ms=time_ms(source), alert=alert)


def label(decoder: Decoder, source: Source) -> Event:
    """Return the event of a label; raise NotOurs."""
    return decoder.label(
        source.value,
        time_ms=time_ms(source),
        partition=source.message.partition,
        offset=source.message.offset,
    )


def loud(work: Work, fail: Fail) -> Work:
    """Return work that tells if it fails; faust would log that and go on without it."""

    async def told(*args: Any) -> None:  # noqa: ANN401 - of any work
        try:
            await work(*args)
        except asyncio.CancelledError:
            raise
        except BaseException as exc:
            fail(exc)
            raise

    if not isinstance(work, partial):  # faust looks at how many arguments it takes
        functools.update_wrapper(told, work)
    return told
