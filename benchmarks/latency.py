"""From a transaction's send to its alert's reader, with both guarantees, beside the bare wire.

    python -m benchmarks.latency [--rate 1000] [--seconds 30] [--share 0.05] [--json]

One process sends and reads; times are its own clock's, from before the send to after the poll that
gives the alert. The wire is a topic that is read as it is written, at the rate of the alerts and at
that of all: an alert's way is one of each.
Readers read committed records, so exactly-once is seen when its transaction has ended. No scores
are published, as by default. A commit takes some milliseconds in which nothing is scored: how often
there is one shows in the 99th percentile.
"""

import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import click
import numpy as np
from confluent_kafka import Consumer, Producer

from benchmarks.throughput import make_topics
from producer.figures import COLUMNS
from producer.generate import generate
from stream_scorer.local_kafka import local_kafka
from tests.integration.stream import beside, fresh_stream
from tests.integration.test_stream import events

# The broker compiles itself meanwhile: on two cores that is felt for as long.
WARM_UP_S = 20.0
KINDS = {
    "at-least-once": {},
    "at-least-once, a commit each second": {"SCORER_COMMIT_INTERVAL_MS": "1000"},
    "exactly-once": {"SCORER_GUARANTEE": "exactly-once"},
}


@dataclass
class Times:
    """When each id was sent, and how long it took, in seconds."""

    sent: dict[bytes, float] = field(default_factory=dict)
    took: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        """Return the percentiles, in milliseconds."""
        p50, p95, p99 = np.percentile(self.took, [50, 95, 99]) * 1000
        return {"count": len(self.took), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99}


@contextmanager
def reading(bootstrap: str, topic: str, times: Times) -> Iterator[None]:
    """Note what comes on a topic until the block ends."""
    reader = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"{topic}-latency",
            "auto.offset.reset": "latest",
            "isolation.level": "read_committed",
            "fetch.queue.backoff.ms": "5",
        }
    )
    assigned = threading.Event()
    reader.subscribe([topic], on_assign=lambda *_: assigned.set())

    def read(done: threading.Event) -> None:
        while not done.is_set():
            message = reader.poll(0.05)
            now = time.perf_counter()
            if message is not None and message.error() is None:
                sent = times.sent.pop(message.key() or b"", None)
                if sent is not None:
                    times.took.append(now - sent)

    try:
        with beside(read):
            if not assigned.wait(30):
                raise SystemExit(f"{topic} is not assigned")
            time.sleep(0.5)
            yield
    finally:
        reader.close()


def send(
    bootstrap: str,
    topic: str,
    values: Iterator[tuple[str, bytes]],
    times: Times,
    *,
    rate: float,
    seconds: float,
) -> None:
    """Send values at a rate, each when it is due; the first seconds are not counted."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": "0"})
    begun, count = time.perf_counter(), 0
    while (now := time.perf_counter() - begun) < WARM_UP_S + seconds:
        while count < now * rate:
            key, value = next(values)
            name = f"{key}-{count}".encode()
            if now > WARM_UP_S:
                times.sent[name] = time.perf_counter()
            producer.produce(
                topic, value.replace(b'"merchant"', b'"transaction_id":"%s","m"' % name), name
            )
            count += 1
        producer.poll(0)
        time.sleep(0.0002)
    if producer.flush(30):
        raise SystemExit("Kafka does not take what is sent")
    time.sleep(2)


@click.command()
@click.option("--rate", default=1000.0, help="Transactions a second.")
@click.option("--seconds", default=30.0, help="That count, of each.")
@click.option("--share", default=0.05, help="Of frauds among them.")
@click.option("--json", "as_json", is_flag=True)
def main(*, rate: float, seconds: float, share: float, as_json: bool) -> None:
    """Measure, one after the other."""
    rows = np.concatenate(list(generate(20_000, seed=1, fraud_rate=share)))[:, : len(COLUMNS) - 1]
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name, local_kafka(quick=False) as kafka:
        for wire, pace in ("wire", rate * share), ("wire-of-all", rate):
            times = Times()
            make_topics(kafka.bootstrap, [wire])
            with reading(kafka.bootstrap, wire, times):
                send(
                    *(kafka.bootstrap, wire, cycle(events(rows[:1000])), times),
                    rate=pace,
                    seconds=seconds,
                )
            found[wire] = times.figures()
        for kind, environ in KINDS.items():
            folder = Path(name) / kind
            folder.mkdir()
            with fresh_stream(
                kafka.bootstrap, folder, partitions=1, SCORER_SCORES_TOPIC="", **environ
            ) as stream:
                scorer = stream.start()
                scorer.wait_assigned()
                times = Times()
                with reading(kafka.bootstrap, stream.settings.alerts_topic, times):
                    send(
                        *(kafka.bootstrap, stream.settings.transactions_topic),
                        *(cycle(events(rows)), times),
                        rate=rate,
                        seconds=seconds,
                    )
                if scorer.stop():
                    raise SystemExit(scorer.text())
            found[kind] = times.figures()
    if as_json:
        print(json.dumps(found))
        return
    for what, each in found.items():
        print(f"{what:<36}", ", ".join(f"{k} {v:,.2f}" for k, v in each.items()))


if __name__ == "__main__":
    main()
