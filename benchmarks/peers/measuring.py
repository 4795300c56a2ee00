"""Starts a peer, reads its alerts, and tells from them how fast it is and what it costs."""

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle

import numpy as np
import onnxruntime
from confluent_kafka import Consumer, Producer, TopicPartition
from numpy.typing import NDArray

from benchmarks.latency import Load, Times, reading, send
from benchmarks.peers.table import Peer
from benchmarks.throughput import Figures, make_topics
from producer.figures import COLUMNS
from stream_scorer.config import SHIPPED_MODEL
from tests.environ import own_environ
from tests.integration.stream import wait_for
from tests.integration.test_stream import events
from tests.usage import usage

FEATURES = COLUMNS[:-1]
# Seconds without a new alert after which a peer has failed; faust needs 60 for the whole topic.
PATIENCE_S = 60.0
WARM_ROWS = 20_000
TOLERANCE = 1e-6  # between builds of onnxruntime


class Failed(Exception):
    """A peer did not do the job; says what its log ends with."""


@dataclass(frozen=True)
class Topics:
    """What a run reads and writes."""

    source: str
    alerts: str
    dead_letters: str

    @classmethod
    def make(cls, bootstrap: str, name: str, source: str = "") -> "Topics":
        """Make them, of one partition each; `source` is there already if it is given."""
        made = cls(source or f"{name}-in", f"{name}-alerts", f"{name}-dlq")
        new = [made.alerts, made.dead_letters] + ([] if source else [made.source])
        make_topics(bootstrap, new)
        return made


def oracle(bootstrap: str, topic: str) -> dict[str, float]:
    """Return the alerts there must be, by onnxruntime: id -> probability."""
    session = onnxruntime.InferenceSession(SHIPPED_MODEL.read_bytes())
    reader = reader_of(bootstrap, topic)
    wanted: dict[str, float] = {}
    place = TopicPartition(topic, 0)
    _, end = reader.get_watermark_offsets(place, 30)
    at = 0
    while at < end:
        ids, rows = [], []
        for message in reader.consume(1000, 5):
            at = (message.offset() or 0) + 1
            try:
                event = json.loads(message.value() or b"")
            except ValueError:
                continue
            ids.append(event["transaction_id"])
            rows.append([event[name] for name in FEATURES])
        (probability,) = session.run(["probability"], {"features": np.array(rows)})
        for i in np.flatnonzero(probability >= np.float32(0.8)):
            wanted[ids[i]] = float(probability[i])
    reader.close()
    return wanted


def reader_of(bootstrap: str, topic: str) -> Consumer:
    """Return a reader of what is committed on a topic's one partition, from its beginning."""
    reader = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "peers",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "fetch.queue.backoff.ms": 5,
            "log_level": 0,
        }
    )
    reader.assign([TopicPartition(topic, 0, 0)])
    return reader


@contextmanager
def running(
    peer: Peer, command: Sequence[str], bootstrap: str, topics: Topics
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a peer for the length of the block; raise Failed with its log's end if the block does."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=environ_of(peer, bootstrap, topics)
        )
        try:
            yield process
        except (TimeoutError, FileNotFoundError) as exc:
            log.seek(0)
            end = log.read().decode(errors="replace")[-2000:]
            raise Failed(f"{peer.name}: {exc}\n{end}") from exc
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def environ_of(peer: Peer, bootstrap: str, topics: Topics) -> Mapping[str, str]:
    """Return what tells a peer its topics, in its own words."""
    return {
        **own_environ(),
        "SCORER_KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "SCORER_GROUP_ID": topics.alerts,
        "SCORER_TRANSACTIONS_TOPIC": topics.source,
        "SCORER_ALERTS_TOPIC": topics.alerts,
        "SCORER_DEAD_LETTERS_TOPIC": topics.dead_letters,
        "SCORER_HTTP_PORT": "0",
        "PEER_BOOTSTRAP": bootstrap,
        "PEER_GROUP": topics.alerts,
        "PEER_SOURCE": topics.source,
        "PEER_ALERTS": topics.alerts,
        "PEER_FEATURES": ",".join(FEATURES),
        "PEER_MODEL": str(SHIPPED_MODEL),
        **peer.environ,
    }


