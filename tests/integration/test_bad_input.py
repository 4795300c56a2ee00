"""Each kind of bad record on a real Kafka: dead-lettered as it was; the others do not notice."""

import hashlib
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Producer

from stream_scorer.config import SHIPPED_MODEL
from stream_scorer.model import Model
from stream_scorer.records import Headers
from tests.faults.cluster import cluster
from tests.integration.stream import Stream, fresh_stream, wait_for

pytestmark = pytest.mark.integration

BAD: dict[str, tuple[Any, str]] = {
    "wrong JSON": (b'{"Time": 1,', "DECODE"),
    "two documents": (b"{} {}", "MISSING"),
    "byte order mark": (b"\xef\xbb\xbf{}", "DECODE"),
    "empty value": (b"", "DECODE"),
    "tombstone": (None, "TOMBSTONE"),
    "not UTF-8": (b'{"Time": 1, "transaction_id": "\xff"}', "DECODE"),
    "missing feature": (b'{"Time": 1}', "MISSING"),
    "string": ("text", "TYPE"),
    "bool": (True, "TYPE"),
    "null": (None, "TYPE"),
    "list": ([1], "TYPE"),
    "NaN": (float("nan"), "NONFINITE"),
    "1e400": (b"1e400", "RANGE"),
}
BAD_HEADER = (sys.executable, "-m", "tests.integration.bad_header")
SENT_MS = 1_700_000_000_000


@pytest.fixture
def stream(kafka: str, tmp_path: Path) -> Iterator[Stream]:
    with fresh_stream(kafka, tmp_path, partitions=1) as each:
        yield each


def event(model: Model, v14: object = 0.0) -> bytes:
    """Return an event of the shipped model with one feature replaced, written as it is."""
    features = dict(zip(model.feature_names, model.baseline.tolist(), strict=True))
    if isinstance(v14, bytes):
        return json.dumps(features | {"V14": 0}).encode().replace(b'"V14": 0', b'"V14": ' + v14)
    return json.dumps(features | {"V14": v14}).encode()


def test_bad_records_keep_their_bytes_and_the_good_ones_their_scores(stream: Stream) -> None:
    model = Model.load(SHIPPED_MODEL)
    topic = stream.settings.transactions_topic
    producer = Producer({"bootstrap.servers": stream.bootstrap})
    whole = {
        "wrong JSON",
        "two documents",
        "byte order mark",
        "empty value",
        "tombstone",
        "not UTF-8",
        "missing feature",
    }
    bad = {
        name: (value if name in whole else event(model, value), code)
        for name, (value, code) in BAD.items()
    }
    for name, (value, _) in bad.items():
        producer.produce(topic, event(model), f"good before {name}")
        producer.produce(
            topic, value, name, headers=[("h", b"\x00\xff"), ("n", None)], timestamp=SENT_MS
        )
    producer.produce(topic, b"{", None)  # a null key stays null
    assert producer.flush(30) == 0
    subprocess.run(
        [*BAD_HEADER, stream.bootstrap, topic, "header key"],
        input=event(model),
        check=True,
        timeout=60,
    )
    stream.send([("last", event(model))])
    total = 2 * len(bad) + 3

    scorer = stream.start()
    stream.wait_committed(total)

    letters = {m.key(): m for m in stream.dead_letters()}
    assert len(letters) == len(bad) + 2
    for name, (value, code) in bad.items():
        letter = letters[name.encode()]
        headers: Headers = letter.headers() or []  # type: ignore[assignment]
        ours = {key: (text or b"").decode() for key, text in headers if key.startswith("dlq.")}
        assert letter.value() == value, name
        assert headers[:2] == [("h", b"\x00\xff"), ("n", None)]
        assert letter.timestamp()[1] == SENT_MS
        assert ours["dlq.code"] == code, name
        assert ours["dlq.source.topic"] == topic
        assert ours["dlq.payload_sha256"] == hashlib.sha256(value or b"").hexdigest()
    assert letters[None].value() == b"{"
    unreadable = letters[b"header key"]
    assert unreadable.value() == event(model)
    assert dict(unreadable.headers() or [])["dlq.code"] == b"HEADERS"

    scored = [(m.key() or b"").decode() for m in stream.scores()]
    assert scored == [*(f"good before {name}" for name in bad), "last"]
    probabilities = {m.value().split(b'"probability":')[1].split(b",")[0] for m in stream.scores()}  # type: ignore[union-attr]
    assert len(probabilities) == 1, "the same event has the same score whatever is beside it"

    text = urllib.request.urlopen(scorer.metrics_url(), timeout=5).read().decode()
    for code in {code for _, code in bad.values()} | {"HEADERS"}:
        expected = sum(c == code for _, c in bad.values()) + (code in {"HEADERS", "DECODE"})
        assert f'scorer_dead_letters_total{{reason="{code}"}} {expected}.0' in text
    assert scorer.stop() == 0


