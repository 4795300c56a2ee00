"""Puts the console's parts together and runs them until a signal."""

import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from sqlalchemy.exc import InterfaceError, OperationalError

from stream_scorer import clients
from stream_scorer.codecs.alerts import require_reader
from stream_scorer.config import Settings
from stream_scorer.console import ingest, keeping, lease, server, uploads
from stream_scorer.console.database import Database
from stream_scorer.console.doors import Address
from stream_scorer.console.folders import own_folder
from stream_scorer.console.jobs import Jobs
from stream_scorer.console.lag import Group
from stream_scorer.console.outbox import Outbox
from stream_scorer.console.pulse import Pulse
from stream_scorer.console.reader import Reader
from stream_scorer.errors import BadInput, KafkaTrouble
from stream_scorer.logs import event
from stream_scorer.topic_id import topic_ids

logger = logging.getLogger(__name__)

# Seconds between two looks for labels to send, for figures, for new alerts, and after trouble.
SEND_S, PULSE_S, NEWEST_S, AGAIN_S = 0.2, 0.5, 0.2, 2.0
TIDY_S, LIVE_S = 60.0, 3.0
QUIET = {"log_level": "0"}  # what is wrong is told on the pages, and once in the log


def run(settings: Settings) -> None:
    """Serve the pages; raise BadInput if the address or the database is not to be had."""
    require_reader(settings)
    database = Database(settings.console_database)
    listening = listen(settings)
    address = Address.of(settings, listening.getsockname()[1])
    asks = clients.admin(settings, QUIET)
    reader = Reader(
        clients.consumer(settings, {**QUIET, "group.id": f"{settings.group_id}-console"}),
        database,
        ingest.takers(settings),
        partial(topic_ids, asks),
        time.monotonic,
    )
    outbox = Outbox(
        database,
        clients.producer(settings, QUIET),
        settings.labels_topic,
        holder=lease.holder(),
        clock=server.now_ms,
    )
    member = clients.consumer(settings, QUIET)
    group = Group(settings.transactions_topic, member, asks)
    pulse = Pulse(database, group.progress, outbox.waiting)
    about = event("started", address=address.shown)
    logger.info("Console on %s, data in %s", address.shown, database.shown, extra=about)
    failed: list[BaseException] = []

    def fail(exc: BaseException) -> None:
        failed.append(exc)
        signal.raise_signal(signal.SIGTERM)

    with ExitStack() as stack:
        folder = stack.enter_context(own_folder(settings.console_uploads))
        jobs = Jobs(settings, database, server.now_ms, folder)
        ready = threading.Event()
        app = server.build(settings, database, pulse, jobs, address=address, ready=ready.set)
        stack.callback(database.close)
        stack.callback(member.close)
        stack.callback(reader.close)
        for name, turn, pause_s in (
            ("reader", reader.turn, 0.0),
            ("outbox", outbox.round, SEND_S),
            ("pulse", pulse.look, PULSE_S),
            ("newest alerts", pulse.look_for_alerts, NEWEST_S),
            ("uploads", jobs.turn, 0.0),
            ("signs of life", jobs.live, LIVE_S),
            ("keeping", lambda: tidy_up(settings, database), TIDY_S),
        ):
            stack.enter_context(beside(name, turn, pause_s, pulse.trouble, fail, ready))
        server.serve(app, settings, listening)
        waiting = outbox.waiting()
        jobs.stop()
    if failed:
        raise failed[0]
    logger.info(
        "Stopped; %d labels wait for Kafka, and are sent after the next start",
        waiting,
        extra=event("stopped", labels_waiting=waiting),
    )


def tidy_up(settings: Settings, database: Database) -> None:
    """Delete what is older than is kept, a little at a time."""
    with database.writing() as connection:
        uploads.forget(connection, server.now_ms())
    more = True
    while more:
        with database.writing() as connection:
            now = server.now_ms()
            more = keeping.tidy(connection, now=now, days=settings.console_keep_days)


@contextmanager
def beside(
    name: str,
    turn: Callable[[], object],
    pause_s: float,
    trouble: Callable[[str, str], None],
    fail: Callable[[BaseException], None],
    ready: threading.Event,
) -> Iterator[None]:
    """Call `turn` again and again in a thread for the length of the block, once all is `ready`.

    At its start NiceGUI looks at every object there is: a tuple that another thread is just making
    then fails (CPython's SystemError in tupleobject.c).
    Kafka or the database may be away: that is told by `trouble`, and tried again. Anything else
    ends the process by `fail`.
    """
    stop = threading.Event()

    def run() -> None:
        while not ready.wait(0.05):
            if stop.is_set():
                return
        try:
            while not stop.wait(pause_s):
                try:
                    turn()
                except KafkaTrouble as exc:
                    trouble(name, str(exc))
                    stop.wait(AGAIN_S)
                except (OperationalError, InterfaceError) as exc:
                    trouble(name, f"the database does not answer: {type(exc.orig).__name__}")
                    stop.wait(AGAIN_S)
                else:
                    trouble(name, "")
        except BaseException as exc:  # noqa: BLE001 - not swallowed: it ends the process
            fail(exc)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def listen(settings: Settings) -> socket.socket:
    """Return a socket that listens where the settings say."""
    host, port = settings.console_host, settings.console_port
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
    except OSError as exc:
        raise BadInput(
            f"SCORER_CONSOLE_HOST and SCORER_CONSOLE_PORT are {host}:{port}: {exc.strerror}"
        ) from exc
