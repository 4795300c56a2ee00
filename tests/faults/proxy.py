"""A TCP proxy in front of each broker that knows where Kafka's requests begin and what they are.

A frame is 4 bytes of length and a body. A request's body begins with the api key (2 bytes), its
version (2) and a correlation id (4); an answer's with that correlation id
(https://kafka.apache.org/protocol).
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from enum import Enum

from tests.faults.answers import error_codes

# Bytes. In an answer of this size the middle lies within records.
LARGE_BYTES = 30_000
# Seconds after which the connection of a request that is held back is reset.
LATE_S = 1.0
# Frames that wait in one direction of one connection; a sender with more is held back.
WAITING = 1000
ENDLESS = 1 << 60
START_S = 10.0
TICK_S = 0.05


class Act(Enum):
    """What to do with a request of some api key."""

    DROP_REQUEST = "the broker never sees it"
    DROP_ANSWER = "the broker acts, the client never hears of it"
    RESET_AFTER = "the broker acts, then the connection is reset"
    HOLD = "it and all after it on its connection wait until it is healed"


@dataclass
class Rule:
    """An act for the next so many requests."""

    act: Act
    left: int
    acted: int = 0


@dataclass
class LateRequest:
    """A request that arrives after the client has repeated it on another connection.

    The proxy holds it back and resets its connection. It is due when answers to requests of the
    kinds `then` have passed, in that order.
    """

    api_key: int
    then: list[int]
    by_itself: bool  # it is delivered as soon as it is due
    body: bytes = b""
    target: int = 0  # the broker's port
    due: bool = False
    answer: bytes = b""

    def codes(self) -> set[int]:
        """Return the error codes that the broker answered; 0: it took the request."""
        (version,) = struct.unpack_from(">h", self.body, 2)
        return error_codes(self.api_key, version, self.answer)


@dataclass
class Route:
    """One broker's way: clients connect to `port` and are passed on to `target`."""

    port: int
    target: int
    passing: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(eq=False)
class Connection:
    """One client's connection and the broker's beside it."""

    client: asyncio.StreamWriter
    broker: asyncio.StreamWriter
    target: int  # the broker's port
    asked: dict[int, int] = field(default_factory=dict)  # api keys by correlation id
    swallow: set[int] = field(default_factory=set)  # correlation ids whose answer is dropped
    flowing: asyncio.Event = field(default_factory=asyncio.Event)  # requests are not held
    reset_at: set[int] = field(default_factory=set)  # ... at whose answer the connection is reset

    def reset(self) -> None:
        """End both ends at once, with an RST."""
        for writer in (self.client, self.broker):
            sock = writer.get_extra_info("socket")
            if sock is not None:
                with contextlib.suppress(OSError):
                    linger = struct.pack("ii", 1, 0)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()


