"""Watches one stream from outside, in a process of its own, and judges it at the end.

    python -m tests.faults.verifier < orders

It knows the seed, not the generator. From its standard input it takes one JSON object a line:
first the `Task`, then {"fault": moment} and {"outage": [begin, end]} (monotonic seconds) as they
happen, at last {"end": figures}. It prints one CHECK line and exits 1 if an invariant is broken.
"""

import hashlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from tests.faults import judge
from tests.faults.judge import Found, Place, Sample, Verdict, Where
from tests.faults.oracle import LETTER, SCORE, Workload, number_of

T = TypeVar("T")

# Of the harness's own clients: a recovery is the scorer's, not ours to a broker that is back.
CLIENT = {"log_level": 0, "reconnect.backoff.max.ms": 500}
# Seconds between two looks at the committed offsets; a look takes a few milliseconds.
LOOK_S = 0.05
ASK_S = 5.0
# Seconds that the broker may take to end a dead producer's transaction: its time-out is 10.
OPEN_S = 40.0
# Seconds after the begin of an outage in which what was under way may still arrive.
UNDER_WAY_S = 1.0


@dataclass(frozen=True)
class Task:
    """What is to be watched."""

    id: str
    guarantee: str
    bootstrap: str
    group: str
    input: str
    outputs: dict[str, str]  # topic by kind
    seed: int
    records: int
    partitions: int
    result: str  # the file that the result goes to

    @property
    def workload(self) -> Workload:
        """What went in."""
        return Workload(self.seed, self.records, self.partitions)


@dataclass(frozen=True)
class Result:
    """One line of the table."""

    id: str
    guarantee: str
    records: int
    lost: int
    repeated: int
    phantom: int
    broken: dict[str, str]  # first offender of each invariant that does not hold
    faults: int
    recover_p95_s: float | None  # None: there was no fault
    figures: dict[str, Any]

    def line(self) -> str:
        """Return the CHECK line."""
        recovery = ""
        if self.faults:
            took = f"{self.recover_p95_s:.1f} s" if self.recover_p95_s is not None else "never"
            recovery = f", faults={self.faults}, recover_p95={took}"
        found = f"lost={self.lost} dup={self.repeated} phantom={self.phantom} of {self.records}"
        more = "".join(f", {name}={value}" for name, value in self.figures.items())
        line = f"CHECK {self.id} {self.guarantee}: {found}{recovery}{more}"
        broken = "; ".join(f"{what}: {text}" for what, text in self.broken.items())
        return f"{line}, BROKEN {broken}" if broken else line


class Outcome(msgspec.Struct):
    """What is looked at in a score or an alert."""

    probability: float
    source: dict[str, Any]
    model: dict[str, str]
    alert_id: str = ""
    features: dict[str, float] = {}
    reasons: list[dict[str, Any]] = []


class Reader:
    """Reads the output topics from their beginning, outside any group."""

    def __init__(self, task: Task, *, committed: bool) -> None:
        """Begin; `committed` leaves out what was aborted or is not ended yet."""
        self._task = task
        self._kinds = {topic: kind for kind, topic in task.outputs.items()}
        self._decode = msgspec.json.Decoder(Outcome).decode
        self._bad = task.workload.bad
        self._reader = consumer(task, committed=committed)
        client = AdminClient({"bootstrap.servers": task.bootstrap, **CLIENT})
        metadata = client.list_topics(timeout=30)
        self._cluster_id = metadata.cluster_id
        self.found: list[Found] = []
        self._places = [
            TopicPartition(topic, number, 0)
            for topic in self._kinds
            for number in metadata.topics[topic].partitions
        ]
        self._reached = {(each.topic, each.partition): 0 for each in self._places}
        self._reader.assign(self._places)

    def read(self, timeout_s: float) -> None:
        """Take in what has come."""
        for message in self._reader.consume(5000, timeout_s):
            error = message.error()
            where, offset = (message.topic() or "", message.partition() or 0), message.offset() or 0
            if error is None:
                try:
                    self.found.append(self._understand(message))
                except (KeyError, ValueError, TypeError):  # no outcome of ours: a phantom
                    kind = self._kinds[where[0]]
                    self.found.append(Found(kind, None, (-1, -1), where, offset, b""))
                self._reached[where] = offset + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                self._reached[where] = offset  # behind the marks that end transactions

    def read_up_to(self, ends: Mapping[Where, int]) -> str:
        """Read until each partition's end; say which was not reached in OPEN_S, if one."""
        deadline = time.monotonic() + OPEN_S
        while behind := self._behind(ends):
            if time.monotonic() > deadline:
                return behind
            self.read(0.2)
        return ""

    def close(self) -> None:
        """Let the connection go."""
        self._reader.close()

    def _behind(self, ends: Mapping[Where, int]) -> str:
        """Name a partition that has not been read up to its end."""
        for (topic, number), end in ends.items():
            if (at := self._reached[topic, number]) < end:
                return f"{topic}[{number}] is read up to {at}, ends at {end}"
        return ""

    def _understand(self, message: Message) -> Found:
        """Return the outcome that a record holds; what is none of ours has no source."""
        topic, key, value = message.topic() or "", message.key(), message.value()
        kind = self._kinds[topic]
        where = (topic, message.partition() or 0)
        offset = message.offset() or 0
        if kind == LETTER:
            headers = {name: as_bytes(text) for name, text in dict(message.headers() or ()).items()}
            name, partition, at = headers["dlq.id"].decode().rsplit("/", 2)
            self._require_input(name)
            alike = sorted((n, text) for n, text in headers.items() if n != "dlq.failed_at")
            n = number_of(key)
            return Found(
                kind,
                key,
                (int(partition), int(at)),
                where,
                offset,
                hashlib.sha256(repr((value, alike)).encode()).digest(),
                code=headers["dlq.code"].decode(),
                id_holds=n not in self._bad or self._bad[n][1] == value,
            )
        outcome = self._decode(value or b"")
        partition, at = outcome.source["partition"], outcome.source["offset"]
        name = outcome.source["topic"]
        self._require_input(name)
        identity = f"{self._cluster_id}\n{name}\n{partition}\n{at}\n{outcome.model['sha256']}"
        wanted = hashlib.sha256(identity.encode()).hexdigest()[:32]
        return Found(
            kind,
            key,
            (partition, at),
            where,
            offset,
            hashlib.sha256(value or b"").digest(),
            probability=outcome.probability,
            features=outcome.features,
            reasons={each["feature"]: each["effect"] for each in outcome.reasons},
            id_holds=kind == SCORE or outcome.alert_id == wanted,
        )

    def _require_input(self, name: str) -> None:
        """Raise ValueError if an outcome is of another topic's record."""
        if name != self._task.input:
            raise ValueError(name)


