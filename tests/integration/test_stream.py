"""The main job on a real Kafka: what goes in comes out, once it is safe, whatever happens."""

import json
import signal
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, count
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime
import pytest
from confluent_kafka import Message
from numpy.typing import NDArray

from producer.figures import COLUMNS
from producer.generate import generate
from stream_scorer.config import SHIPPED_MODEL
from tests.integration.stream import Stream, fresh_stream, wait_for

pytestmark = pytest.mark.integration

ROWS = 6000
FRAUD_RATE = 0.05


BOTH = pytest.mark.parametrize("guarantee", ["at-least-once", "exactly-once"])


@pytest.fixture
def guarantee() -> str:
    """Return the default; a test that is about both has it as a parameter."""
    return "at-least-once"


@pytest.fixture
def stream(kafka: str, tmp_path: Path, guarantee: str) -> Iterator[Stream]:
    with fresh_stream(kafka, tmp_path, SCORER_GUARANTEE=guarantee) as each:
        yield each


@pytest.fixture(scope="session")
def rows() -> NDArray[np.float64]:
    """Return synthetic transactions, float64 (ROWS, 30), the columns of the model in its order."""
    chunks = generate(ROWS, seed=7, fraud_rate=FRAUD_RATE)
    assert COLUMNS[-1] == "Class"
    return np.concatenate(list(chunks))[:, :-1]


@pytest.fixture(scope="session")
def oracle(rows: NDArray[np.float64]) -> dict[str, float]:
    """Return the alerts there must be: id -> probability, by onnxruntime and nothing of ours."""
    session = onnxruntime.InferenceSession(SHIPPED_MODEL.read_bytes())
    (probability,) = session.run(["probability"], {"features": rows})
    return {f"t{i}": float(p) for i, p in enumerate(probability) if p >= np.float32(0.8)}


