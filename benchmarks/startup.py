"""Seconds from the start of `run` to its first score, beside those that the group's join takes.

    python -m benchmarks.startup [--runs 5] [--json]

Starts a Kafka; a record waits on the topic. The join is timed by a bare consumer of confluent-kafka
with the same settings, from its first poll to its first record. Both group protocols.
"""

import json
import statistics
import tempfile
import time
import uuid
from pathlib import Path

import click
import numpy as np
from confluent_kafka import Consumer

from producer.figures import COLUMNS
from stream_scorer.clients import consumer_config
from stream_scorer.local_kafka import local_kafka
from tests.integration.stream import Stream, fresh_stream, wait_for
from tests.integration.test_stream import events

LONGEST_S = 1.5  # beyond the join


def join_s(stream: Stream, protocol: str) -> float:
    """Return how long a bare consumer takes from its first poll to its first record."""
    config = consumer_config(stream.settings)
    if protocol == "consumer":
        for key in ("session.timeout.ms", "partition.assignment.strategy"):
            config.pop(key, None)
    config |= {"group.id": uuid.uuid4().hex, "group.protocol": protocol}
    reader = Consumer(config)
    reader.subscribe([stream.settings.transactions_topic])
    begun = time.perf_counter()
    while reader.poll(0.01) is None:
        pass
    took = time.perf_counter() - begun
    reader.close()
    return took


def start_s(stream: Stream, protocol: str) -> float:
    """Return how long `run` takes from its start to its first score."""
    before = stream.written(stream.settings.scores_topic)
    begun = time.perf_counter()
    scorer = stream.start(
        SCORER_KAFKA_CONSUMER_GROUP_PROTOCOL=protocol, SCORER_GROUP_ID=uuid.uuid4().hex
    )
    wait_for("a score", lambda: stream.written(stream.settings.scores_topic) > before)
    took = time.perf_counter() - begun
    if scorer.stop():
        raise SystemExit(scorer.text())
    return took


@click.command()
@click.option("--runs", default=5, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(*, runs: int, as_json: bool) -> None:
    """Measure, both in turns."""
    found: dict[str, dict[str, float]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        local_kafka(quick=False) as kafka,
        fresh_stream(kafka.bootstrap, Path(folder), partitions=1) as stream,
    ):
        stream.send(events(np.zeros((1, len(COLUMNS) - 1))))
        for protocol in ("classic", "consumer"):
            times = [(join_s(stream, protocol), start_s(stream, protocol)) for _ in range(runs)]
            join, start = (statistics.median(each) for each in zip(*times, strict=True))
            found[protocol] = {"join_s": join, "start_s": start, "beyond_s": start - join}
    if as_json:
        print(json.dumps(found))
    else:
        for protocol, each in found.items():
            print(protocol, ", ".join(f"{name} {value:.2f}" for name, value in each.items()))
    if any(each["beyond_s"] > LONGEST_S for each in found.values()):
        raise SystemExit(f"more than {LONGEST_S} s beyond the join")


if __name__ == "__main__":
    main()
