"""CPU a row from bytes to outcome: Avro in several shapes beside JSON, the same rows.

    python -m benchmarks.avro [--batches 200] [--runs 5] [--json]

No Kafka, no registry: batches of 512 events go through the scorer in turns. What consuming takes is
the same for all of them (`benchmarks/throughput.py`).
"""

import io
import json
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import click
import msgspec
import numpy as np
from confluent_kafka import Message
from fastavro import parse_schema, schemaless_writer

from producer.figures import COLUMNS
from producer.generate import generate
from stream_scorer.codecs.avro import AvroDecoder
from stream_scorer.codecs.json import JsonDecoder
from stream_scorer.config import SHIPPED_MODEL
from stream_scorer.model import Model, warm_up
from stream_scorer.run import settle_memory
from stream_scorer.scorer import Scorer
from tests.records import record

ROWS = 512

NAMES = COLUMNS[:-1]
DOUBLES = [{"name": name, "type": "double"} for name in NAMES]
ID = {"name": "transaction_id", "type": "string"}
SHAPES: dict[str, list[dict[str, Any]]] = {
    "avro: doubles, then an id": [*DOUBLES, ID],
    "avro: an id, then doubles": [ID, *DOUBLES],
    "avro: doubles backwards": [*DOUBLES[::-1], ID],
    "avro: one may be null": [*DOUBLES[:-1], {"name": NAMES[-1], "type": ["null", "double"]}, ID],
}
Batches = list[list[Message]]


def cells(count: int) -> list[dict[str, Any]]:
    """Return so many batches' transactions."""
    rows = np.concatenate(list(generate(count * ROWS, seed=1, fraud_rate=0.004)))[:, :-1]
    return [
        {**dict(zip(NAMES, row, strict=True)), "transaction_id": f"t-{i:09d}"}
        for i, row in enumerate(rows.tolist())
    ]


def in_batches(values: Sequence[bytes]) -> Batches:
    """Return values as batches of records."""
    return [
        [record(start + i, value) for i, value in enumerate(values[start : start + ROWS])]
        for start in range(0, len(values), ROWS)
    ]


def in_avro(fields: list[dict[str, Any]], rows: Sequence[dict[str, Any]]) -> tuple[str, Batches]:
    """Return a schema and the rows by it."""
    text = json.dumps({"type": "record", "name": "Transaction", "fields": fields})
    schema = parse_schema(json.loads(text))
    values = []
    for row in rows:
        stream = io.BytesIO()
        stream.write(b"\0\0\0\0\1")
        schemaless_writer(stream, schema, row)
        values.append(stream.getvalue())
    return text, in_batches(values)


def found_by(text: str) -> Callable[[int], Sequence[str]]:
    """Return a registry that has one schema."""
    return lambda _: [text]


@click.command()
@click.option("--batches", default=200, show_default=True)
@click.option("--runs", default=5, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(*, batches: int, runs: int, as_json: bool) -> None:
    """Measure."""
    model = Model.load(SHIPPED_MODEL)
    warm_up(model, ROWS)
    make = partial(Scorer, model, threshold=0.8, cluster_id="c")
    rows = cells(batches)
    kinds: dict[str, tuple[Scorer, Batches]] = {
        "json": (make(JsonDecoder(NAMES)), in_batches([*map(msgspec.json.encode, rows)]))
    }
    for name, fields in SHAPES.items():
        text, made = in_avro(fields, rows)
        kinds[name] = (make(AvroDecoder(NAMES, found_by(text))), made)
    settle_memory()
    times: dict[str, list[float]] = {name: [] for name in kinds}
    alerts: dict[str, int] = {}
    for _ in range(runs):
        for name, (scorer, made) in kinds.items():
            begun = time.process_time()
            alerts[name] = sum(len(scorer(batch).alerts) for batch in made)
            times[name].append((time.process_time() - begun) / len(rows) * 1e6)
    if len(set(alerts.values())) > 1:
        raise SystemExit(f"different alerts: {alerts}")
    found = {name: statistics.median(each) for name, each in times.items()}
    if as_json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:<28} {value:6.2f} us of CPU a row, {value / found['json']:.2f} times")


if __name__ == "__main__":
    main()