def backlog(
    peer: Peer, command: Sequence[str], bootstrap: str, topics: Topics, wanted: Mapping[str, float]
) -> Figures:
    """Let a peer work off a full topic; measure from its first alert to its last.

    The ids tell which row an alert is of. Rows/s and CPU are of the rows between the first and the
    last alert; of the second half again, when a Java is warm. Raises Failed for other alerts.
    """
    found: dict[str, float] = {}
    repeated = 0
    looks: list[tuple[float, float, int]] = []  # time, CPU, row
    reader = reader_of(bootstrap, topics.alerts)
    with running(peer, command, bootstrap, topics) as process:
        heard = time.monotonic()
        while len(found) < len(wanted):
            first = reader.poll(0.2)
            batch = [] if first is None else [first, *reader.consume(999, 0)]
            for message in batch:
                if message.error() is None:
                    alert = json.loads(message.value() or b"")
                    repeated += alert["transaction_id"] in found
                    found[alert["transaction_id"]] = alert["probability"]
            if batch and found:
                row = int(next(reversed(found)).rpartition("-")[2])
                looks.append((time.perf_counter(), usage(process.pid).cpu_s, row))
                heard = time.monotonic()
            elif process.poll() is not None or time.monotonic() - heard > PATIENCE_S:
                raise TimeoutError(f"{len(found)} of {len(wanted)} alerts came")
        rss_mb = usage(process.pid).rss_mb
    reader.close()
    others = found.keys() ^ wanted.keys()
    if others:
        raise Failed(f"{peer.name}: {len(others)} alerts too many or missing, {min(others)} one")
    apart = max(abs(found[name] - p) for name, p in wanted.items())
    if apart > TOLERANCE:
        raise Failed(f"{peer.name}: a probability is {apart:.2g} from onnxruntime's")
    half = next(i for i, (_, _, row) in enumerate(looks) if row >= looks[-1][2] / 2)
    speed, cpu = between(looks[0], looks[-1])
    warm_speed, warm_cpu = between(looks[half], looks[-1])
    return {
        "rows_a_second": speed,
        "cpu_us_a_row": cpu,
        "second_half_rows_a_second": warm_speed,
        "second_half_cpu_us_a_row": warm_cpu,
        "rss_mb": rss_mb,
        "repeated": repeated,
        "largest_difference": apart,
    }


def between(first: tuple[float, float, int], last: tuple[float, float, int]) -> tuple[float, float]:
    """Return rows/s and CPU in us a row between two looks."""
    rows = last[2] - first[2]
    return rows / (last[0] - first[0]), (last[1] - first[1]) / rows * 1e6


def latency(
    peer: Peer,
    command: Sequence[str],
    bootstrap: str,
    topics: Topics,
    rows: NDArray[np.float64],
    *,
    seconds: float,
) -> Figures:
    """Send 1,000 transactions a second; tell after how long an alert is with its reader."""
    values = cycle(events(rows))
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
    reader = reader_of(bootstrap, topics.alerts)

    def warm(count: int) -> None:
        for _ in range(count):
            key, value = next(values)
            renamed = value.replace(b'"merchant"', b'"transaction_id":"%s","m"' % key.encode())
            producer.produce(topics.source, renamed, key)
            producer.poll(0)
        producer.flush(30)

    def answers() -> bool:
        if process.poll() is not None:
            raise TimeoutError(f"ended with {process.returncode}")
        warm(200)
        return reader.poll(0.5) is not None

    with running(peer, command, bootstrap, topics) as process:
        wait_for("a first alert", answers)
        warm(WARM_ROWS)
        while reader.poll(1) is not None:  # until the slowest has done them
            pass
        reader.close()
        times = Times()
        with reading(bootstrap, topics.alerts, times):
            send(bootstrap, topics.source, values, times, Load(1000, seconds))
    return times.figures()
