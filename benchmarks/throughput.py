"""How fast a full topic is scored, with both guarantees, beside two loops that promise less.

    python benchmarks/throughput.py [--rows 400000] [--runs 3] [--json]

Each run is a process of its own, and the four kinds take turns. CPU is user + system time of the
whole process from its first record to its last: neither start-up nor the group's join counts. On a
shared machine the ratio is what holds; absolute figures move by 20 % and more.
"""

import contextlib
import json
import statistics
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from prometheus_client import CollectorRegistry

from producer.figures import COLUMNS
from producer.generate import generate
from stream_scorer import clients
from stream_scorer.config import Settings
from stream_scorer.health import Health
from stream_scorer.local_kafka import local_kafka
from stream_scorer.metrics import STAGES
from stream_scorer.model import Model
from stream_scorer.run import assemble, settle_memory

TOPICS = ("bench", "bench-alerts", "bench-dlq")
FRAUDS, BAD_EVERY = 0.004, 1000  # shares: about 0.3 % alert, 0.1 % are bad
Figures = dict[str, float]


def settings_for(bootstrap: str, group: str, **changes: Any) -> Settings:  # noqa: ANN401
    """Return the settings of one run: the defaults, on the benchmark's topics."""
    topics = ("transactions_topic", "alerts_topic", "dead_letters_topic")
    return Settings(
        **{
            **dict(zip(topics, TOPICS, strict=True)),
            "kafka": {"bootstrap.servers": bootstrap},
            "group_id": group,
            **changes,
        }
    )


def fill(bootstrap: str, rows: int) -> Figures:
    """Write synthetic events of about 800 bytes, one in a thousand cut short; describe them."""
    return write(bootstrap, TOPICS[0], events(rows, frauds=FRAUDS, bad_every=BAD_EVERY))


def events(rows: int, *, frauds: float, bad_every: int) -> Iterator[bytes]:
    """Yield the values of synthetic events of about 800 bytes, one in `bad_every` cut short."""
    sent = 0
    # Digits as a real feature pipeline writes them: the generator's six decimals would be kind.
    noise = np.random.default_rng(1)
    for chunk in generate(rows, seed=1, fraud_rate=frauds):
        chunk[:, 1:29] += noise.normal(0, 1e-9, (len(chunk), 28))
        for row in chunk.tolist():
            event = dict(zip(COLUMNS[:-1], row, strict=False))
            value = msgspec.json.encode({"transaction_id": f"t-{sent:09d}", **event})
            yield value[:-9] if sent % bad_every == bad_every // 2 else value
            sent += 1


def write(bootstrap: str, topic: str, values: Iterable[bytes]) -> Figures:
    """Write values to a topic; say how many, and how large."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": "20", "acks": "1"})
    size = sent = 0
    for value in values:
        while True:
            try:
                producer.produce(topic, value)
                break
            except BufferError:
                producer.poll(0.1)
        size += len(value)
        sent += 1
    producer.flush()
    return {"rows": sent, "bytes_a_row": size / sent}


def make_topics(bootstrap: str, topics: Iterable[str], *, partitions: int = 1) -> None:
    """Make topics of so many partitions each."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    new = [NewTopic(topic, partitions, 1) for topic in topics]
    for created in admin.create_topics(new).values():
        created.result(30)


def counter_of(registry: CollectorRegistry) -> Callable[[], int]:
    """Return what tells how many records a service has read."""
    # One metric: collecting all of them would be measured too.
    records = registry.restricted_registry(["scorer_records_total"])

    def count() -> int:
        (family,) = records.collect()
        return int(family.samples[0].value)

    return count


def medians_of(runs: Mapping[str, Sequence[Figures]]) -> dict[str, Figures]:
    """Return the median of each figure, by what was run."""
    return {
        name: {key: statistics.median(run[key] for run in each) for key in each[0]}
        for name, each in runs.items()
    }


