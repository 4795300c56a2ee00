"""`stream-scorer demo`: a Kafka, a scorer and two replays on this machine, then the books."""

import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urljoin

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
from stream_scorer.loopback import open_url
from stream_scorer.topics import TopicReader

TRANSACTIONS_DATA = Path(producer.__file__).parent / "transactions_data.csv"
# Events a second that an eye can follow: the file's 10,000 last 20 s.
CALM_RATE = 500
FAST_ROWS = 100_000
# What a broken producer might send: each is dead-lettered, and nothing beside it suffers.
BAD_EVENTS = (b'{"Time": 1, "V1": "twelve"}', b"not JSON at all", b'{"Time": NaN}')
# Seconds: for the scorer to start, and without progress until the demo gives up.
START_TIMEOUT_S, PATIENCE_S = 30.0, 30.0
OURS = (sys.executable, "-m", "stream_scorer")
GUARDED = (sys.executable, "-m", "stream_scorer.guardian", "--")
# Enough for days; labels follow after 20 s.
ENDLESS = ("--generate", "50000000", "--rate", "100", "--labels", "--label-delay", "20")
CONSOLE_URL = re.compile(r"(?<=Console on )http://[^,\s]+")
METRICS_URL = re.compile(r"http://\S+/metrics")


@click.command()
@click.option("--keep", is_flag=True, help="Leave all running at the end and print the addresses.")
@click.option(
    "--console", "pages", is_flag=True, help="The web pages over a stream that goes on, instead."
)
def demo(*, keep: bool, pages: bool) -> int:
    """See it work: a real Kafka, 10,000 transactions at an easy pace, 100,000 at full speed.

    \b
    Example: stream-scorer demo --keep
             stream-scorer demo --console

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
        if pages:
            show_pages(stack, settings, console, metrics_url=url)
            return 0
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


def show_pages(stack: ExitStack, settings: Settings, console: Console, *, metrics_url: str) -> None:
    """Run monitor and console over transactions that go on, until Ctrl-C.

    Labels follow with a delay, so that precision and recall move.
    """
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    environ = environment(settings) | {
        "SCORER_CONSOLE_DATABASE": f"sqlite:///{folder}/console.db",
        "SCORER_CONSOLE_UPLOADS": f"{folder}/uploads",
        "SCORER_CONSOLE_METRICS": metrics_url,
        "SCORER_CONSOLE_PORT": "0",
        "SCORER_MONITOR_PORT": "0",
    }
    password = secrets.token_urlsafe(12)
    subprocess.run(  # noqa: S603 - our own command
        [*OURS, "console", "user", "add", "demo", "--role", "administrator"],
        input=f"{password}\n".encode(),
        stdout=subprocess.DEVNULL,
        env=environ,
        check=True,
    )
    stack.enter_context(running("monitor", environ, METRICS_URL, "/metrics"))
    address = stack.enter_context(running("console", environ, CONSOLE_URL, "/healthz"))
    console.print(
        f"The console is at {address}; sign in as demo with the password {password}\n"
        "Ctrl-C stops all of it, and nothing of it stays.",
        soft_wrap=True,
    )
    silent = subprocess.DEVNULL
    replay = guarded(["replay", *ENDLESS], environ, stdout=silent, stderr=silent)
    try:
        wait_for_signal()
    finally:
        replay.communicate()


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
    command = ["replay", *arguments, "--labels", "--json"]
    process = guarded(command, environment(settings), stdout=subprocess.PIPE)
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


def guarded(
    command: Sequence[str],
    environ: dict[str, str],
    *,
    stdout: int | None = None,
    stderr: int | BinaryIO | None = None,
) -> subprocess.Popen[bytes]:
    """Start one of our commands, which is to stop when its standard input is closed."""
    return subprocess.Popen(  # noqa: S603 - our own command
        [*GUARDED, *OURS, *command],
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=stderr,
        env=environ,
        start_new_session=True,  # Ctrl-C reaches us only; the guardian passes the end on
    )


@contextmanager
def running(
    name: str, environ: dict[str, str], address: re.Pattern[str], probe: str
) -> Iterator[str]:
    """Run `stream-scorer NAME` for the length of the block; yield the address that it logs.

    It is ready when `probe`, a path there, answers.
    """
    with tempfile.TemporaryFile("ab+") as log:  # has no name: nothing stays behind
        process = guarded([name], environ, stderr=log)
        try:
            yield wait_until_ready(name, process, log, address, probe)
        finally:
            process.communicate()  # closes its standard input, which is the signal to stop
        code = process.returncode
        if code:
            raise Unfit(f"`{name}` ended with exit code {code}: {last_line(log)}")


def running_scorer(settings: Settings) -> AbstractContextManager[str]:
    """Run the scorer; give the address of its metrics."""
    environ = environment(settings) | {"SCORER_HTTP_PORT": "0"}
    return running("run", environ, METRICS_URL, "/readyz")


def wait_until_ready(
    name: str,
    process: subprocess.Popen[bytes],
    log: BinaryIO,
    address: re.Pattern[str],
    probe: str,
) -> str:
    """Return the address in a log once its probe answers."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        found = address.search(text_of(log))
        if found:
            with contextlib.suppress(OSError):  # 503: not ready yet
                open_url(urljoin(found[0], probe), timeout=5).close()
                return found[0]
        time.sleep(0.05)
    raise Unfit(f"`{name}` did not start: {last_line(log)}")


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
