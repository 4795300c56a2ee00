"""Avro on a real Kafka with a real schema registry: the same alerts as in JSON."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from confluent_kafka import Producer

from producer.figures import COLUMNS
from producer.generate import csv_lines, generate
from stream_scorer.codecs.alerts import as_json
from stream_scorer.config import SHIPPED_MODEL
from stream_scorer.registry import connect
from tests.integration.schema_registry import SchemaRegistry, schema_registry
from tests.integration.stream import Stream, fresh_stream, wait_for
from tests.integration.test_commands import command
from tests.test_avro import schema_of, write

pytestmark = pytest.mark.integration
ROWS = 2000
DOUBLES = [{"name": name, "type": "double"} for name in COLUMNS[:-1]]
ID = {"name": "transaction_id", "type": "string"}
# What a producer may do to its schema in the course of time.
VERSIONS: tuple[list[dict[str, Any]], ...] = (
    [*DOUBLES, ID],
    [*DOUBLES, ID, {"name": "merchant", "type": ["null", "string"], "default": None}],
    [ID, *reversed(DOUBLES)],
    [{"name": "Amount", "type": "long"}, *DOUBLES[:-1], ID],
)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SchemaRegistry]:
    with schema_registry(tmp_path_factory.mktemp("registry")) as each:
        yield each


@pytest.fixture
def stream(kafka: str, tmp_path: Path, registry: SchemaRegistry) -> Iterator[Stream]:
    with fresh_stream(
        kafka,
        tmp_path,
        SCORER_FORMAT="avro",
        SCORER_ALERTS_FORMAT="avro",
        SCORER_REGISTRY_URL=registry.url,
    ) as each:
        yield each


def expected(rows: "np.ndarray[tuple[int, int], np.dtype[np.float64]]") -> dict[str, float]:
    """Return the alerts there must be, by onnxruntime and nothing of ours."""
    session = onnxruntime.InferenceSession(SHIPPED_MODEL.read_bytes())
    (probability,) = session.run(["probability"], {"features": rows})
    return {f"t{i}": float(p) for i, p in enumerate(probability) if p >= np.float32(0.8)}


def alerts(stream: Stream) -> dict[str, float]:
    found = [json.loads(as_json(message.value() or b"")) for message in stream.alerts()]
    return {each["transaction_id"]: each["probability"] for each in found}


def send(stream: Stream, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": stream.bootstrap})
    for value in values:
        producer.produce(stream.settings.transactions_topic, value)
    assert producer.flush(60) == 0


def test_schema_that_changes_under_way_changes_no_score(
    stream: Stream, registry: SchemaRegistry
) -> None:
    rows = np.concatenate(list(generate(ROWS, seed=5, fraud_rate=0.05)))[:, :-1]
    amount = COLUMNS.index("Amount")
    rows[:, amount] = np.floor(rows[:, amount])  # one version has whole amounts
    settings = stream.settings.model_copy(update={"registry_url": registry.url})
    with closing(connect(settings)) as asks:
        ids = [asks.register(f"v{n}-value", schema_of(each)) for n, each in enumerate(VERSIONS)]
    values = []
    for i, row in enumerate(rows.tolist()):
        version = i * len(VERSIONS) // ROWS
        cells = dict(zip(COLUMNS, row, strict=False))
        if version == 3:
            cells["Amount"] = int(cells["Amount"])
        values.append(write(VERSIONS[version], ids[version], **cells, transaction_id=f"t{i}"))
    values[7:7] = [b"{}", b"\0\0\x0f\xff\xff" + values[0][5:], values[0][:-3]]
    scorer = stream.start()
    send(stream, values)
    stream.wait_committed(len(values))
    assert scorer.stop() == 0
    assert alerts(stream) == pytest.approx(expected(rows), rel=0, abs=1e-6)
    assert len(stream.scores()) == ROWS
    assert len(stream.dead_letters()) == 3


def test_replay_writes_what_run_reads_and_the_commands_read_the_alerts(
    stream: Stream, registry: SchemaRegistry, tmp_path: Path
) -> None:
    file = tmp_path / "some.csv"
    file.write_text("\n".join(csv_lines(ROWS, seed=9, fraud_rate=0.05)) + "\n")
    environ = {
        "SCORER_FORMAT": "avro",
        "SCORER_ALERTS_FORMAT": "avro",
        "SCORER_REGISTRY_URL": registry.url,
    }
    checked = command("check", stream=stream, **environ)
    assert "schema registry" in checked.stdout, checked.stdout
    sent = command("replay", str(file), stream=stream, **environ)
    assert sent.returncode == 0, sent.stderr
    scorer = stream.start()
    stream.wait_committed(ROWS)
    assert scorer.stop() == 0
    found = alerts(stream)
    scored = command("score", str(file), "--output", str(tmp_path / "scored.csv"))
    assert scored.returncode == 0, scored.stderr
    lines = (tmp_path / "scored.csv").read_text().splitlines()
    assert len(found) == sum(",fraud," in line for line in lines) > 20
    shown = command("alerts", "--json", stream=stream)
    assert {json.loads(line)["transaction_id"] for line in shown.stdout.splitlines()} <= set(found)
    verified = command("verify", stream=stream, **environ)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert f"{len(found)} identical" in verified.stdout


def test_registry_that_is_away_stops_run_and_nothing_is_dead_lettered(
    kafka: str, tmp_path: Path
) -> None:
    with (
        schema_registry(tmp_path) as own,
        fresh_stream(kafka, tmp_path, SCORER_FORMAT="avro", SCORER_REGISTRY_URL=own.url) as stream,
        closing(connect(stream.settings.model_copy(update={"registry_url": own.url}))) as asks,
    ):
        first = asks.register("a-value", schema_of(VERSIONS[0]))
        second = asks.register("b-value", schema_of(VERSIONS[2]))
        cells = {**dict.fromkeys(COLUMNS[:-1], 0.0), "transaction_id": "t0"}
        scorer = stream.start()
        send(stream, [write(VERSIONS[0], first, **cells)])
        stream.wait_committed(1)
        own.stop()
        send(stream, [write(VERSIONS[2], second, **cells)] * 5)
        wait_for("the end", lambda: scorer.process.poll() is not None, timeout_s=60)
        assert scorer.process.returncode == 1
        assert "schema registry" in scorer.text()
        assert "does not answer" in scorer.text()
        assert (stream.committed(), len(stream.dead_letters())) == (1, 0)
        own.start()  # empty: the same schemas in the same order have the same ids
        # The client remembers what it has registered: another one asks.
        with closing(connect(stream.settings.model_copy(update={"registry_url": own.url}))) as anew:
            anew.register("a-value", schema_of(VERSIONS[0]))
            assert anew.register("b-value", schema_of(VERSIONS[2])) == second
        stream.start()
        stream.wait_committed(6)
        assert len(stream.dead_letters()) == 0
