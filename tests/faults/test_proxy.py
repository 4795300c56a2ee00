"""The proxy passes frames as they are, and does to them what it is told."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from stream_scorer.local_kafka import free_ports
from tests.faults.answers import END_TXN, PRODUCE
from tests.faults.proxy import Act, Proxy
from tests.integration.stream import wait_for

SHORT_S = 0.3


def frame(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


def request(api_key: int, correlation: int, rest: bytes = b"") -> bytes:
    return frame(struct.pack(">hhi", api_key, 9, correlation) + rest)


def read_exactly(sock: socket.socket, size: int) -> bytes:
    """Return so many bytes, fewer if the other side ends before."""
    found = b""
    while len(found) < size and (piece := sock.recv(size - len(found))):
        found += piece
    return found


def read_frame(sock: socket.socket) -> bytes:
    return read_exactly(sock, int.from_bytes(read_exactly(sock, 4)))


class Echo:
    """Answers each request with its correlation id and what it held; remembers api keys."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.seen: list[int] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            while body := read_frame(sock):
                api_key, _, correlation = struct.unpack_from(">hhi", body)
                self.seen.append(api_key)
                sock.sendall(frame(struct.pack(">i", correlation) + body[8:]))


@contextmanager
def connected(proxy_port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy_port), timeout=5) as sock:
        yield sock


@pytest.fixture
def echo() -> Iterator[Echo]:
    echo = Echo()
    yield echo
    echo.server.shutdown(socket.SHUT_RDWR)  # or `accept` would go on waiting
    echo.server.close()


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def proxy(echo: Echo, port: int) -> Iterator[Proxy]:
    with Proxy([(port, echo.port)]).running() as each:
        yield each


def answer_of(sock: socket.socket) -> tuple[int, bytes]:
    body = read_frame(sock)
    return struct.unpack_from(">i", body)[0], body[4:]


def silent(sock: socket.socket) -> bool:
    """Tell whether nothing comes for a while."""
    sock.settimeout(SHORT_S)
    try:
        return not sock.recv(1)
    except TimeoutError:
        return True
    finally:
        sock.settimeout(5)


def test_frames_pass_as_they_are(proxy: Proxy, port: int) -> None:
    with connected(port) as sock:
        sock.sendall(request(PRODUCE, 1, b"x" * 100_000) + request(3, 2, b"y"))
        assert answer_of(sock) == (1, b"x" * 100_000)
        assert answer_of(sock) == (2, b"y")
        assert proxy.connections() == 1


def test_blackhole_holds_all_until_it_is_healed(proxy: Proxy, port: int, echo: Echo) -> None:
    with connected(port) as sock:
        sock.sendall(request(3, 1))
        assert answer_of(sock) == (1, b"")
        proxy.blackhole()
        sock.sendall(request(3, 2))
        assert silent(sock)
        assert echo.seen == [3]
        proxy.heal()
        assert answer_of(sock) == (2, b"")


def test_reset_ends_every_connection(proxy: Proxy, port: int) -> None:
    with connected(port) as sock:
        sock.sendall(request(3, 1))
        answer_of(sock)
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


def test_dropped_request_never_arrives_and_the_next_one_does(
    proxy: Proxy, port: int, echo: Echo
) -> None:
    rule = proxy.on(PRODUCE, Act.DROP_REQUEST, 1)
    with connected(port) as sock:
        sock.sendall(request(PRODUCE, 1) + request(PRODUCE, 2))
        assert answer_of(sock) == (2, b"")
    assert rule.acted == 1
    assert echo.seen == [PRODUCE]


def test_dropped_answer_was_acted_upon(proxy: Proxy, port: int, echo: Echo) -> None:
    proxy.on(END_TXN, Act.DROP_ANSWER, 1)
    with connected(port) as sock:
        sock.sendall(request(END_TXN, 1) + request(3, 2))
        assert answer_of(sock) == (2, b"")
    assert echo.seen == [END_TXN, 3]


def test_held_request_waits_with_all_behind_it(proxy: Proxy, port: int, echo: Echo) -> None:
    proxy.on(PRODUCE, Act.HOLD)
    with connected(port) as sock, connected(port) as other:
        sock.sendall(request(PRODUCE, 1) + request(3, 2))
        other.sendall(request(3, 1))
        assert answer_of(other) == (1, b"")
        assert silent(sock)
        assert echo.seen == [3]
        proxy.heal()
        assert answer_of(sock) == (1, b"")
        assert answer_of(sock) == (2, b"")


def test_reset_after_acts_first(proxy: Proxy, port: int, echo: Echo) -> None:
    proxy.on(END_TXN, Act.RESET_AFTER, 1)
    with connected(port) as sock:
        sock.sendall(request(END_TXN, 1))
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    assert echo.seen == [END_TXN]


def test_delay_and_throttle_hold_frames_back(proxy: Proxy, port: int) -> None:
    def seconds(sock: socket.socket) -> float:
        begun = time.monotonic()
        sock.sendall(request(3, 1, b"x" * 10_000))
        answer_of(sock)
        return time.monotonic() - begun

    with connected(port) as sock:
        proxy.delay(SHORT_S)
        assert seconds(sock) > 2 * SHORT_S
        proxy.heal()
        proxy.throttle(10_000 / SHORT_S)
        assert seconds(sock) > 2 * SHORT_S


def test_broker_that_is_down_ends_its_clients_connection() -> None:
    (port, nobody) = free_ports(2)
    with (
        Proxy([(port, nobody)]).running(),
        connected(port) as sock,
        contextlib.suppress(ConnectionResetError),
    ):
        assert sock.recv(1) == b""


@pytest.mark.parametrize("by_itself", [True, False])
def test_late_request_arrives_after_its_repetition_on_another_connection(
    proxy: Proxy, port: int, echo: Echo, *, by_itself: bool
) -> None:
    late = proxy.late(END_TXN, [END_TXN, PRODUCE], by_itself=by_itself)
    with connected(port) as sock:
        sock.sendall(request(END_TXN, 1, bytes(7)))
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    assert echo.seen == [], "the broker has seen nothing"
    with connected(port) as sock:
        sock.sendall(request(END_TXN, 2) + request(PRODUCE, 3))
        answer_of(sock)
        answer_of(sock)
    assert late.due
    if not by_itself:
        assert echo.seen == [END_TXN, PRODUCE]
        proxy.deliver(late)
    wait_for("its answer", lambda: bool(late.answer))
    assert echo.seen == [END_TXN, PRODUCE, END_TXN]
    assert late.codes() == {0}


def test_large_answers_are_damaged_so_many_times(proxy: Proxy, port: int) -> None:
    proxy.damage(1)
    with connected(port) as sock:
        sock.sendall(request(3, 1, b"x" * 10) + request(3, 2, b"x" * 100_000))
        assert answer_of(sock) == (1, b"x" * 10)
        _, damaged = answer_of(sock)
        assert sum(byte != ord("x") for byte in damaged) == 1
        sock.sendall(request(3, 3, b"x" * 100_000))
        assert answer_of(sock) == (3, b"x" * 100_000)
