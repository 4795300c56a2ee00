"""Fifty people on Live over a stream of 1,000 transactions a second, beside one.

    python -m benchmarks.watchers [--sessions 50] [--rate 1000] [--seconds 60] [--json]
    python -m benchmarks.watchers --sessions 1 --seconds 3600    # an hour of one page of Live

Starts a Kafka, a scorer, a console and Debian's chromium. The browser notes when each alert's row
is on its screen; the alert's record says when it was written. The other sessions are sockets of
signed-in people, who take what a browser would be sent. What grows without end shows in the second
half of the time, after the warm-up; some 100 bytes an alert of the browser's are this script's own.
Exits 1 if an alert was not on the screen within a second, but for those that more than 20 newer
ones pushed off before the next look.
"""

import asyncio
import contextlib
import json
import re
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import aiohttp
import click
import numpy as np
import socketio
from playwright.sync_api import Page, sync_playwright
from sqlalchemy import select

from producer.generate import generate
from stream_scorer.console import schema, sessions
from stream_scorer.console.people import Role
from stream_scorer.local_kafka import local_kafka
from tests.console.browser import CHROMIUM
from tests.console.running import Console, over
from tests.integration.stream import Stream, beside, fresh_stream
from tests.integration.test_stream import events
from tests.usage import usage

# Share of frauds among what is sent: at 1,000/s some ten alerts a second.
FRAUD_RATE = 0.015
WARM_UP_S = 10.0
ACTIVE_S = 600.0
LATEST_MS = 1000
OPTIONS = ["--no-sandbox", "--enable-precise-memory-info", "--js-flags=--expose-gc"]
# Megabytes that the page holds on to.
HEAP = "() => { gc(); return performance.memory.usedJSHeapSize / 1e6; }"
# When each row of the newest alerts first stood on the page, by its transaction's id.
OBSERVE = """() => {
  window.seen = {};
  const look = () => document.querySelectorAll('.newest tbody tr').forEach(row => {
    const id = row.cells[3] && row.cells[3].innerText;
    if (id && !(id in window.seen)) window.seen[id] = Date.now();
  });
  look();
  new MutationObserver(look).observe(document.body,
    {subtree: true, childList: true, characterData: true});
}"""


@click.command()
@click.option("--sessions", "people", default=50, help="People who watch, the browser's included.")
@click.option("--rate", default=1000, help="Transactions a second.")
@click.option("--seconds", default=60, help="For how long each is measured.")
@click.option("--json", "as_json", is_flag=True, help="The figures as JSON.")
def main(*, people: int, rate: int, seconds: int, as_json: bool) -> None:
    """Measure how late an alert is on the screen, and what the console takes for it."""
    found: dict[str, dict[str, float]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="watchers-") as name,
        local_kafka(quick=False) as kafka,
        fresh_stream(kafka.bootstrap, Path(name)) as stream,
        over(stream, Path(name)) as (console, _),
        feeding(stream, rate),
        sync_playwright() as tool,
    ):
        stream.start()
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        page = browser.new_context().new_page()
        cookies = [signed_in(console) for _ in range(people)]
        page.context.add_cookies([{"name": "console", "value": cookies[0], "url": console.origin}])
        page.goto(f"{console.origin}/live")
        for count in sorted({1, people}):
            with watching(console, cookies[1:count]) as received:
                page.wait_for_timeout(WARM_UP_S * 1000)
                found[str(count)] = measured(page, stream, console, received, seconds)
        browser.close()
    print(json.dumps(found) if as_json else in_words(found))
    if max(each["latest_ms"] for each in found.values()) > LATEST_MS:
        raise SystemExit("an alert was on the screen after more than a second")


def in_words(found: dict[str, dict[str, float]]) -> str:
    """Return the figures, those of one and of all side by side."""
    lines = [f"{'sessions':34}" + "".join(f"{count:>12}" for count in found)]
    for name in next(iter(found.values())):
        figures = "".join(f"{each[name]:12,.1f}" for each in found.values())
        lines.append(f"{name:34}{figures}")
    return "\n".join(lines)


def transactions() -> Iterator[tuple[str, bytes]]:
    """Yield key and value of one transaction after the other, without end."""
    start = 0
    for rows in generate(sys.maxsize, seed=3, fraud_rate=FRAUD_RATE):
        yield from events(rows[:, :-1], start)
        start += len(rows)


