"""From a transaction's send to its alert's reader, with both guarantees, beside the bare wire.

    python -m benchmarks.latency [--rate 1000] [--seconds 20] [--turns 4] [--share 0.05]
                                 [--linger 0] [--broker KEY=VALUE] [--json]

The kinds take turns on a broker that has worked before: a fresh one compiles itself for minutes.
`busy` is the share of the machine's cores that sender, broker, scorer and reader take, and whatever
else runs: where it differs from run to run, something did. Beyond some thousands a second a sender
that waits for no second record (`--linger 0`) fills the broker with requests.

One process sends and reads; times are its own clock's, from before the send to after the poll that
gives the alert. The wire is a topic that is read as it is written, at the rate of the alerts and at
that of all: an alert's way is one of each.
Readers read committed records, so exactly-once is seen when its transaction has ended. No scores
are published, as by default. A commit takes some milliseconds in which nothing is scored: how often
there is one shows in the 99th percentile.
"""

import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path

import click
import numpy as np
from confluent_kafka import Consumer, Producer

from benchmarks.throughput import Figures, make_topics
from producer.figures import COLUMNS
from producer.generate import generate
from stream_scorer.local_kafka import local_kafka
from stream_scorer.records import Matrix
from tests.integration.stream import beside, fresh_stream
from tests.integration.test_stream import events

# The broker compiles itself meanwhile: on two cores that is felt for as long.
WARM_UP_S = 20.0
# A second, by which all of the broker's ways are warm; and what is left to warm before each run.
WARM_RATE, SHORT_WARM_UP_S = 20_000.0, 5.0
ONCE = {"SCORER_GUARANTEE": "exactly-once"}
KINDS = {
    "at-least-once": {},
    "at-least-once, a commit each 200 ms": {"SCORER_COMMIT_INTERVAL_MS": "200"},
    "exactly-once": ONCE,
}


@dataclass
class Times:
    """When each id was sent, and how long it took, in seconds."""

    sent: dict[bytes, float] = field(default_factory=dict)
    took: list[float] = field(default_factory=list)
    busy: float = 0.0  # share of all cores, while they were sent

    def figures(self) -> dict[str, float]:
        """Return how many they are, the percentiles in milliseconds, and `busy`."""
        p50, p95, p99 = (np.percentile(self.took, [50, 95, 99]) * 1000).tolist()
        return {
            "count": len(self.took),
            "p50_ms": p50,
            "p95_ms": p95,
            "p99_ms": p99,
            "busy": self.busy,
        }


@dataclass(frozen=True)
class Load:
    """How a sender sends."""

    rate: float  # a second
    seconds: float  # that count
    warm_up_s: float = WARM_UP_S  # before them
    linger_ms: int = 0


def busy_s() -> float:
    """Return the seconds that the cores have worked since the machine began, by all of them."""
    first = Path("/proc/stat").read_text().split(maxsplit=8)
    user, nice, system, _, _, irq, softirq = map(int, first[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


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
    bootstrap: str, topic: str, values: Iterator[tuple[str, bytes]], times: Times, load: Load
) -> None:
    """Send values at a rate, each when it is due; the first seconds are not counted."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": load.linger_ms})
    begun, count, busy = time.perf_counter(), 0, 0.0
    while (now := time.perf_counter() - begun) < load.warm_up_s + load.seconds:
        while count < now * load.rate:
            key, value = next(values)
            name = f"{key}-{count}".encode()
            if now > load.warm_up_s:
                busy = busy or busy_s()
                times.sent[name] = time.perf_counter()
            producer.produce(
                topic, value.replace(b'"merchant"', b'"transaction_id":"%s","m"' % name), name
            )
            count += 1
        producer.poll(0)
        time.sleep(0.0002)
    times.busy = (busy_s() - busy) / load.seconds / (os.cpu_count() or 1)
    if producer.flush(30):
        raise SystemExit("Kafka does not take what is sent")
    time.sleep(2)


def wire(bootstrap: str, topic: str, rows: Matrix, load: Load) -> Figures:
    """Read a topic as it is written."""
    times = Times()
    make_topics(bootstrap, [topic])
    with reading(bootstrap, topic, times):
        send(bootstrap, topic, cycle(events(rows)), times, load)
    return times.figures()


def through(bootstrap: str, rows: Matrix, load: Load, environ: Mapping[str, str]) -> Figures:
    """Read the alerts of a scorer of its own, on topics of its own."""
    times, environ = Times(), {"SCORER_SCORES_TOPIC": "", **environ}
    with (
        tempfile.TemporaryDirectory() as folder,
        fresh_stream(bootstrap, Path(folder), partitions=1, **environ) as stream,
    ):
        scorer = stream.start()
        scorer.wait_assigned()
        with reading(bootstrap, stream.settings.alerts_topic, times):
            topic = stream.settings.transactions_topic
            send(bootstrap, topic, cycle(events(rows)), times, load)
        if scorer.stop():
            raise SystemExit(scorer.text())
    return times.figures()


def measure(
    bootstrap: str, rows: Matrix, load: Load, *, share: float, turns: int
) -> dict[str, list[Figures]]:
    """Warm the broker up, then let all take turns; return each one's runs."""
    for environ in (ONCE, {}):
        through(bootstrap, rows, Load(WARM_RATE, WARM_UP_S, SHORT_WARM_UP_S, linger_ms=1), environ)
    found: dict[str, list[Figures]] = {}
    for kind, rate in (("wire", load.rate * share), ("wire-of-all", load.rate)):
        found[kind] = [wire(bootstrap, kind, rows, replace(load, rate=rate))]
    for _ in range(turns):
        for kind, environ in KINDS.items():
            found.setdefault(kind, []).append(through(bootstrap, rows, load, environ))
            click.echo(as_line(kind, found[kind][-1:]), err=True)
    return found


def as_line(kind: str, runs: Sequence[Figures]) -> str:
    """Return the median of each figure of some runs, with the least and the largest."""

    def shown(name: str) -> str:
        each = sorted(run[name] for run in runs)
        around = f" [{each[0]:.2f}, {each[-1]:.2f}]" if len(each) > 1 else ""
        return f"{name} {statistics.median(each):,.2f}{around}"

    return f"{kind:<36}" + "  ".join(map(shown, runs[0]))


@click.command()
@click.option("--rate", default=1000.0, show_default=True, help="Transactions a second.")
@click.option("--seconds", default=20.0, show_default=True, help="That count, of each run.")
@click.option("--turns", default=4, show_default=True)
@click.option("--share", default=0.05, show_default=True, help="Of frauds among them.")
@click.option("--linger", default=0, show_default=True, help="Milliseconds a sender waits.")
@click.option("--broker", multiple=True, metavar="KEY=VALUE", help="A setting of the broker.")
@click.option("--json", "as_json", is_flag=True)
def main(  # noqa: PLR0913 - each an option
    *,
    rate: float,
    seconds: float,
    turns: int,
    share: float,
    linger: int,
    broker: tuple[str, ...],
    as_json: bool,
) -> None:
    """Measure."""
    rows = np.concatenate(list(generate(20_000, seed=1, fraud_rate=share)))[:, : len(COLUMNS) - 1]
    settings = dict(each.split("=", 1) for each in broker)
    with local_kafka(quick=False, settings=settings) as kafka:
        load = Load(rate, seconds, SHORT_WARM_UP_S, linger)
        found = measure(kafka.bootstrap, rows, load, share=share, turns=turns)
    if as_json:
        print(json.dumps(found))
        return
    for kind, runs in found.items():
        print(as_line(kind, runs))


if __name__ == "__main__":
    main()