def places_of(task: Task) -> dict[int, Place]:
    """Return where each record of the workload stands in the input."""
    reader = consumer(task, committed=True)
    unread = set(reader.list_topics(task.input, timeout=30).topics[task.input].partitions)
    reader.assign([TopicPartition(task.input, number, 0) for number in unread])
    found: dict[int, Place] = {}
    deadline = time.monotonic() + OPEN_S
    while unread and time.monotonic() < deadline:
        for message in reader.consume(5000, 0.5):
            number, error = message.partition() or 0, message.error()
            if error is None:
                n = number_of(message.key())
                if n is not None:
                    found.setdefault(n, (number, message.offset() or 0))
            elif error.code() == KafkaError._PARTITION_EOF:
                unread.discard(number)
    reader.close()
    return found


def as_bytes(text: str | bytes | None) -> bytes:
    """Return a header's value as the broker has it."""
    return text.encode() if isinstance(text, str) else text or b""


def consumer(task: Task, *, committed: bool) -> Consumer:
    """Return one that reads what it is assigned from any offset on, and tells where it ends."""
    return Consumer(
        {
            "bootstrap.servers": task.bootstrap,
            "group.id": f"{task.group}-verifier",
            "enable.auto.commit": "false",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": "true",
            "isolation.level": "read_committed" if committed else "read_uncommitted",
            **CLIENT,
        }
    )


def admin(task: Task) -> AdminClient:
    """Return a new client that asks for topics and ends."""
    return AdminClient({"bootstrap.servers": task.bootstrap, **CLIENT})


class Watch:
    """Takes samples of offsets and reads the outcomes that count, until it is told to stop."""

    def __init__(self, task: Task) -> None:
        """Begin both, each in a thread."""
        self._task = task
        self._client = admin(task)
        # Never subscribes, so it is no member: it only asks for the group's offsets.
        self._group = Consumer(
            {
                "bootstrap.servers": task.bootstrap,
                "group.id": task.group,
                "isolation.level": "read_uncommitted",  # do not wait for open transactions
                **CLIENT,
            }
        )
        self.live = Reader(task, committed=True)
        self.samples: list[Sample] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=each) for each in (self._look, self._read)]
        for each in self._threads:
            each.start()

    def stop(self) -> None:
        """End the threads."""
        self._stop.set()
        for each in self._threads:
            each.join()

    def sample(self) -> Sample:
        """Ask for committed offsets, then for ends; raise KafkaException if one is missing."""
        at_s = time.monotonic()
        inputs = self.partitions([self._task.input])
        held = self._group.committed(inputs, timeout=ASK_S)
        committed = {each.partition: each.offset for each in held if each.offset >= 0}
        ends = self.ends([self._task.input, *self._task.outputs.values()])
        return Sample(
            at_s,
            committed,
            {n: ends.pop((self._task.input, n)) for n in [each.partition for each in inputs]},
            ends,
        )

    def ends(self, topics: Iterable[str]) -> dict[Where, int]:
        """Return the end of each partition, open transactions included."""
        level = IsolationLevel.READ_UNCOMMITTED
        latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = dict.fromkeys(self.partitions(topics), latest)
        answers = self._client.list_offsets(asked, isolation_level=level, request_timeout=ASK_S)
        found = {(at.topic, at.partition): a.result().offset for at, a in answers.items()}
        if min(found.values()) < 0:  # a partition without a leader
            raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE))
        return found

    def partitions(self, topics: Iterable[str]) -> list[TopicPartition]:
        """Return the partitions that topics have now."""
        try:
            known = self._client.list_topics(timeout=ASK_S).topics
        except KafkaException:  # one that saw its only broker go may know none any more
            self._client = admin(self._task)
            raise
        return [TopicPartition(t, n) for t in topics for n in known[t].partitions]

    def _look(self) -> None:
        while not self._stop.wait(LOOK_S):
            try:
                self.samples.append(self.sample())
            except KafkaException:  # the broker is away: that is what we are here for
                continue

    def _read(self) -> None:
        while not self._stop.is_set():
            self.live.read(0.2)