@contextlib.contextmanager
def feeding(stream: Stream, rate: int) -> Iterator[None]:
    """Send so many transactions a second until the block ends."""
    waiting = transactions()

    def feed(done: threading.Event) -> None:
        begun, sent = time.monotonic(), 0
        while not done.wait(0.02):
            due = int((time.monotonic() - begun) * rate) - sent
            piece = list(islice(waiting, due))
            stream.send(piece)
            sent += len(piece)

    with beside(feed):
        yield


def signed_in(console: Console) -> str:
    """Return the cookie of a viewer's session; the form would be tried too often for its limit."""
    with console.database.writing() as connection:
        known = schema.user.c.name == Role.VIEWER.word
        user = connection.scalars(select(schema.user.c.id).where(known)).one()
        now = time.time_ns() // 1_000_000
        return sessions.begin(connection, user_id=user, address="127.0.0.1", now=now)


@contextlib.contextmanager
def watching(console: Console, cookies: list[str]) -> Iterator[list[int]]:
    """Hold a socket of Live for each cookie; give one list to which each message adds its bytes."""
    received: list[int] = []
    done = asyncio.Event()
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    async def watch(session: aiohttp.ClientSession, cookie: str) -> socketio.AsyncClient:
        headers = {"Origin": console.origin, "Cookie": f"console={cookie}"}
        async with session.get(f"{console.origin}/live", headers=headers) as answer:
            page = re.search(r"'client_id': '([0-9a-f-]{36})'", await answer.text())
        if page is None:
            raise SystemExit(f"/live gave no page: {answer.status}")
        client = socketio.AsyncClient(reconnection=False, http_session=session)
        client.on("*", lambda _, data=None, *__: received.append(len(json.dumps(data))))
        await client.connect(
            f"{console.origin}/?implicit_handshake=true&client_id={page[1]}&tab_id=t"
            "&document_id=d&next_message_id=0",
            headers=headers,
            socketio_path="/_nicegui_ws/socket.io",
            transports=["websocket"],
        )
        return client

    async def hold() -> None:
        async with contextlib.AsyncExitStack() as stack:
            clients = []
            for cookie in cookies:  # each with its own cookies
                session = await stack.enter_async_context(aiohttp.ClientSession())
                clients.append(await watch(session, cookie))
            ready.set()
            await done.wait()
            for client in clients:
                if not client.connected:
                    raise SystemExit("a session was cut off")
                await client.disconnect()
            await asyncio.sleep(0.5)  # for its tasks to end

    thread = threading.Thread(target=loop.run_until_complete, args=(hold(),))
    thread.start()
    try:
        if not ready.wait(60):
            raise SystemExit("the sockets do not open")
        yield received
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()


def measured(
    page: Page, stream: Stream, console: Console, received: list[int], seconds: int
) -> dict[str, float]:
    """Return what is seen within so many seconds."""
    page.evaluate(OBSERVE)
    begun_ms, sent, before = time.time() * 1000, sum(received), usage(console.process.pid)
    watch(page, seconds / 2)
    half, half_heap = usage(console.process.pid), page.evaluate(HEAP)
    watch(page, seconds / 2)
    took_s = time.time() - begun_ms / 1000
    after, sent, heap = usage(console.process.pid), sum(received) - sent, page.evaluate(HEAP)
    seen: dict[str, float] = page.evaluate("window.seen")
    late = []
    for message in stream.alerts():
        key, at = (message.key() or b"").decode(), message.timestamp()[1]
        if begun_ms <= at <= begun_ms + (seconds - 2) * 1000:
            late.append(seen[key] - at if key in seen else float("inf"))
    shown = [each for each in late if each != float("inf")]
    return {
        "alerts a second": len(late) / seconds,
        "not shown": len(late) - len(shown),
        "p50_ms": statistics.median(shown),
        "p95_ms": float(np.percentile(shown, 95)),
        "latest_ms": max(shown),
        "console's CPU, % of a core": 100 * (after.cpu_s - before.cpu_s) / took_s,
        "console's memory, MB": after.rss_mb,
        "grown in the second half, MB": after.rss_mb - half.rss_mb,
        "its files and threads, count": after.fds + after.threads,
        "grown in the second half, count": after.fds + after.threads - half.fds - half.threads,
        "browser's heap, MB": heap,
        "the heap in the second half, MB": heap - half_heap,
        "sent, kB a second": sent / 1000 / took_s,
    }


def watch(page: Page, seconds: float) -> None:
    """Let the page be; who does nothing for half an hour is signed out, so a person does."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        page.wait_for_timeout(min(left, ACTIVE_S) * 1000)
        page.evaluate("async () => { await fetch('/live'); }")


if __name__ == "__main__":
    main()
