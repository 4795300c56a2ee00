"""`stream-scorer demo`: a Kafka, a scorer and two replays on this machine, then the books."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import click
from confluent_kafka import Producer
from rich.console import Console
from rich.live import Live

import producer
from stream_scorer.board import Board
from stream_scorer.books import as_tables, read_books
from stream_scorer.config import Settings
from stream_scorer.errors import Unfit
from stream_scorer.kafka_command import create_topics
from stream_scorer.local_kafka import local_kafka
from stream_scorer.topics import TopicReader

TRANSACTIONS_DATA = Path(producer.__file__).parent / "transactions_data.csv"
# Events a second that an eye can follow: the file's 10,000 last 20 s.
CALM_RATE = 500
FAST_ROWS = 100_000
# What a broken producer might send: each is dead-lettered, and nothing beside it suffers.
BAD_EVENTS = (b'{"Time": 1, "V1": "twelve"}', b"not JSON at all", b'{"Time": NaN}')
# Seconds: for the scorer to start, and without progress until the demo gives up.
START_TIMEOUT_S, PATIENCE_S = 30.0, 30.0
GUARDED = (sys.executable, "-m", "stream_scorer.guardian", "--")
METRICS_URL = re.compile(r"http://\S+/metrics")


@click.command()
@click.option("--keep", is_flag=True, help="Leave all running at the end and print the addresses.")
def demo(*, keep: bool) -> int:
    """See it work: a real Kafka, 10,000 transactions at an easy pace, 100,000 at full speed.

    \b
    Example: stream-scorer demo --keep

    Needs the extra `kafka`. At the end the books are closed: produced = scored + dead-lettered,
    nothing lost, nothing repeated. Exits 0 only if that is so. Takes less than a minute.
    """
    console = Console()
    signal.signal(signal.SIGTERM, lambda _, __: sys.exit(128 + signal.SIGTERM))  # stops the parts
    with ExitStack() as stack:
        console.print("Starting Apache Kafka...")
        kafka = stack.enter_context(local_kafka())
        settings = Settings(
            kafka={"bootstrap.servers": kafka.bootstrap}, scores_topic="fraud-scores"
        )
        create_topics(kafka, settings)
        console.print(f"Kafka is at {kafka.bootstrap}. Starting the scorer...")
        url = stack.enter_context(running_scorer(settings))
        board = Board(console, TopicReader(settings, settings.alerts_topic), url)
        stack.callback(board.close)
        produced = send_all(settings, board)
        books = read_books(settings, produced=produced, latency_ms=board.latency_ms)
        console.print("", *as_tables(books), sep="\n")
        console.print("The books close." if books.closed else "THE BOOKS DO NOT CLOSE.")
        if keep:
            console.print(
                f"Kafka is at {kafka.bootstrap}, metrics are at {url}. Next, elsewhere:\n"
                f"  export SCORER_KAFKA_BOOTSTRAP_SERVERS={kafka.bootstrap}\n"
                "  stream-scorer alerts --follow\n"
                "Ctrl-C stops all of it."
            )
            wait_for_signal()
    return 0 if books.closed else 1


def send_all(settings: Settings, board: Board) -> int:
    """Replay the file, a few bad events and the generator; return how many Kafka confirmed."""
    terminal = board.console.is_terminal
    with ExitStack() as stack:
        live = stack.enter_context(Live(console=board.console)) if terminal else None
        board.begin(f"{CALM_RATE} events/s")
        produced = replay([str(TRANSACTIONS_DATA), "--rate", str(CALM_RATE)], settings, board, live)
        produced += send_bad_events(settings)
        follow(board, live, until=produced)
        board.begin("full speed")
        produced += replay(["--generate", str(FAST_ROWS)], settings, board, live)
        follow(board, live, until=produced)
    return produced


def replay(arguments: list[str], settings: Settings, board: Board, live: Live | None) -> int:
    """Run `stream-scorer replay` and show the board meanwhile; return the events confirmed."""
    command = [sys.executable, "-m", "stream_scorer", "replay", *arguments, "--labels", "--json"]
    process = subprocess.Popen(  # noqa: S603 - our own command
        [*GUARDED, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(settings),
        start_new_session=True,
    )
    try:
        while process.poll() is None:
            board.look()
            board.show(live)
    finally:
        answer, _ = process.communicate()  # closes its standard input, which is the signal to stop
    if process.returncode:
        raise Unfit(f"the replay ended with exit code {process.returncode}: see its line above")
    return int(json.loads(answer)["confirmed"])


def send_bad_events(settings: Settings) -> int:
    """Send what cannot be scored; return how many."""
    client = Producer({"bootstrap.servers": settings.kafka["bootstrap.servers"]})
    for value in BAD_EVENTS:
        client.produce(settings.transactions_topic, value)
    if client.flush(10):
        raise Unfit("Kafka did not confirm the bad events")
    return len(BAD_EVENTS)


def follow(board: Board, live: Live | None, *, until: int) -> None:
    """Show the board until so many records are scored or dead-lettered."""
    moved = time.monotonic()
    before = -1
    while (done := board.figures.scored + board.figures.dead_letters) < until:
        if done != before:
            before, moved = done, time.monotonic()
        if time.monotonic() - moved > PATIENCE_S:
            raise Unfit(f"{done} of {until} records are done and nothing moves")
        board.look()
        board.show(live)
    board.look()  # the last alerts
    board.show(live)


@contextmanager
def running_scorer(settings: Settings) -> Iterator[str]:
    """Run `stream-scorer run` for the length of the block; yield the address of its metrics."""
    with tempfile.TemporaryFile("ab+") as log:  # has no name: nothing stays behind
        process = subprocess.Popen(  # noqa: S603 - our own command
            [*GUARDED, sys.executable, "-m", "stream_scorer", "run"],
            stdin=subprocess.PIPE,
            stderr=log,
            env=environment(settings) | {"SCORER_HTTP_PORT": "0"},
            start_new_session=True,  # Ctrl-C reaches us only; the guardian passes the end on
        )
        try:
            yield wait_until_ready(process, log)
        finally:
            process.communicate()  # closes its standard input, which is the signal to stop
        code = process.returncode
        if code:
            raise Unfit(f"the scorer ended with exit code {code}: {last_line(log)}")


def wait_until_ready(process: subprocess.Popen[bytes], log: BinaryIO) -> str:
    """Return the metrics address from the scorer's log once it has its partitions."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        found = METRICS_URL.search(text_of(log))
        if found:
            with contextlib.suppress(OSError):  # 503: not ready yet
                urllib.request.urlopen(found[0].replace("metrics", "readyz"), timeout=5).close()  # noqa: S310
                return found[0]
        time.sleep(0.05)
    raise Unfit(f"the scorer did not start: {last_line(log)}")


def text_of(log: BinaryIO) -> str:
    """Return what is in the log; the place where the scorer writes is not moved."""
    return os.pread(log.fileno(), os.fstat(log.fileno()).st_size, 0).decode(errors="replace")


def last_line(log: BinaryIO) -> str:
    """Return the last line of a log."""
    return "".join(text_of(log).splitlines()[-1:])


def environment(settings: Settings) -> dict[str, str]:
    """Return our environment with the demo's settings in place of anybody's."""
    own = {k: v for k, v in os.environ.items() if not k.startswith("SCORER_")}
    return own | {
        "SCORER_KAFKA_BOOTSTRAP_SERVERS": settings.kafka["bootstrap.servers"],
        "SCORER_SCORES_TOPIC": settings.scores_topic,
    }


def wait_for_signal() -> None:
    """Return at Ctrl-C or SIGTERM."""
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _, __: told.set())
    while not told.wait(0.5):
        pass