def events(rows: NDArray[np.float64], start: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield key and value of each row; the key is the transaction's id."""
    for i, row in enumerate(rows.tolist(), start=start):
        event = dict(zip(COLUMNS, row, strict=False))
        yield f"t{i}", msgspec.json.encode(event | {"merchant": "somebody"})


def ids(messages: Sequence[Message]) -> Counter[str]:
    return Counter((message.key() or b"").decode() for message in messages)


@BOTH
def test_alerts_are_the_oracles_and_every_record_is_scored_once(
    stream: Stream, rows: NDArray[np.float64], oracle: dict[str, float]
) -> None:
    scorer = stream.start()
    stream.send(events(rows))
    stream.wait_committed(ROWS)
    alerts = {m.key() or b"": json.loads(m.value() or b"") for m in stream.alerts()}
    assert {key.decode(): alert["probability"] for key, alert in alerts.items()} == oracle
    assert len(oracle) > 100
    for key, alert in alerts.items():
        row = rows[int(key[1:])]
        assert alert["features"] == dict(zip(COLUMNS, row.tolist(), strict=False))
        assert 1 <= len(alert["reasons"]) <= 3
    assert ids(stream.scores()) == Counter(f"t{i}" for i in range(ROWS))
    metrics = urllib.request.urlopen(scorer.metrics_url(), timeout=5).read().decode()
    assert f"scorer_scored_total {ROWS}.0" in metrics
    assert f"scorer_alerts_total {len(oracle)}.0" in metrics
    assert f"scorer_event_to_alert_seconds_count {len(oracle)}.0" in metrics
    wait_for("lag 0", lambda: _lag(scorer.metrics_url()) == [0.0] * 4)
    assert scorer.stop() == 0


def _lag(url: str) -> list[float]:
    lines = urllib.request.urlopen(url, timeout=5).read().decode().splitlines()
    return [float(line.split()[-1]) for line in lines if line.startswith("scorer_lag_records{")]


@BOTH
def test_kill_in_the_middle_loses_nothing_and_repeats_are_identical(
    stream: Stream, rows: NDArray[np.float64], oracle: dict[str, float], guarantee: str
) -> None:
    # How long the dead keep their partitions; and a restarted replica keeps its name: under
    # another one, what the dead left open would hide later scores until the broker ends it.
    soon = {"SCORER_KAFKA_CONSUMER_SESSION_TIMEOUT_MS": "6000", "SCORER_REPLICA": "one"}
    sent: list[str] = []
    for k in range(3):
        copy = list(events(rows, start=k * ROWS))
        before = stream.written(stream.settings.scores_topic)
        stream.send(copy)
        sent.extend(key for key, _ in copy)
        # With no commit in sight, a kill after the first scores finds work that is not committed.
        # One record a batch makes the scorer slow enough not to be done, and idle, before.
        scorer = stream.start(SCORER_COMMIT_INTERVAL_MS="5000", SCORER_MAX_BATCH_ROWS="1", **soon)
        wait_for("scores", lambda: stream.written(stream.settings.scores_topic) > before)  # noqa: B023
        scorer.kill()
        scorer = stream.start(SCORER_COMMIT_INTERVAL_MS="10", **soon)
        stream.wait_committed(k * ROWS + 1)
        scorer.kill()
    scorer = stream.start(**soon)
    scorer.wait_assigned()
    stream.wait_committed(len(sent))
    assert scorer.stop() == 0
    scored = ids(stream.scores())
    assert set(scored) == set(sent)
    alerts: dict[str, set[bytes | str | None]] = {}
    for message in stream.alerts():
        alert_id = json.loads(message.value() or b"")["alert_id"]
        alerts.setdefault(alert_id, set()).add(message.value())
    assert all(len(values) == 1 for values in alerts.values())
    assert len(alerts) == len(oracle) * 3
    if guarantee == "exactly-once":
        assert scored == Counter(sent)
        assert len(stream.alerts()) == len(alerts)
    else:
        assert scored.total() > len(sent), "no kill came between a write and its commit"


@BOTH
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_stop_under_load_repeats_nothing_and_exits_0(
    stream: Stream, rows: NDArray[np.float64], number: int
) -> None:
    copies = (events(rows, start=k * ROWS) for k in count())
    with stream.load(chain.from_iterable(copies)) as sent:
        for _ in range(2):
            before = stream.committed()
            scorer = stream.start(SCORER_MAX_BATCH_ROWS="50")
            wait_for("some progress", lambda: stream.committed() > before)  # noqa: B023
            assert scorer.stop(number) == 0
    assert stream.committed() < len(sent), "there was no load left to stop under"
    scorer = stream.start()
    scorer.wait_assigned()
    stream.wait_committed(len(sent))
    assert scorer.stop(number) == 0
    assert ids(stream.scores()) == Counter(sent)


@BOTH
@pytest.mark.parametrize(
    "protocol",
    [
        {"SCORER_KAFKA_CONSUMER_PARTITION_ASSIGNMENT_STRATEGY": "range"},
        {"SCORER_KAFKA_CONSUMER_PARTITION_ASSIGNMENT_STRATEGY": "cooperative-sticky"},
        {"SCORER_KAFKA_CONSUMER_GROUP_PROTOCOL": "consumer"},
    ],
    ids=["eager", "cooperative", "consumer-protocol"],
)
def test_consumers_that_join_and_leave_lose_nothing(
    stream: Stream, rows: NDArray[np.float64], protocol: dict[str, str]
) -> None:
    first = stream.start(**protocol)
    first.wait_assigned()
    total = stream.send(events(rows))
    second = stream.start(**protocol)
    second.wait_assigned()
    total += stream.send(events(rows, start=ROWS))
    assert second.stop() == 0
    total += stream.send(events(rows, start=2 * ROWS))
    third = stream.start(**protocol)
    third.wait_assigned()
    total += stream.send(events(rows, start=3 * ROWS))
    assert first.stop() == 0
    stream.wait_committed(total)
    assert third.stop() == 0
    scored = ids(stream.scores())
    assert set(scored) == {f"t{i}" for i in range(total)}
    assert scored.total() == total, "a clean hand-over repeats nothing"


def test_one_record_a_second_does_not_wait_for_others(
    stream: Stream, rows: NDArray[np.float64]
) -> None:
    scorer = stream.start()
    scorer.wait_assigned()
    for i in range(4):
        stream.send(events(rows[i : i + 1], start=i))
        stream.wait_committed(i + 1)
    batches = urllib.request.urlopen(scorer.metrics_url(), timeout=5).read().decode()
    assert "scorer_batch_records_count 4.0" in batches
    assert scorer.stop() == 0