def test_timestamp_that_the_dead_letters_would_refuse_does_not_stop_the_scorer(
    stream: Stream,
) -> None:
    topic = stream.settings.transactions_topic
    stream.set_topic(topic, "message.timestamp.after.max.ms", str(2**63 - 1))
    producer = Producer({"bootstrap.servers": stream.bootstrap})
    far = int(time.time() * 1000) + 10**12

    def taken() -> bool:
        """Send; a broker refuses such a time until it has heard of the topic's new setting."""
        errors: list[object] = []
        producer.produce(topic, b"{", timestamp=far, on_delivery=lambda e, _: errors.append(e))
        assert producer.flush(30) == 0
        return errors == [None]

    wait_for("a record from the future", taken)
    scorer = stream.start()
    stream.wait_committed(1)
    assert len(stream.dead_letters()) == 1
    assert scorer.stop() == 0


def test_no_size_stops_the_scorer_and_a_dead_letter_fits_the_usual_topic(stream: Stream) -> None:
    model = Model.load(SHIPPED_MODEL)
    topic = stream.settings.transactions_topic
    stream.set_topic(topic, "max.message.bytes", "10000000")
    good = event(model)
    noise = np.random.default_rng(0).bytes  # does not compress
    sent: dict[str, tuple[bytes, str]] = {
        "largest good": (good[:-1] + b" " * (1_000_000 - len(good)) + b"}", ""),
        "larger good": (good[:-1] + b" " * (1_000_001 - len(good)) + b"}", "LIMIT"),
        "bad": (noise(999_000), "DECODE"),
        "bad, too large with its key": (noise(1_000_000), "DECODE"),
        "huge": (noise(8_000_000), "LIMIT"),
        "bomb": (b"0" * 60_000_000, "LIMIT"),
    }
    for name, (value, _) in sent.items():
        send_large(stream, name, value, "gzip")
    scorer = stream.start()
    stream.wait_committed(len(sent))
    letters = {(m.key() or b"").decode(): m for m in stream.dead_letters()}
    assert set(letters) == set(sent) - {"largest good"}
    for name, letter in letters.items():
        found: Headers = letter.headers() or []  # type: ignore[assignment]
        headers = {key: (text or b"").decode() for key, text in found}
        value, code = sent[name]
        whole = name == "bad"
        assert letter.value() == (value if whole else value[:65_536]), name
        assert headers["dlq.code"] == code
        assert headers["dlq.payload"] == ("full" if whole else "truncated")
        assert headers["dlq.payload_bytes"] == str(len(value))
        assert headers["dlq.payload_sha256"] == hashlib.sha256(value).hexdigest()
    assert scorer.stop() == 0


def send_large(stream: Stream, key: str, value: bytes, codec: str, *, records: int = 1) -> None:
    """Send so many records as one batch; a broker may not have heard of the topic's new size."""
    producer = Producer(
        {
            "bootstrap.servers": stream.bootstrap,
            "compression.type": codec,
            "message.max.bytes": 200_000_000,
            "batch.size": 200_000_000,
            "linger.ms": 500,
            "queue.buffering.max.kbytes": 400_000,
        }
    )

    def taken() -> bool:
        errors: list[object] = []
        topic = stream.settings.transactions_topic
        for _ in range(records):
            producer.produce(topic, value, key, on_delivery=lambda error, _: errors.append(error))
        assert producer.flush(60) == 0
        return errors == [None] * records

    wait_for(f"{key} to be taken", taken)


