"""The console with a million stored alerts: how long its pages take, and what it holds in memory.

`python -m benchmarks.console [--alerts 1000000] [--requests 200]`, on SQLite, no Kafka. Times
are of whole requests to a running console by one visitor, one after the other, the sign-in form
(no query, no page of NiceGUI's) beside them.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import click
import numpy as np

from stream_scorer.console import queue, schema
from stream_scorer.console.database import Database
from stream_scorer.console.people import Role
from stream_scorer.console.queue import Cursor, Filter
from tests.console.running import running
from tests.usage import usage

AT_ONCE = 20_000
BODY = '{"reasons": [], "features": {}, "threshold": 0.8, "padding": "%s"}' % ("x" * 800)
PAGES = (
    "/alerts",
    "/alerts?state=all&order=newest",
    "/alerts?state=all&order=amount",
    "/alerts?state=fraud",
    "/alerts?text=t500",
    "/alerts?open=a500",
    "/live",
)


def alerts(count: int) -> Iterator[dict[str, object]]:
    """Yield so many alerts, drawn with a fixed seed; one in twenty is labelled."""
    rng = np.random.default_rng(1)
    now = time.time_ns() // 1_000_000
    for number in range(count):
        state = ("fraud" if number % 40 else "genuine") if number % 20 == 0 else "open"
        yield {
            "alert_id": f"a{number}",
            "transaction_id": f"t{number}",
            "topic": "transactions",
            "partition": number % 6,
            "offset": number // 6,
            "timestamp_ms": now - number * 50,
            "alerted_at": now - number * 50 + 5,
            "probability": float(rng.uniform(0.8, 1.0)),
            "amount": float(rng.exponential(90.0)),
            "reason": "V14 -8.1",
            "model_name": "fraud",
            "model_version": "1.1.0",
            "model_sha256": "0" * 64,
            "state": state,
            "version": 0,
            "body": BODY,
        }


def fill(database: Database, count: int) -> None:
    """Store so many alerts."""
    drawn = alerts(count)
    while batch := list(islice(drawn, AT_ONCE)):
        with database.writing() as connection:
            connection.execute(schema.alert.insert(), batch)


def times_ms(call: Callable[[], object], count: int) -> str:
    """Return how long calls take, in words."""
    took = []
    for _ in range(count):
        begun = time.perf_counter()
        call()
        took.append(1000 * (time.perf_counter() - begun))
    p50, p95 = np.percentile(took, [50, 95])
    return f"p50 {p50:.0f} ms, p95 {p95:.0f} ms"


def turn_pages(database: Database, pages: int) -> None:
    """Go through the queue by keyset."""
    after: Cursor | None = None
    with database.reading() as connection:
        for _ in range(pages):
            after = queue.page(connection, Filter(), after=after).after


@click.command()
@click.option("--alerts", "count", default=1_000_000, show_default=True)
@click.option("--requests", default=200, show_default=True, help="Of each page.")
def main(*, count: int, requests: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = f"sqlite:///{folder}/console.db"
        database = Database(url)
        begun = time.monotonic()
        fill(database, count)
        click.echo(f"{count:,} alerts stored in {time.monotonic() - begun:.0f} s")
        begun = time.perf_counter()
        turn_pages(database, 1000)
        click.echo(f"a page of the queue, by keyset: {time.perf_counter() - begun:.2f} ms")
        database.close()
        with running(folder, url) as console:
            console.add("ana", Role.ANALYST)
            ana = console.signed_in("ana")
            click.echo(f"/sign-in: {times_ms(lambda: ana.get('/sign-in'), requests)}")
            for path in PAGES:
                took = times_ms(partial(ana.get, path), requests)
                click.echo(f"{path}: {took}; {usage(console.process.pid).rss_mb:.0f} MB")


if __name__ == "__main__":
    main()