def measure(count: Callable[[], int], rows: int) -> Figures:
    """Measure this process from the first record counted until `rows` are."""
    while not (first := count()):
        time.sleep(0.001)
    cpu, wall = time.process_time(), time.perf_counter()
    while count() < rows:
        time.sleep(0.01)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return figures(rows - first, cpu, wall)


def figures(rows: int, cpu_s: float, wall_s: float) -> Figures:
    """Return what is reported of one run."""
    return {
        "rows_a_second": rows / wall_s,
        "cpu_us_a_row": cpu_s / rows * 1e6,
        "rss_mb": peak_mb(),
    }


def peak_mb() -> float:
    """Return the most memory that this process has had; `ru_maxrss` counts its parent's as well."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def run_service(bootstrap: str, group: str, rows: int, **changes: Any) -> Figures:  # noqa: ANN401
    """Score the topic with the service as `stream-scorer run` builds it."""
    settings = settings_for(bootstrap, group, **changes)
    registry = CollectorRegistry()
    service, *_ = assemble(settings, registry, Health())
    found: Figures = {}

    def observe() -> None:
        found.update(measure(counter_of(registry), rows))
        service.stop()

    def value(name: str, **labels: str) -> float:
        return registry.get_sample_value(name, labels) or 0.0

    settle_memory()
    watcher = threading.Thread(target=observe, daemon=True)  # the service may end by an error
    watcher.start()
    service.run()
    watcher.join()
    found["batches"] = value("scorer_batch_records_count")
    found["commits"] = value("scorer_commits_total")
    found["alerts"] = value("scorer_alerts_total")
    found["dead_letters"] = value("scorer_dead_letters_total", reason="DECODE")
    for stage in STAGES:
        seconds = value("scorer_stage_seconds_sum", stage=stage)
        found[f"{stage}_us_a_row"] = seconds / rows * 1e6
    return found


def decoder_of(names: Sequence[str]) -> Callable[[bytes], Any]:
    """Return a function that decodes one event to a struct of floats."""
    rename = {f"f{i}": name for i, name in enumerate(names)}
    event = msgspec.defstruct("Event", [(f, float) for f in rename], rename=rename, gc=False)
    return msgspec.json.Decoder(event).decode


def run_bare(bootstrap: str, group: str, rows: int) -> Figures:
    """Consume and decode to structs of floats: no checks, no model, no output, no commit."""
    settings = settings_for(bootstrap, group)
    decode = decoder_of(Model.load(settings.model).feature_names)
    consumer = clients.consumer(settings)
    consumer.subscribe([TOPICS[0]])

    def turn() -> int:
        batch = consumer.consume(settings.max_batch_rows, 0.1)
        for message in batch:
            with contextlib.suppress(msgspec.DecodeError):
                decode(message.value() or b"")
        return len(batch)

    found = repeat(turn, rows)
    consumer.close()
    return found


def run_by_hand(bootstrap: str, group: str, rows: int) -> Figures:
    """Do the job as a script would: no reasons, ids, dead letters, metrics or delivery checks."""
    settings = settings_for(bootstrap, group)
    model = Model.load(settings.model)
    decode = decoder_of(model.feature_names)
    pack = struct.Struct(f"={len(model.feature_names)}d").pack
    consumer, producer = clients.consumer(settings), clients.producer(settings)
    consumer.subscribe([TOPICS[0]])
    committed = time.monotonic()

    def turn() -> int:
        nonlocal committed
        batch = consumer.consume(settings.max_batch_rows, 0.1)
        packed = []
        for message in batch:
            with contextlib.suppress(msgspec.DecodeError):
                packed.append(pack(*msgspec.structs.astuple(decode(message.value() or b""))))
        matrix = np.frombuffer(b"".join(packed)).reshape(-1, len(model.feature_names))
        _, probability = model.score(matrix)
        for i in np.flatnonzero(probability >= np.float32(settings.threshold)):
            alert = {"probability": probability.item(i), "features": matrix[i].tolist()}
            producer.produce(settings.alerts_topic, msgspec.json.encode(alert))
        producer.poll(0)
        if batch and time.monotonic() - committed > settings.commit_interval_ms / 1000:
            producer.flush()
            consumer.commit(message=batch[-1], asynchronous=False)
            committed = time.monotonic()
        return len(batch)

    found = repeat(turn, rows)
    consumer.close()
    return found


def repeat(turn: Callable[[], int], rows: int) -> Figures:
    """Call `turn`, which tells how many rows it did, until `rows` are done; measure it."""
    while not (first := turn()):
        pass
    cpu, wall, seen = time.process_time(), time.perf_counter(), first
    while seen < rows:
        seen += turn()
    return figures(rows - first, time.process_time() - cpu, time.perf_counter() - wall)


KINDS: dict[str, Callable[[str, str, int], Figures]] = {
    "stream-scorer": run_service,
    "exactly-once": partial(run_service, guarantee="exactly-once"),
    "by hand": run_by_hand,
    "bare loop": run_bare,
}


def run_all(bootstrap: str, rows: int, runs: int) -> dict[str, list[Figures]]:
    """Run the kinds in turn, each as a process."""
    found: dict[str, list[Figures]] = {kind: [] for kind in KINDS}
    for i in range(runs):
        for kind in KINDS:
            child = ["--child", kind, bootstrap, f"{kind}-{i}"]
            done = subprocess.run(
                [sys.executable, __file__, "--rows", str(rows), *child],
                check=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            found[kind].append(json.loads(done.stdout))
            print(f"run {i + 1} of {runs}: {as_line(kind, found[kind][-1])}", file=sys.stderr)
    return found


def as_line(kind: str, run: Figures) -> str:
    """Return one kind's figures as a line."""
    return (
        f"{kind:14}{run['rows_a_second']:>9,.0f} rows/s  "
        f"{run['cpu_us_a_row']:.2f} us CPU a row  {run['rss_mb']:.0f} MB"
    )


