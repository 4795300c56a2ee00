"""The server beside the loop: what it answers, and what it does not put up with."""

import contextlib
import resource
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from prometheus_client import CollectorRegistry, Counter

from stream_scorer.errors import BadInput
from stream_scorer.health import REQUEST_TIMEOUT_S, Health, Server
from tests.fakes import Clock


@pytest.fixture
def health() -> Health:
    return Health(Clock())


@pytest.fixture
def port(health: Health) -> Iterator[int]:
    registry = CollectorRegistry()
    Counter("things", "Things.", registry=registry).inc(3)
    with Server(health, registry).serving("127.0.0.1", 0) as number:
        yield number


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.read().decode()


def test_metrics_are_there(port: int) -> None:
    status, text = get(port, "/metrics")
    assert (status, "things_total 3.0" in text) == (200, True)


def test_pages_beside_them_are_json(health: Health) -> None:
    pages = {"/drift": lambda: b"{}"}
    with Server(health, CollectorRegistry(), pages).serving("127.0.0.1", 0) as port:
        assert get(port, "/drift") == (200, "{}")
        assert get(port, "/other") == (404, "paths: /metrics /healthz /readyz /drift\n")


def test_probes_follow_the_loop(port: int, health: Health) -> None:
    assert get(port, "/healthz")[0] == 200
    assert get(port, "/readyz") == (503, "no partition is assigned\n")
    health.beat(health.clock(), partitions=2)
    assert get(port, "/readyz")[0] == 200


def test_other_paths_and_methods_are_refused(port: int) -> None:
    assert get(port, "/")[0] == 404
    assert get(port, "/../etc/passwd")[0] == 404
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(b"POST /metrics HTTP/1.1\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 405")


def test_metrics_go_over_tls_if_there_is_a_certificate(health: Health, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = tmp_path / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    server = Server(health, CollectorRegistry())
    with server.serving("127.0.0.1", 0, certificate=certificate) as number:
        url = f"https://127.0.0.1:{number}/healthz"
        with urllib.request.urlopen(url, timeout=10, context=trusting) as answer:
            assert answer.status == 200
        with socket.create_connection(("127.0.0.1", number), 10) as clear:
            clear.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            assert b"200" not in clear.recv(100)


@pytest.mark.parametrize("text", [None, "", "-----BEGIN PRIVATE KEY-----"])
def test_a_certificate_that_is_none_is_named(
    health: Health, tmp_path: Path, text: str | None
) -> None:
    path = tmp_path / "server.pem"
    if text is not None:
        path.write_text(text)
    server = Server(health, CollectorRegistry())
    with (
        pytest.raises(BadInput, match=r"SCORER_HTTP_CERTIFICATE is .*server\.pem.*want a PEM file"),
        server.serving("127.0.0.1", 0, certificate=path),
    ):
        pass


IDLE = 1000


@pytest.fixture
def many_files() -> Iterator[None]:
    """Let this process have both ends of IDLE connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * IDLE + 500)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
def test_idle_connections_cost_no_threads_and_do_not_keep_a_probe_out(port: int) -> None:
    before = threading.active_count()
    idle = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(IDLE)]
    try:
        assert get(port, "/healthz")[0] == 200
        assert threading.active_count() == before
        with contextlib.suppress(ConnectionResetError):
            assert idle[0].recv(10) == b""  # beyond the bound the oldest has to go
        idle[-1].settimeout(0.05)
        with pytest.raises(TimeoutError):  # and the newest may stay
            idle[-1].recv(10)
    finally:
        for each in idle:
            each.close()


@pytest.mark.integration  # it takes the seconds that a reader has
def test_reader_that_takes_nothing_keeps_nobody_out_and_is_let_go(health: Health) -> None:
    page = b"[" + b"1," * 4_000_000 + b"1]"  # more than the kernel holds for a client
    server = Server(health, CollectorRegistry(), {"/drift": lambda: page})
    with server.serving("127.0.0.1", 0) as port:
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(20)
        slow.connect(("127.0.0.1", port))
        slow.sendall(b"GET /drift HTTP/1.1\r\n\r\n")
        assert slow.recv(10) == b"HTTP/1.1 2"
        begun = time.monotonic()
        assert get(port, "/healthz")[0] == 200
        assert time.monotonic() - begun < 1
        time.sleep(REQUEST_TIMEOUT_S + 0.5)
        taken = 0
        with contextlib.suppress(ConnectionResetError):
            while more := slow.recv(1 << 20):
                taken += len(more)
        assert taken < len(page)
        slow.close()


def test_endless_request_is_cut_off(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(b"GET /" + b"x" * 100_000)
        try:
            answer = client.recv(10)
        except ConnectionResetError:
            answer = b""
        assert answer == b""


def test_taken_port_names_the_settings(port: int, health: Health) -> None:
    with (
        pytest.raises(BadInput, match=f"SCORER_HTTP_PORT are 127.0.0.1:{port}"),
        Server(health, CollectorRegistry()).serving("127.0.0.1", port),
    ):
        pass
