"""Whether the process lives and whether it is ready, over HTTP beside the metrics."""

import asyncio
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from stream_scorer.errors import BadInput

# Seconds. A turn may wait 30 s for acknowledgements and then a commit; a broker outage must not
# restart the fleet, so only a loop that hangs longer than both is dead.
DEAD_AFTER_S = 90.0
# Seconds. A ready process polls at least every 100 ms; a flush may take a little.
STALE_AFTER_S = 10.0
# Seconds and counts: what one client, and all of them together, may cost.
REQUEST_TIMEOUT_S = 5.0
LARGEST_REQUEST_BYTES = 8192
MOST_CONNECTIONS = 32
NO_PAGES: Mapping[str, Callable[[], bytes]] = {}


@dataclass(slots=True)
class Health:
    """What the loop notes down and the probes read; times by `clock`, in seconds."""

    clock: Callable[[], float] = time.monotonic
    turned: float | None = None  # when the loop last came round
    partitions: int = 0
    draining: bool = False  # after a signal: what is done is being committed

    def beat(self, now: float, *, partitions: int) -> None:
        """Note that the loop came round, having polled, and what it owns."""
        self.turned = now
        self.partitions = partitions

    def live(self) -> tuple[bool, str]:
        """Tell whether the loop turned lately; a broker that is away does not count against it."""
        if self.turned is None:
            return True, "starting"
        age = self.clock() - self.turned
        return age < DEAD_AFTER_S, f"the loop turned {age:.1f} s ago"

    def ready(self) -> tuple[bool, str]:
        """Tell whether records are being scored here; the model was checked before the start."""
        if self.draining:
            return False, "draining: what is done is being committed"
        if self.turned is None or not self.partitions:
            return False, "no partition is assigned"
        age = self.clock() - self.turned
        return age < STALE_AFTER_S, f"{self.partitions} partitions, polled {age:.1f} s ago"


class Probes(Protocol):
    """What answers whether the process lives and is ready: `Health`, or several together."""

    def live(self) -> tuple[bool, str]: ...
    def ready(self) -> tuple[bool, str]: ...


class Server:
    """Answers GET for a few paths; one thread however many clients, each bounded in time."""

    def __init__(
        self,
        health: Probes,
        registry: CollectorRegistry,
        pages: Mapping[str, Callable[[], bytes]] = NO_PAGES,
    ) -> None:
        """Serve these two, and `pages`: JSON by path."""
        self._pages = pages
        self._health = health
        self._registry = registry
        self._open: dict[asyncio.StreamWriter, None] = {}  # the oldest first

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Return status, content type and body for a path."""
        if path == "/metrics":
            return 200, CONTENT_TYPE_PLAIN_0_0_4, generate_latest(self._registry)
        probes = {"/healthz": self._health.live, "/readyz": self._health.ready}
        if path in self._pages:
            return 200, "application/json", self._pages[path]()
        if path not in probes:
            known = " ".join(["/metrics", *probes, *self._pages])
            return 404, "text/plain", f"paths: {known}\n".encode()
        good, text = probes[path]()
        return 200 if good else 503, "text/plain", f"{text}\n".encode()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection, within the bounds, and close it."""
        self._open[writer] = None
        if len(self._open) > MOST_CONNECTIONS:  # idle ones must not keep a probe out
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.transport.abort()
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self.respond(head))
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            pass  # a client that is slow, gone or too long-winded
        finally:
            self._open.pop(writer, None)
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    async def end(self, server: asyncio.Server) -> None:
        """Close the server and what is open, and wait until all of it has ended."""
        server.close()
        for writer in list(self._open):
            writer.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    def respond(self, head: bytes) -> bytes:
        """Return the bytes of the response to a request's head."""
        method, _, rest = head.split(b"\r\n", 1)[0].partition(b" ")
        path = rest.split(b" ")[0].split(b"?")[0].decode("latin-1")
        if method in {b"GET", b"HEAD"}:
            status, kind, body = self.answer(path)
        else:
            status, kind, body = 405, "text/plain", b"GET only\n"
        lines = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            f"Content-Type: {kind}",
            f"Content-Length: {len(body)}",
            "Connection: close\r\n\r\n",
        )
        return "\r\n".join(lines).encode() + (b"" if method == b"HEAD" else body)

    @contextmanager
    def serving(
        self,
        host: str,
        port: int,
        *,
        certificate: Path | None = None,
        port_setting: str = "SCORER_HTTP_PORT",
    ) -> Iterator[int]:
        """Serve from a thread of its own for the length of the `with` block; yield the port.

        With TLS if there is a `certificate`. Raises BadInput if that or the address is no good, in
        the name of the `port_setting`.
        """
        tls = server_tls(certificate) if certificate else None
        loop = asyncio.new_event_loop()
        try:
            server = loop.run_until_complete(
                asyncio.start_server(
                    self.handle,
                    host,
                    port,
                    limit=LARGEST_REQUEST_BYTES,
                    ssl=tls,
                    ssl_handshake_timeout=REQUEST_TIMEOUT_S if tls else None,
                )
            )
        except OSError as exc:
            loop.close()
            raise BadInput(
                f"SCORER_HTTP_HOST and {port_setting} are {host}:{port}: {exc.strerror}"
            ) from exc
        thread = threading.Thread(target=loop.run_forever, name="http", daemon=True)
        thread.start()
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            asyncio.run_coroutine_threadsafe(self.end(server), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


def server_tls(certificate: Path) -> ssl.SSLContext:
    """Return the TLS side of a server with the key and certificates of one PEM file."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate)
    except OSError as exc:  # ssl.SSLError is one, too
        raise BadInput(
            f"SCORER_HTTP_CERTIFICATE is {str(certificate)!r}: want a PEM file of a key and its "
            f"certificates: {exc.strerror or exc}"
        ) from exc
    return context
