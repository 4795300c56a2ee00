"""What the policies cost a row, and how long the hardest single records take.

    python benchmarks/odd_records.py [--batches 200] [--runs 5] [--json]

No Kafka: the same batches of 512 events go through the scorer under each policy in turns; then each
hard record goes through alone, the longest of ten times. CPU and ratios hold on a shared machine.
"""

import json
import statistics
import time
from collections.abc import Mapping

import click
import msgspec
import numpy as np
from confluent_kafka import Message

from producer.figures import COLUMNS
from producer.generate import generate
from stream_scorer.codecs.json import JsonDecoder
from stream_scorer.config import LARGEST_RECORD_BYTES, SHIPPED_MODEL
from stream_scorer.model import Model, warm_up
from stream_scorer.policy import Policy
from stream_scorer.run import settle_memory
from stream_scorer.scorer import Scorer

ROWS = 512
POLICIES: Mapping[str, Policy] = {
    "duplicate_keys=last": Policy(),
    "duplicate_keys=count": Policy(duplicate_keys="count"),
    "duplicate_keys=reject": Policy(duplicate_keys="reject"),
    "limits on Amount and Time": Policy(limits={"Amount": (0, 1e6), "Time": (0, float("inf"))}),
}


def make_batches(count: int, *, colon: bool = False) -> list[list[Message]]:
    """Return batches of synthetic events; `colon` puts one into a text, as a time of day has."""
    rows = np.concatenate(list(generate(count * ROWS, seed=1, fraud_rate=0.004)))[:, :-1].tolist()
    extra = {"at": "2026-01-01T10:00:00Z"} if colon else {}
    values = [
        msgspec.json.encode({**dict(zip(COLUMNS, row, strict=False)), **extra}) for row in rows
    ]
    return [
        [message(start + i, value) for i, value in enumerate(values[start : start + ROWS])]
        for start in range(0, len(values), ROWS)
    ]


def message(offset: int, value: bytes, key: bytes | None = None) -> Message:
    """Return a record."""
    return Message(
        topic="bench",
        partition=0,
        offset=offset,
        value=value,
        key=key,
        timestamp=(1, 1_700_000_000_000),
    )


def scorer_of(model: Model, policy: Policy) -> Scorer:
    """Return a scorer with a policy."""
    decoder = JsonDecoder(model.feature_names)
    return Scorer(model=model, decoder=decoder, threshold=0.8, cluster_id="c", policy=policy)


def cpu_us_a_row(scorer: Scorer, batches: list[list[Message]]) -> float:
    """Return the CPU time of one pass."""
    start = time.process_time()
    for batch in batches:
        scorer(batch)
    return (time.process_time() - start) / sum(map(len, batches)) * 1e6


def hard_records() -> dict[str, bytes]:
    """Return values that are as hard as the largest that is read allows."""
    size = LARGEST_RECORD_BYTES
    event = msgspec.json.encode(dict.fromkeys(COLUMNS, 1.0))[:-1]
    keys = b"".join(b',"k%d":1' % i for i in range(size // 12))
    return {
        "objects in objects": event + b',"x":' + b'{"a":' * (size // 5 - 200),
        "lists in lists": event + b',"x":' + b"[" * (size - len(event) - 6),
        "80,000 other keys": event + keys[: keys.rindex(b",", 0, size - 1000)] + b"}",
        "one key 80,000 times": event + b',"Time":1.0' * ((size - len(event)) // 11) + b"}",
        "a number of a million digits": event[:-3] + b"1" * (size - len(event)) + b"}",
        "a million digits after the point": event[:-1] + b"1" * (size - len(event)) + b"}",
        "a text of a million escapes": event + b',"x":"' + b"\\u00e9" * (size // 6 - 200) + b'"}',
        "a million spaces": event + b" " * (size - len(event) - 1) + b"}",
        "NaN at the end of a megabyte": event + b" " * (size - len(event) - 20) + b',"x":NaN}',
        "zeros": b"\0" * size,
        "100 MB of zeros": b"0" * 100_000_000,
    }


def longest_ms(scorer: Scorer, value: bytes) -> float:
    """Return the longest of ten times that one record takes, from bytes to outcome, of CPU."""
    times = []
    for _ in range(10):
        start = time.thread_time()
        scorer([message(0, value)])
        times.append(time.thread_time() - start)
    return max(times) * 1e3


@click.command()
@click.option("--batches", default=200, show_default=True)
@click.option("--runs", default=5, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(*, batches: int, runs: int, as_json: bool) -> None:
    """Measure."""
    model = Model.load(SHIPPED_MODEL)
    warm_up(model, ROWS)
    settle_memory()  # as `run` does
    cost: dict[str, dict[str, float]] = {}
    for kind, events in (
        ("flat events", make_batches(batches)),
        ("events with a colon in a text", make_batches(batches, colon=True)),
    ):
        times: dict[str, list[float]] = {name: [] for name in POLICIES}
        for _ in range(runs):
            for name, policy in POLICIES.items():
                times[name].append(cpu_us_a_row(scorer_of(model, policy), events))
        cost[kind] = {name: statistics.median(each) for name, each in times.items()}
    strict = scorer_of(model, Policy(duplicate_keys="reject"))
    plain = scorer_of(model, Policy())
    hard = {
        name: {"last": longest_ms(plain, value), "reject": longest_ms(strict, value)}
        for name, value in hard_records().items()
    }
    if as_json:
        click.echo(json.dumps({"cpu_us_a_row": cost, "longest_ms": hard}, indent=1))
        return
    for kind, found in cost.items():
        base = next(iter(found.values()))
        click.echo(kind)
        for name, value in found.items():
            click.echo(f"  {name:<28} {value:6.2f} us of CPU a row, {value / base:.2f} times")
    click.echo("the longest of ten times, ms of CPU: duplicate_keys=last, reject")
    for name, each in hard.items():
        click.echo(f"  {name:<34} {each['last']:7.1f} {each['reject']:7.1f}")


if __name__ == "__main__":
    main()
