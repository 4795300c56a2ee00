"""Runs the faust application until a signal, or ends the process with a line: it never hangs on."""

import asyncio
import os
import signal
import tempfile
import threading
import time
import traceback
from pathlib import Path

from stream_scorer import standard_error
from stream_scorer.config import Settings
from stream_scorer.errors import ScorerError
from stream_scorer.health import Health
from stream_scorer.logs import last_line
from stream_scorer.monitor.application import Application
from stream_scorer.monitor.board import Board
from stream_scorer.monitor.places import Topics
from stream_scorer.monitor.watchdog import Watchdog
from stream_scorer.stall import STALL_S

# Seconds from a signal to the end, whatever hangs.
STOP_DEADLINE_S = 30.0
# Seconds between two beats of the loop.
BEAT_S = 0.5


class Ending:
    """How the process ends: once, by a signal or by what failed."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    def ask(self) -> None:
        """End cleanly, and at the latest after the deadline."""
        if not self.asked.is_set():
            self.asked.set()
            timer = threading.Timer(STOP_DEADLINE_S, end, ["not stopped in time after the signal"])
            timer.daemon = True
            timer.start()

    def fail(self, exc: BaseException) -> None:
        """End now; nothing is lost, as nothing that is not written was acknowledged."""
        if not self.asked.is_set():  # what faust's parts say while they stop is no failure
            text = str(exc)
            if not isinstance(exc, ScorerError):  # Kafka's, faust's or our own mistake
                standard_error.write("".join(traceback.format_exception(exc)))
                text = f"{type(exc).__name__}: {exc}"
            end(" ".join(text.split()), stacks=False)


def end(why: str, *, stacks: bool = True) -> None:
    """End the process with a line; threads of faust's would keep it alive."""
    last_line(why, 1)
    if stacks:
        standard_error.write_stacks()
    os._exit(1)


async def run(
    settings: Settings, topics: Topics, board: Board, health: Health, *, stall_s: float = STALL_S
) -> None:
    """Run until SIGTERM or Ctrl-C; `stall_s`: how long input may move and we may not."""
    ending = Ending()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.ask)
    with tempfile.TemporaryDirectory(prefix="stream-scorer-monitor-") as folder:
        application = Application(settings, topics, board, Path(folder), ending.fail)
        app = application.faust
        Watchdog(settings, application.owned, health, ending.fail, stall_s).start()
        starting = asyncio.ensure_future(app.start())
        while not ending.asked.is_set():
            failed = app.crash_reason or (starting.exception() if starting.done() else None)
            if failed is not None:
                ending.fail(failed)
            health.beat(time.monotonic(), partitions=len(application.owned()))
            try:
                await asyncio.wait_for(ending.asked.wait(), BEAT_S)
            except TimeoutError:
                continue
        await app.stop()
        starting.cancel()