class Proxy:
    """All routes of a cluster; its verbs may be called from any thread."""

    def __init__(self, routes: Sequence[tuple[int, int]], *, seed: int = 1) -> None:
        """Pass port to target for each pair of `routes`; nothing listens yet."""
        self._pairs = routes
        self._rng = random.Random(seed)  # noqa: S311 - jitter
        self._loop = asyncio.new_event_loop()
        self._routes: list[Route] = []
        self._servers: list[asyncio.Server] = []
        self._connections: set[Connection] = set()
        self._rules: dict[int, Rule] = {}
        self.damages = 0  # answers that are still to be damaged
        self._late: LateRequest | None = None
        self._delivering: asyncio.Task[None] | None = None  # held, or it might be collected
        self._delay_s = self._jitter_s = 0.0
        self._bytes_a_second: float = ENDLESS

    @contextlib.contextmanager
    def running(self) -> Iterator["Proxy"]:
        """Listen for the length of the `with` block."""
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()
        try:
            self._call(self._listen())
            yield self
        finally:
            self._call(self._end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()

    def blackhole(self, broker: int | None = None) -> None:
        """Pass nothing more, both ways; what is under way arrives once it is healed."""
        for each in self._chosen(broker):
            self._loop.call_soon_threadsafe(each.passing.clear)

    def heal(self) -> None:
        """Pass all again, at full speed, and forget the rules and a request that is late."""
        self._delay_s = self._jitter_s = 0.0
        self._bytes_a_second = ENDLESS
        self._rules.clear()
        self._late = None
        self.damages = 0
        for connection in tuple(self._connections):
            self._loop.call_soon_threadsafe(connection.flowing.set)
        for each in self._routes:
            self._loop.call_soon_threadsafe(each.passing.set)

    def reset(self) -> None:
        """Reset every connection there is."""
        self._loop.call_soon_threadsafe(self._reset_all)

    def delay(self, seconds: float, jitter_s: float = 0.0) -> None:
        """Hold each frame, both ways, for `seconds` and up to `jitter_s` more or less."""
        self._delay_s, self._jitter_s = seconds, jitter_s

    def throttle(self, bytes_a_second: float) -> None:
        """Pass so many bytes a second in each direction of each connection."""
        self._bytes_a_second = bytes_a_second

    def on(self, api_key: int, act: Act, times: int = ENDLESS) -> Rule:
        """Act on the next `times` requests of an api key; the rule counts how often it did."""
        rule = self._rules[api_key] = Rule(act, times)
        return rule

    def late(self, api_key: int, then: Sequence[int], *, by_itself: bool = True) -> LateRequest:
        """Hold the next request of an api key back until answers of those in `then` have passed."""
        self._late = LateRequest(api_key, list(then), by_itself)
        return self._late

    def deliver(self, late: LateRequest) -> None:
        """Deliver a request that is late; return when the broker has answered."""
        self._call(self._deliver(late))

    def damage(self, times: int) -> None:
        """Change one bit in the records of the next `times` large answers."""
        self.damages = times

    def connections(self) -> int:
        """Return how many clients are connected now."""
        return len(self._connections)

    def _chosen(self, broker: int | None) -> Sequence[Route]:
        return self._routes if broker is None else [self._routes[broker]]

    def _call(self, routine: Coroutine[object, object, None]) -> None:
        asyncio.run_coroutine_threadsafe(routine, self._loop).result(START_S)

    def _reset_all(self) -> None:
        for each in tuple(self._connections):
            each.reset()

    async def _listen(self) -> None:
        for port, target in self._pairs:
            route = Route(port, target)
            route.passing.set()
            self._routes.append(route)

            async def met(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, route: Route = route
            ) -> None:
                await self._meet(route, reader, writer)

            self._servers.append(await asyncio.start_server(met, "127.0.0.1", port))

    async def _end(self) -> None:
        """Close everything; each client's task then ends by itself."""
        for server in self._servers:
            server.close()
        for route in self._routes:
            route.passing.set()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        while tasks:
            self._reset_all()
            _, tasks = await asyncio.wait(tasks, timeout=TICK_S)

    async def _meet(
        self, route: Route, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve one client until one side ends."""
        async with AsyncExitStack() as stack:
            stack.callback(writer.transport.abort)
            await route.passing.wait()
            try:
                answers, onward = await asyncio.open_connection("127.0.0.1", route.target)
            except OSError:  # the broker is down
                return
            stack.callback(onward.transport.abort)
            connection = Connection(writer, onward, route.target)
            connection.flowing.set()
            self._connections.add(connection)
            stack.callback(self._connections.discard, connection)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pump(route, connection, reader, onward, self._request))
                    group.create_task(self._pump(route, connection, answers, writer, self._answer))
            except* (OSError, asyncio.IncompleteReadError):  # one side has ended
                pass

    async def _pump(
        self,
        route: Route,
        connection: Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        judge: Callable[[Connection, bytes], bool],
    ) -> None:
        """Pass frames of one direction on, each when it is due."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(WAITING)

        async def send() -> None:
            while True:
                due, frame = await waiting.get()
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                await route.passing.wait()
                writer.write(frame)
                await writer.drain()

        async def receive() -> None:
            due = 0.0
            while True:
                head = await reader.readexactly(4)
                body = await reader.readexactly(int.from_bytes(head))
                await route.passing.wait()
                passed = judge(connection, body)
                await connection.flowing.wait()
                if passed:
                    jitter = self._rng.uniform(-self._jitter_s, self._jitter_s)
                    sending = (4 + len(body)) / self._bytes_a_second
                    due = max(due, time.monotonic() + self._delay_s + jitter) + sending
                    await waiting.put((due, head + self._damaged(body, judge)))

        async with asyncio.TaskGroup() as group:
            group.create_task(send())
            group.create_task(receive())

    def _request(self, connection: Connection, body: bytes) -> bool:
        """Tell whether a request is passed on; note what is to be done with its answer."""
        api_key, _, correlation = struct.unpack_from(">hhi", body)
        late = self._late
        if late is not None and late.api_key == api_key and not late.body:
            late.body, late.target = body, connection.target
            connection.flowing.clear()
            self._loop.call_later(LATE_S, connection.reset)
            return False
        connection.asked[correlation] = api_key
        rule = self._rules.get(api_key)
        if rule is None or rule.left <= 0:
            return True
        rule.left -= 1
        rule.acted += 1
        if rule.act is Act.DROP_ANSWER:
            connection.swallow.add(correlation)
        elif rule.act is Act.RESET_AFTER:
            connection.reset_at.add(correlation)
        elif rule.act is Act.HOLD:
            connection.flowing.clear()
        return rule.act is not Act.DROP_REQUEST

    def _answer(self, connection: Connection, body: bytes) -> bool:
        """Tell whether an answer is passed on."""
        (correlation,) = struct.unpack_from(">i", body)
        self._follow(connection.asked.pop(correlation, None))
        if correlation in connection.reset_at:
            connection.reset()
            return False
        if correlation in connection.swallow:
            connection.swallow.discard(correlation)
            return False
        return True

    def _damaged(self, body: bytes, judge: Callable[[Connection, bytes], bool]) -> bytes:
        """Return a frame as it is to arrive."""
        if not self.damages or len(body) < LARGE_BYTES or judge != self._answer:
            return body
        self.damages -= 1
        middle = len(body) // 2
        return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]

    def _follow(self, api_key: int | None) -> None:
        """Note an answer that passes; deliver a late request that waited for it alone."""
        late = self._late
        if late is None or late.due or not late.body or api_key != late.then[0]:
            return
        del late.then[0]
        if not late.then:
            late.due = True
            if late.by_itself:
                self._delivering = self._loop.create_task(self._deliver(late))

    async def _deliver(self, late: LateRequest) -> None:
        """Send a late request to its broker, on a connection that no client knows."""
        reader, writer = await asyncio.open_connection("127.0.0.1", late.target)
        writer.write(struct.pack(">i", len(late.body)) + late.body)
        late.answer = await reader.readexactly(int.from_bytes(await reader.readexactly(4)))
        writer.close()
