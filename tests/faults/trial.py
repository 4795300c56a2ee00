"""One row with one guarantee: fresh topics, scorers that are kept alive, a workload, a verifier."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from tests.faults.cluster import Cluster
from tests.faults.oracle import ALERT, LETTER, SCORE, Workload
from tests.faults.proxy import Act
from tests.faults.verifier import CLIENT, Result, Task
from tests.integration.stream import Scorer, Stream, wait_for

VERIFY_S = 300.0
# Seconds before a scorer that ended by itself is started anew, as a supervisor would.
RESTART_S = 0.5
# Seconds. The load goes on over a recovery, or the next fault would come when all is done.
RECOVERY_S = 60.0
TICK_S = 0.05
PROTOCOL = "SCORER_KAFKA_CONSUMER_GROUP_PROTOCOL"
DEFAULTS = {  # for the classic protocol; the broker has them for the other one
    # How long the dead keep their partitions.
    "SCORER_KAFKA_CONSUMER_SESSION_TIMEOUT_MS": "6000",
    "SCORER_KAFKA_CONSUMER_HEARTBEAT_INTERVAL_MS": "1000",
}


class BrokenError(AssertionError):
    """Something that a row demands does not hold."""


class Kept:
    """A scorer that is started anew whenever it ends, until it is told to stop."""

    def __init__(self, start: Callable[[], Scorer]) -> None:
        """Start it."""
        self._start = start
        self._lock = threading.Lock()
        self._stopping = False
        self.codes: list[int] = []  # exit codes of those that ended by themselves or by a kill
        self.scorer = start()
        threading.Thread(target=self._mind, daemon=True).start()

    def kill(self) -> None:
        """Kill the process of now; another takes its place."""
        self.scorer.process.kill()

    def send(self, number: int) -> None:
        """Send a signal to the process of now."""
        self.scorer.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop it for good; return its exit code."""
        with self._lock:
            self._stopping = True
        return self.scorer.stop(number)

    def end(self) -> None:
        """Kill it for good."""
        with self._lock:
            self._stopping = True
        self.scorer.kill()

    def _mind(self) -> None:
        while True:
            code = self.scorer.process.wait()
            with self._lock:
                if self._stopping:
                    return
                self.codes.append(code)
                time.sleep(RESTART_S)
                self.scorer = self._start()


