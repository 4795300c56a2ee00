"""Every sink: what is written is safe after a flush; and what a dead letter says."""

import logging
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from prometheus_client import CollectorRegistry

from stream_scorer.config import Settings
from stream_scorer.dead_letters import letters
from stream_scorer.errors import DeliveryError
from stream_scorer.metrics import Metrics
from stream_scorer.model import Model
from stream_scorer.records import DeadLetter, Headers, Outcome, Reject
from stream_scorer.sinks import SINKS
from stream_scorer.sinks.kafka import KafkaSink
from stream_scorer.tracing import UNTRACED
from tests.records import FRAUD, GOOD, record
from tests.test_scorer import make_scorer

NOW_MS = 1_800_000_000_000


def no_producer() -> Producer:
    raise AssertionError("nothing is written to Kafka here")


@pytest.fixture
def outcome(tiny: Model) -> Outcome:
    """Return an outcome with one of each."""
    scorer = make_scorer(tiny, every_score=True)
    return scorer([record(0, GOOD), record(1, FRAUD), record(2, b'{"secret": 4111111111111111')])


def letter(reject: Reject | None = None, **rest: object) -> DeadLetter:
    bad = record(2, b"{", **rest)
    headers: Any = bad.headers()
    return DeadLetter(bad, headers, reject or Reject("DECODE", "truncated"))


def as_dict(headers: Headers) -> dict[str, str]:
    return {key: (value or b"").decode() for key, value in headers}


def test_log_sink_names_places_and_never_payloads(
    outcome: Outcome, tiny: Model, caplog: pytest.LogCaptureFixture
) -> None:
    sink = SINKS["log"](Settings(), no_producer, Metrics(CollectorRegistry(), tiny), UNTRACED)
    with caplog.at_level(logging.INFO):
        sink.write(outcome)
        sink.flush()
    assert "Alert transactions[0]@1: probability 0.9608" in caplog.text
    assert "Dead letter transactions[0]@2: DECODE" in caplog.text
    assert "4111" not in caplog.text


def test_dead_letter_keeps_its_headers_and_says_where_and_why() -> None:
    headers = letters.written(
        letter(headers=[("a", b"1"), ("a", None), ("b", b"\xff")]),
        group="g", app="stream-scorer/1", sha256="ab", now_ms=NOW_MS, largest=None,
    ).headers  # fmt: skip
    assert headers[:3] == [("a", b"1"), ("a", None), ("b", b"\xff")]
    assert as_dict(headers[3:]) == {
        "dlq.version": "1",
        "dlq.id": "transactions/0/2",
        "dlq.source.topic": "transactions",
        "dlq.source.partition": "0",
        "dlq.source.offset": "2",
        "dlq.source.timestamp": "1700000000000",
        "dlq.group": "g",
        "dlq.stage": "decode",
        "dlq.code": "DECODE",
        "dlq.reason": "truncated",
        "dlq.failed_at": str(NOW_MS),
        "dlq.app": "stream-scorer/1",
        "dlq.model_sha256": "ab",
        "dlq.attempt": "1",
        "dlq.payload": "full",
        "dlq.payload_sha256": "021fb596db81e6d02bf3d2586ee3981fe519f275c0ac9ca76bbcf2ebb4097d96",
        "dlq.payload_bytes": "1",
    }


def test_forged_dlq_header_is_not_passed_on() -> None:
    forged = letter(headers=[("dlq.code", b"FINE"), ("x", b"y")])
    headers = letters.written(
        forged, group="g", app="a", sha256="s", now_ms=NOW_MS, largest=None
    ).headers
    assert [value for key, value in headers if key == "dlq.code"] == [b"DECODE"]
    assert ("x", b"y") in headers


def test_reason_is_cut_at_256_bytes_of_whole_characters() -> None:
    long = letter(Reject("TYPE", "é" * 300))
    headers = as_dict(
        letters.written(long, group="g", app="a", sha256="s", now_ms=NOW_MS, largest=None).headers
    )
    assert headers["dlq.reason"] == "é" * 128


@pytest.mark.parametrize(
    ("original", "kept"),
    [
        (1_700_000_000_000, 1_700_000_000_000),
        (NOW_MS + 1000, NOW_MS + 1000),
        (NOW_MS + 7_200_000, 0),
        (2**62, 0),
        (-5, 0),
        (-1, 0),
    ],
)
def test_timestamp_is_kept_unless_a_broker_would_refuse_it(original: int, kept: int) -> None:
    assert letters.timestamp(original, now_ms=NOW_MS) == kept


class Fenced:
    """A producer that takes records and is done for when they are waited for."""

    def produce(self, *_: object, **__: object) -> None:
        pass

    def poll(self, _: float) -> int:
        return 0

    def flush(self, _: float) -> int:
        raise KafkaException(KafkaError(KafkaError._FATAL, "fenced", fatal=True))


def test_producer_of_what_was_taken_back_is_asked_nothing_more(
    tiny: Model, outcome: Outcome
) -> None:
    metrics = Metrics(CollectorRegistry(), tiny)
    begin: Any = Fenced
    sink = KafkaSink(Settings(), begin, metrics, UNTRACED)
    sink.write(outcome)
    with pytest.raises(DeliveryError, match="done for: fenced"):
        sink.flush()
    sink.forget()
    sink.flush()


class Refusing:
    """A producer whose broker refuses every record."""

    def __init__(self) -> None:
        self.waiting: list[Any] = []

    def poll(self, _: float) -> int:
        return 0

    def produce(self, topic: str, *_: object, on_delivery: Any, **__: object) -> None:
        self.waiting.append((on_delivery, Message(topic=topic)))

    def flush(self, _: float) -> int:
        for on_delivery, message in self.waiting:
            on_delivery(KafkaError(KafkaError.INVALID_RECORD, "failed to validate record"), message)
        return 0


def test_record_that_a_compacted_topic_refuses_says_what_is_wrong_with_the_topic(
    tiny: Model, outcome: Outcome
) -> None:
    producer: Any = Refusing()
    sink = KafkaSink(Settings(), lambda: producer, Metrics(CollectorRegistry(), tiny), UNTRACED)
    sink.write(outcome)
    with pytest.raises(DeliveryError, match=r"did not take .*cleanup\.policy=compact") as raised:
        sink.flush()
    assert isinstance(raised.value.__cause__, KafkaException)