def insist(ask: Callable[[], T]) -> T:
    """Return an answer, asked again while the broker has no time for one."""
    deadline = time.monotonic() + OPEN_S
    while True:
        try:
            return ask()
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(LOOK_S)


def judge_all(task: Task, watch: Watch) -> Verdict:
    """Read everything again and hold it against the oracle."""
    verdict = Verdict()
    watch.samples.append(insist(watch.sample))
    ends = insist(partial(watch.ends, task.outputs.values()))
    final, uncommitted = (Reader(task, committed=each) for each in (True, False))
    for reader, name in ((final, "final"), (watch.live, "live"), (uncommitted, "uncommitted")):
        if behind := reader.read_up_to(ends):
            verdict.note("open", f"a transaction is left open: the {name} reader of {behind}")
        reader.close()
    workload = task.workload
    judge.judge_outcomes(verdict, workload, final.found, places_of(task))
    judge.judge_readers(verdict, watch.live.found, final.found)
    judge.judge_commits(verdict, watch.samples, final.found)
    for each in uncommitted.found:
        if flaw := judge.why_phantom(workload, each, number_of(each.key)):
            verdict.note("phantom", f"uncommitted {judge.describe(each)}: {flaw}")
    if task.guarantee == "exactly-once":
        judge.judge_order(verdict, final.found)
    last = watch.samples[-1]
    for partition, end in last.input_ends.items():
        if last.committed.get(partition, 0) < end:
            held = last.committed.get(partition, 0)
            verdict.note("behind", f"partition {partition} is committed up to {held} of {end}")
    return verdict


def follow(task: Task, orders: Iterable[str]) -> Result:
    """Watch until the orders end, then judge."""
    watch = Watch(task)
    faults: list[float] = []
    outages: list[tuple[float, float]] = []
    figures: dict[str, Any] = {}
    try:
        for line in orders:
            order = json.loads(line)
            faults += [order["fault"]] if "fault" in order else []
            outages += [tuple(order["outage"])] if "outage" in order else []
            if "end" in order:
                figures = order["end"]
                break
    finally:
        watch.stop()
    verdict = judge_all(task, watch)
    recovered = judge.judge_faults(verdict, watch.samples, faults)
    if outages:
        within = [judge.commits_within(watch.samples, a + UNDER_WAY_S, b) for a, b in outages]
        figures["commits_during"] = sum(within)
        if sum(within):
            verdict.note("commits_during", f"{sum(within)} records committed during an outage")
    return Result(
        id=task.id,
        guarantee=task.guarantee,
        records=task.records,
        lost=verdict.counts["lost"],
        repeated=verdict.counts["dup"],
        phantom=verdict.counts["phantom"],
        broken=verdict.broken(repeats_allowed=task.guarantee == "at-least-once"),
        faults=len(faults),
        recover_p95_s=percentile(recovered),
        figures=figures,
    )


def percentile(recovered: Sequence[float | None]) -> float | None:
    """Return the 95th percentile of the recoveries, None if one never came."""
    known = [seconds for seconds in recovered if seconds is not None]
    if not known or len(known) < len(recovered):
        return None
    return float(np.percentile(known, 95))


def main() -> int:
    """Read the orders, print the line, write the result."""
    task = Task(**json.loads(sys.stdin.readline()))
    sys.stderr.write("watching\n")
    sys.stderr.flush()
    result = follow(task, iter(sys.stdin.readline, ""))
    Path(task.result).write_text(json.dumps(asdict(result)))
    sys.stdout.write(f"{result.line()}\n")
    return 1 if result.broken else 0


if __name__ == "__main__":
    sys.exit(main())
