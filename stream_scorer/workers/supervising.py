"""Starts workers, starts anew those that end, and stops all where that does not help."""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client import CollectorRegistry

from stream_scorer import logs
from stream_scorer.certificates import expose as expose_certificates
from stream_scorer.config import Settings
from stream_scorer.errors import TooManyDeadLetters
from stream_scorer.health import Server
from stream_scorer.logs import event
from stream_scorer.signals import STOP_DEADLINE_S, Signals
from stream_scorer.workers.summing import Together

logger = logging.getLogger(__name__)

# Seconds before a worker is started again: doubled each time, and forgotten after a quiet while.
FIRST_WAIT_S = 1.0
# Ends of one worker within so many seconds, after which all are stopped: it does not help.
MOST_ENDS, WITHIN_S = 5, 300.0
LOOK_S = 0.1
# Seconds that workers have to stop; they themselves take STOP_DEADLINE_S at most.
KILL_AFTER_S = STOP_DEADLINE_S + 0.4
INSTANCE_IDS = ("group.instance.id", "consumer.group.instance.id")


class Process(Protocol):
    """What is needed of a worker's process."""

    def poll(self) -> int | None: ...
    def send_signal(self, number: int, /) -> None: ...


@dataclass
class Worker:
    """One worker, as it is now."""

    number: int
    process: Process
    port: int | None = None  # of its metrics, once it listens


@dataclass
class Supervisor:
    """What is done about workers that end; `start` starts one by its number."""

    count: int
    start: Callable[[int], Worker]
    clock: Callable[[], float] = time.monotonic
    workers: dict[int, Worker] = field(default_factory=dict)
    stopping: bool = False
    code: int = 0
    _ends: dict[int, deque[float]] = field(default_factory=lambda: defaultdict(deque))
    _known: set[int] = field(default_factory=set)  # workers that have once listened
    _stopped_at: float = 0.0
    _due: dict[int, float] = field(default_factory=dict)  # when to start a worker again

    def begin(self) -> None:
        """Start all."""
        for number in range(self.count):
            self.workers[number] = self.start(number)

    def look(self) -> bool:
        """Do what is due; tell whether anything is still to be waited for."""
        for number, worker in list(self.workers.items()):
            code = worker.process.poll()
            if code is not None:
                del self.workers[number]
                self._ended(worker, code)
        now = self.clock()
        if self.stopping and now - self._stopped_at > KILL_AFTER_S and self.workers:
            about = event("workers_killed", workers=sorted(self.workers))
            logger.error(
                "Workers that do not stop are killed: %s", sorted(self.workers), extra=about
            )
            self.code = self.code or 1
            self.signal(signal.SIGKILL)
            self._stopped_at = now
        for number in [each for each, due in self._due.items() if due <= now]:
            del self._due[number]
            self.workers[number] = self.start(number)
        return bool(self.workers or self._due)

    def stop(self, code: int = 0) -> None:
        """Stop all workers; the exit code is the first that was not 0."""
        self.code = self.code or code
        if not self.stopping:
            self.stopping = True
            self._stopped_at = self.clock()
            self._due.clear()
            self.signal(signal.SIGTERM)

    def signal(self, number: int) -> None:
        """Pass a signal on."""
        for worker in list(self.workers.values()):
            worker.process.send_signal(number)

    def reload(self) -> None:
        """Pass SIGHUP on to those that hear it; one that starts reads the newest model anyway."""
        for worker in list(self.workers.values()):
            if worker.port is not None:
                worker.process.send_signal(signal.SIGHUP)

    def ports(self) -> Mapping[int, int]:
        """Return the ports of those that listen."""
        known = [(each.number, each.port) for each in list(self.workers.values())]
        return {number: port for number, port in known if port is not None}

    def _ended(self, worker: Worker, code: int) -> None:
        if self.stopping:
            if code not in {0, -signal.SIGTERM}:  # the latter: it had nothing to drain yet
                self.code = self.code or (code if code > 0 else 1)
            return
        what = f"signal {-code}" if code < 0 else f"exit code {code}"
        about = event("worker_ended", worker=worker.number, code=code)
        if code == TooManyDeadLetters.exit_code:
            logger.error(
                "Worker %d ends with %s: all are stopped", worker.number, what, extra=about
            )
            self.stop(code)
            return
        if worker.port is not None:
            self._known.add(worker.number)
        if worker.number not in self._known:  # a start that cannot work is told at once
            logger.error(
                "Worker %d ends with %s before it listens", worker.number, what, extra=about
            )
            self.stop(code if code > 0 else 1)
            return
        now, ends = self.clock(), self._ends[worker.number]
        ends.append(now)
        while ends[0] <= now - WITHIN_S:
            ends.popleft()
        if len(ends) > MOST_ENDS:
            logger.error(
                "Worker %d ends with %s, its %dth end within %.0f s: all are stopped",
                *(worker.number, what, len(ends), WITHIN_S),
                extra=about,
            )
            self.stop(1)
            return
        wait_s = FIRST_WAIT_S * 2 ** (len(ends) - 1)
        self._due[worker.number] = now + wait_s
        logger.warning(
            "Worker %d ends with %s; it starts again in %.0f s",
            *(worker.number, what, wait_s),
            extra=about,
        )