@dataclass
class Trial:
    """What a row works with."""

    cluster: Cluster
    stream: Stream
    workload: Workload
    guarantee: str
    quick: bool
    verifier: subprocess.Popen[str]
    command: tuple[str, ...] = ()
    figures: dict[str, Any] = field(default_factory=dict)
    kept: list[Kept] = field(default_factory=list)
    sent: int = 0
    faults: int = 0
    repeated: int = 0  # on a stream beside the verified one
    clean: bool = False  # nothing may be repeated, with either guarantee

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.workload.seed)
        self._refused: list[KafkaError] = []
        self.sending = threading.Lock()
        self.partitions = self.workload.partitions
        self.connect()

    def connect(self) -> None:
        """Make the workload's producer, which learns how many partitions there are."""
        self._producer = Producer(
            {
                "bootstrap.servers": self.stream.bootstrap,
                "enable.idempotence": True,  # what it repeats over a broker's end must not count
                "linger.ms": 5,
                **CLIENT,
            }
        )

    def times(self, full: int, quick: int) -> int:
        """Return how often a fault is repeated."""
        return quick if self.quick else full

    def keep(self, name: str, **environ: str) -> Kept:
        """Start a scorer of a name of its own, and keep it alive."""
        ours = {} if environ.get(PROTOCOL) == "consumer" else DEFAULTS
        settings = {**ours, "SCORER_REPLICA": name, **environ}
        kept = Kept(lambda: self.stream.start(*self.command, **settings))
        self.kept.append(kept)
        return kept

    def pieces(self, number: int, *, lasting_s: float = RECOVERY_S) -> Iterator[int]:
        """Give each of so many faults its load: a piece of the workload, sent while it is handled.

        What is left is sent at the end.
        """
        size = self.workload.records // (number + 1)
        for i in range(number):
            with self.load(size, lasting_s=lasting_s):
                yield i
        self.send(self.workload.records - self.sent)

    @contextmanager
    def load(self, size: int, *, lasting_s: float) -> Iterator[None]:
        """Send so many records over so many seconds while the block runs; all are sent after it."""
        stop = self.sent + size
        slices = np.linspace(self.sent, stop, max(2, int(lasting_s / TICK_S)) + 1).astype(int)
        done = threading.Event()

        def feed() -> None:
            for end in slices[1:].tolist():
                self.send(end - self.sent)
                done.wait(TICK_S)

        with ThreadPoolExecutor(1) as pool:
            feeding = pool.submit(feed)
            try:
                yield
            finally:
                done.set()
            feeding.result()

    def send(self, size: int) -> None:
        """Send the next records of the workload; return when all are acknowledged."""
        with self.sending:
            self._send(size)

    def _send(self, size: int) -> None:
        topic = self.stream.settings.transactions_topic
        events = self.workload.events(self.sent, self.sent + size)
        for n, (key, value) in enumerate(events, start=self.sent):
            partition = n % self.partitions
            while True:
                try:
                    self._producer.produce(topic, value, key, partition, on_delivery=self._took)
                    break
                except BufferError:
                    self._producer.poll(0.1)
        waiting = self._producer.flush(120)
        if waiting or self._refused:
            raise BrokenError(f"the workload was not taken: {waiting} waiting, {self._refused[:1]}")
        self.sent += size

    def progress(self, *, timeout_s: float = 90.0) -> None:
        """Return when more is committed than now, and all that stands in the input now.

        Otherwise the recovery from one fault would have the next one in it.
        """
        before = self.stream.committed()
        ends = [high for _, high in self.stream.bounds()]

        def moved() -> bool:
            return self.is_done(ends) and self.stream.committed() > before

        wait_for("progress", moved, timeout_s=timeout_s)

    def meet(self, api_key: int, act: Act) -> None:
        """Let the proxy act once on a request of that kind; return when it has."""
        rule = self.cluster.proxy.on(api_key, act, 1)
        wait_for(f"a request of kind {api_key}", lambda: rule.acted > 0)

    def pause(self, least_s: float, most_s: float) -> None:
        """Wait for a random time: a fault must not come at a moment of our choice."""
        time.sleep(float(self.rng.uniform(least_s, most_s)))

    def fault(self) -> None:
        """Tell the verifier that a fault happens now, or that one is over."""
        self.faults += 1
        self._order({"fault": time.monotonic()})

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Nothing may be committed within the block; recovery counts from its end."""
        begin = time.monotonic()
        yield
        self._order({"outage": [begin, time.monotonic()]})
        self.fault()

    def demand(self, holds: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
        """Break the row unless something holds."""
        if not holds:
            raise BrokenError(what)

    def finish(self, timeout_s: float) -> None:
        """Let the scorers work off all that was sent, and stop them: each must exit with 0."""
        wait_for("all records committed", self.is_done, timeout_s=timeout_s)
        for kept in self.kept:
            if kept.scorer.process.poll() is None:
                kept.scorer.wait_assigned()  # one that has just been started anew
                code = kept.stop()
                self.demand(code == 0, f"exit code {code} after SIGTERM: {kept.scorer.text()}")
        restarts = sum(len(kept.codes) for kept in self.kept)
        if restarts:
            self.figures["restarts"] = restarts

    def is_done(self, ends: Sequence[int] = ()) -> bool:
        """Tell whether every partition of the input is committed up to its end of now, or these."""
        places = self.stream.places()
        group = self.stream.group
        try:
            held = group.committed(places, timeout=10)
            ends = ends or [group.get_watermark_offsets(place, 10)[1] for place in places]
        except KafkaException:  # a broker has just come back
            return False
        return all(at.offset >= end for at, end in zip(held, ends, strict=True))

    def verdict(self, allowed: Sequence[str] = ()) -> Result:
        """Let the verifier judge; return what it found, without what is `allowed`."""
        self._order({"end": self.figures})
        self.verifier.communicate(timeout=VERIFY_S)
        path = self.stream.folder / "result.json"
        if not path.exists():
            raise BrokenError(f"the verifier ended with {self.verifier.returncode}")
        result = Result(**json.loads(path.read_text()))
        broken = {what: text for what, text in result.broken.items() if what not in allowed}
        result = replace(result, repeated=result.repeated + self.repeated, broken=broken)
        if self.clean and result.repeated:
            raise BrokenError(f"{result.repeated} repeated by a clean stop: {result.line()}")
        return result

    def _took(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._refused.append(error)

    def _order(self, order: dict[str, Any]) -> None:
        assert self.verifier.stdin is not None
        self.verifier.stdin.write(json.dumps(order) + "\n")
        self.verifier.stdin.flush()


@contextmanager
def trial(
    name: str,
    guarantee: str,
    cluster: Cluster,
    workload: Workload,
    folder: Path,
    *,
    quick: bool,
) -> Iterator[Trial]:
    """Give a trial on fresh topics; no scorer and no verifier outlives it."""
    environ = {
        "SCORER_KAFKA_BOOTSTRAP_SERVERS": cluster.proxied,
        "SCORER_GUARANTEE": guarantee,
    }
    copies = min(3, cluster.size)
    stream = Stream(cluster.bootstrap, folder, workload.partitions, environ, copies)
    s = stream.settings
    task = Task(
        id=name,
        guarantee=guarantee,
        bootstrap=cluster.bootstrap,
        group=s.group_id,
        input=s.transactions_topic,
        outputs={SCORE: s.scores_topic, ALERT: s.alerts_topic, LETTER: s.dead_letters_topic},
        seed=workload.seed,
        records=workload.records,
        partitions=workload.partitions,
        result=str(folder / "result.json"),
    )
    log = folder / "verifier.log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            [sys.executable, "-m", "tests.faults.verifier"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=output,
            text=True,
        ) as verifier,
    ):
        made = Trial(cluster, stream, workload, guarantee, quick, verifier)
        try:
            made._order(asdict(task))
            wait_for("the verifier", lambda: "watching" in log.read_text())
            yield made
        finally:
            for kept in made.kept:
                kept.end()
            verifier.kill()
            stream.group.close()