def test_a_batch_that_cannot_be_unpacked_stops_the_scorer_and_says_where(stream: Stream) -> None:
    topic = stream.settings.transactions_topic
    stream.send([("good", event(Model.load(SHIPPED_MODEL)))])
    send_large(stream, "bomb", b"0" * 110_000_000, "zstd")
    scorer = stream.start()
    assert scorer.process.wait(60) == 1
    last = scorer.text().splitlines()[-1]
    assert f"{topic}[0]: what begins at offset 1 cannot be read" in last
    assert "SCORER_UNREADABLE=dead-letter" in last
    assert stream.committed() <= 1


@pytest.mark.parametrize("guarantee", ["at-least-once", "exactly-once"])
def test_a_batch_that_cannot_be_unpacked_is_put_aside_and_reading_goes_on_behind_it(
    stream: Stream, guarantee: str
) -> None:
    good = event(Model.load(SHIPPED_MODEL))
    send_large(stream, "four", b"0" * 40_000_000, "zstd", records=4)
    stream.send([(f"a{number}", good) for number in range(3)])
    send_large(stream, "one", b"0" * 110_000_000, "zstd")
    stream.send([(f"b{number}", good) for number in range(3)])
    send_large(stream, "three, with nothing behind", b"0" * 40_000_000, "zstd", records=3)
    scorer = stream.start(
        SCORER_UNREADABLE="dead-letter",
        SCORER_GUARANTEE=guarantee,
        SCORER_SCORES_TOPIC=stream.settings.scores_topic,
    )
    stream.wait_committed(14)
    assert scorer.stop() == 0
    scored = [json.loads(m.value() or b"") for m in stream.read(stream.settings.scores_topic)]
    wanted = [f"{name}{number}" for name in ("a", "b") for number in range(3)]
    assert [score["transaction_id"] for score in scored] == wanted
    headers: list[Any] = [dict(letter.headers() or []) for letter in stream.dead_letters()]
    places = [(h["dlq.source.offset"], h["dlq.source.last_offset"]) for h in headers]
    assert places == [(b"0", b"3"), (b"7", b"7"), (b"11", b"13")]
    assert {(h["dlq.code"], h["dlq.payload"]) for h in headers} == {(b"UNREADABLE", b"omitted")}
    assert all(1_000 < int(h["dlq.payload_bytes"]) < 10_000 for h in headers)


def test_records_that_were_damaged_on_their_way_are_scored_once_by_the_next_start(
    tmp_path: Path,
) -> None:
    ours = {
        "SCORER_UNREADABLE": "dead-letter",
        "SCORER_GUARANTEE": "exactly-once",
        "SCORER_REPLICA": "a",
    }
    with cluster() as kafka, fresh_stream(kafka.proxied, tmp_path, partitions=1, **ours) as stream:
        scores = stream.settings.scores_topic
        value = event(Model.load(SHIPPED_MODEL))
        stream.send((f"t{number}", value) for number in range(30_000))
        kafka.proxy.damage(1)
        scorer = stream.start(SCORER_SCORES_TOPIC=scores)
        assert scorer.process.wait(60) == 1
        assert "a new start asks for it again" in scorer.text().splitlines()[-1]
        scorer = stream.start(SCORER_SCORES_TOPIC=scores, SCORER_REPLICA="a")
        stream.wait_committed(30_000)
        assert scorer.stop() == 0
        scored = [json.loads(m.value() or b"") for m in stream.read(scores)]
        assert [score["source"]["offset"] for score in scored] == list(range(30_000))
        assert stream.dead_letters() == []


def test_topic_of_nothing_but_bad_records_stops_the_scorer_before_it_is_drained(
    stream: Stream,
) -> None:
    stream.send((f"t{i}", b"{") for i in range(5000))
    # No batch has so many: they are counted from one to the next.
    scorer = stream.start(SCORER_DEAD_LETTERS_IN_A_ROW="700", SCORER_MAX_BATCH_ROWS="500")
    assert scorer.process.wait(60) == 3
    assert "SCORER_DEAD_LETTERS_IN_A_ROW allows 700" in scorer.text().splitlines()[-1]
    there = len(stream.dead_letters())
    assert there <= 700
    assert stream.committed() <= there