@click.command()
@click.option("--rows", default=400_000)
@click.option("--runs", default=3)
@click.option("--json", "as_json", is_flag=True)
@click.option("--child", nargs=3, hidden=True)
def main(*, rows: int, runs: int, as_json: bool, child: tuple[str, str, str] | None) -> None:
    """Run the benchmark, or, with --child, one of its processes."""
    if child:
        kind, bootstrap, group = child
        print(json.dumps(KINDS[kind](bootstrap, group, rows)))
        return
    with local_kafka(quick=False) as kafka:
        make_topics(kafka.bootstrap, TOPICS)
        print(f"writing {rows:,} events...", file=sys.stderr)
        topic = fill(kafka.bootstrap, rows)
        found = run_all(kafka.bootstrap, rows, runs)
    medians = medians_of(found)
    if as_json:
        print(json.dumps({"topic": topic, "runs": found, "medians": medians}))
        return
    print(f"{topic['rows']:,.0f} events of {topic['bytes_a_row']:.0f} bytes, medians of {runs}:")
    for kind, each in medians.items():
        print(as_line(kind, each))
    ours, once, hand, bare = (medians[kind]["cpu_us_a_row"] for kind in KINDS)
    speed, speed_once = (medians[kind]["rows_a_second"] for kind in list(KINDS)[:2])
    print(
        f"exactly-once has {speed_once / speed:.2f} times the throughput of at-least-once, "
        f"{once / ours:.2f} times its CPU"
    )
    print(f"{ours / bare:.2f} times the bare loop's CPU, {ours / hand:.2f} times the script's")
    print("stages of stream-scorer, wall time a row:")
    service = medians["stream-scorer"]
    print("  ".join(f"{stage} {service[f'{stage}_us_a_row']:.2f} us" for stage in STAGES))


if __name__ == "__main__":
    main()