def supervise(settings: Settings) -> int:
    """Run as many workers as the settings say until a signal; return the exit code.

    Raises BadInput if the address of the metrics is no good.
    """
    signals = Signals(deadline_s=STOP_DEADLINE_S + 0.9)  # theirs, and a little to see them end
    logs.begin(settings.log_format)
    supervisor = Supervisor(settings.workers, lambda number: launch(settings, number))
    together = Together(supervisor.ports, settings.workers)
    registry = CollectorRegistry()
    registry.register(together)
    expose_certificates(registry, settings)
    stop = threading.Event()
    signals.drain(stop=stop.set, reload=supervisor.reload)
    with ExitStack() as stack:
        server = Server(together, registry, {"/drift": together.drift})
        port = stack.enter_context(
            server.serving(
                settings.http_host, settings.http_port, certificate=settings.http_certificate
            )
        )
        logger.info(
            "%d workers; metrics of all on %s://%s:%d/metrics",
            settings.workers,
            "https" if settings.http_certificate else "http",
            settings.http_host,
            port,
            extra=event("started", workers=settings.workers, port=port),
        )
        supervisor.begin()
        while supervisor.look():
            if stop.wait(LOOK_S):
                supervisor.stop()
                time.sleep(LOOK_S)
    about = event("stopped", exit_code=supervisor.code)
    logger.info("Stopped, with exit code %d", supervisor.code, extra=about)
    return supervisor.code


def launch(settings: Settings, number: int) -> Worker:
    """Start a worker; its port is noted once it says it."""
    receives, told = os.pipe()
    process = subprocess.Popen(  # noqa: S603 - ours
        [sys.executable, "-P", "-m", "stream_scorer.workers.worker", str(told), str(number)],
        stdin=subprocess.PIPE,
        pass_fds=[told],
        start_new_session=True,  # a Ctrl-C is ours, and passed on
        text=True,
    )
    os.close(told)
    worker = Worker(number, process)
    if process.stdin is not None:  # it stays open: its end is ours
        process.stdin.write(of_worker(settings, number).model_dump_json() + "\n")
        process.stdin.flush()

    def hear() -> None:
        with os.fdopen(receives) as said:
            line = said.readline()
        if line:
            worker.port = int(line)

    threading.Thread(target=hear, daemon=True).start()
    return worker


def of_worker(settings: Settings, number: int) -> Settings:
    """Return the settings of one worker: its own names, and metrics for the supervisor alone."""
    replica = settings.replica or socket.gethostname()
    kafka = dict(settings.kafka)
    for key in INSTANCE_IDS:
        if kafka.get(key):
            kafka[key] = f"{kafka[key]}-{number}"
    return settings.model_copy(
        update={
            "workers": 1,
            "replica": f"{replica}-{number}",
            "kafka": kafka,
            "http_host": "127.0.0.1",
            "http_port": 0,
            "http_certificate": None,
        }
    )
