"""Dead letters on a real Kafka: listed, shown, and redriven each exactly once, kill -9 or not."""

import json
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from stream_scorer.clients import client_log, producer_config
from stream_scorer.config import Settings
from stream_scorer.dead_letters.marks import Ledger
from stream_scorer.dead_letters.running import make_producer, marks_kept_ms
from stream_scorer.local_kafka import local_kafka
from stream_scorer.records import Headers
from tests.dead_letters import letter_headers
from tests.environ import own_environ
from tests.integration.stream import Stream, fresh_stream, wait_for
from tests.integration.test_commands import command
from tests.records import event, record

pytestmark = pytest.mark.integration

# Records of random bytes: check R43.
RANDOM = 10_000
NO_FUSE = {"SCORER_DEAD_LETTERS_IN_A_ROW": "0", "SCORER_DEAD_LETTERS_RATIO": "1"}

SUMS = re.compile(r"read ([\d,]+) = redriven ([\d,]+) \+ skipped ([\d,]+) \+ parked ([\d,]+)")


@pytest.fixture
def stream(kafka: str, tmp_path: Path) -> Iterator[Stream]:
    with fresh_stream(kafka, tmp_path, partitions=2) as each:
        yield each


def create(stream: Stream, name: str, **config: str) -> str:
    topic = f"{stream.settings.group_id}-{name}"
    admin = AdminClient({"bootstrap.servers": stream.bootstrap})
    for each in admin.create_topics(
        [NewTopic(topic, stream.partitions, 1, config=config)]
    ).values():
        each.result(30)
    return topic


def redrive(stream: Stream, *arguments: str, **environ: str) -> list[int]:
    """Redrive; return what was read, redriven, skipped and parked."""
    done = command("dead-letters", "redrive", *arguments, stream=stream, **environ)
    assert done.returncode == 0, done.stderr
    return sums(done.stdout)


def sums(text: str) -> list[int]:
    found = SUMS.search(text)
    assert found, text
    read, *parts = (int(each.replace(",", "")) for each in found.groups())
    assert read == sum(parts)
    return [read, *parts]


def write_letters(stream: Stream, count: int) -> list[str]:
    """Write dead letters as a scorer does; return their ids."""
    producer = Producer({"bootstrap.servers": stream.bootstrap, "linger.ms": 5})
    topic = stream.settings.transactions_topic
    for offset in range(count):
        bad = record(offset, b"{", topic=topic)
        headers: Any = letter_headers(bad, failed_ms=int(time.time() * 1000))
        producer.produce(stream.settings.dead_letters_topic, b"{", f"k{offset}", headers=headers)
    assert producer.flush(60) == 0
    return [f"{topic}/0/{offset}" for offset in range(count)]


def header(message: Message, name: str) -> str:
    return (dict(message.headers() or [])[name] or b"").decode()  # type: ignore[union-attr]


def ids(messages: Sequence[Message]) -> Counter[str]:
    return Counter(header(message, "dlq.id") for message in messages)


def as_sent(message: Message) -> tuple[object, ...]:
    """Return all that must be as it was."""
    headers: Headers = message.headers() or []  # type: ignore[assignment]
    own = tuple(pair for pair in headers if not pair[0].startswith("dlq."))
    return message.key(), message.value(), own, message.timestamp()


def test_redriven_records_are_byte_for_byte_what_was_sent(stream: Stream) -> None:
    bad = random.Random(7)  # noqa: S311 - no secret
    producer = Producer({"bootstrap.servers": stream.bootstrap})

    def some_bytes() -> bytes | None:
        return bad.choice([None, b"", bad.randbytes(bad.randrange(1, 200))])

    for i in range(RANDOM):
        headers: Any = [
            (bad.choice(["h", "é", "dlq", "x" * 100]), some_bytes())
            for _ in range(bad.randrange(4))
        ]
        forged = [("dlq.attempt", bad.randbytes(3)), ("dlq.id", b"x")] if i % 9 == 0 else []
        producer.produce(
            stream.settings.transactions_topic,
            some_bytes(),
            some_bytes(),
            i % stream.partitions,
            headers=headers + forged,
            timestamp=1_700_000_000_000 + i,
        )
    assert producer.flush(60) == 0
    sent = stream.read(stream.settings.transactions_topic)
    scorer = stream.start(**NO_FUSE)
    stream.wait_committed(RANDOM)
    assert scorer.stop() == 0
    assert stream.written(stream.settings.dead_letters_topic) == RANDOM

    target = create(stream, "again")
    assert redrive(stream, "--dry-run", "--to", target) == [RANDOM, RANDOM, 0, 0]
    assert redrive(stream, "--to", target) == [RANDOM, RANDOM, 0, 0]
    again = stream.read(target)
    assert Counter(map(as_sent, again)) == Counter(map(as_sent, sent))
    assert {header(each, "dlq.attempt") for each in again} == {"2"}
    place = f"{stream.settings.transactions_topic}/"
    assert all(header(m, "dlq.id").startswith(f"{place}{m.partition()}/") for m in again)
    assert redrive(stream, "--to", target) == [0, 0, 0, 0]
    assert stream.written(target) >= RANDOM  # and marks of transactions
    assert len(stream.read(target)) == RANDOM


def test_after_a_fix_what_was_dead_is_scored_and_a_second_run_redrives_nothing(
    stream: Stream, tiny_path: Path
) -> None:
    stream.send((f"t-{i}", event(transaction_id=f"t-{i}")) for i in range(1000))
    stream.send((f"bad-{i}", b"{") for i in range(20))
    scorer = stream.start(**NO_FUSE)  # the shipped model wants V2 to V28 as well
    stream.wait_committed(1020)
    assert scorer.stop() == 0
    listed = command("dead-letters", "list", "--json", "--limit", "3", stream=stream)
    found = json.loads(listed.stdout)
    assert {code: sum(n.values()) for code, n in found["by_code"].items()} == {
        "MISSING": 1000,
        "DECODE": 20,
    }
    assert len(found["listed"]) == 3
    one = command("dead-letters", "show", found["listed"][0]["id"], stream=stream)
    assert (one.returncode, "dlq.payload_sha256" in one.stdout) == (0, True)
    assert "transaction_id" not in one.stdout

    scorer = stream.start(SCORER_MODEL=str(tiny_path))
    scorer.wait_assigned()
    assert redrive(stream, "--code", "MISSING", "--limit", "10")[1] == 10
    assert redrive(stream, "--code", "MISSING")[1] == 990
    assert redrive(stream, "--code", "MISSING") == [0, 0, 0, 0]
    wait_for("scores", lambda: len(stream.scores()) >= 1000)
    assert redrive(stream)[1] == 20, "what the filter left out"
    wait_for("dead letters", lambda: len(stream.dead_letters()) >= 1040)
    assert scorer.stop() == 0
    assert Counter((m.key() or b"").decode() for m in stream.scores()) == Counter(
        f"t-{i}" for i in range(1000)
    )
    attempts = Counter((m.key(), header(m, "dlq.attempt")) for m in stream.dead_letters())
    assert attempts[b"bad-7", "1"] == attempts[b"bad-7", "2"] == 1

    parking = create(stream, "parked")
    stuck = command("dead-letters", "redrive", "--max-attempts", "2", stream=stream)
    assert stuck.returncode == 1
    assert "want --parking-topic TOPIC" in stuck.stderr
    assert redrive(stream, "--max-attempts", "2", SCORER_PARKING_TOPIC=parking) == [20, 0, 0, 20]
    assert {header(m, "dlq.code") for m in stream.read(parking)} == {"DECODE"}
    assert len(stream.read(parking)) == 20
    assert redrive(stream) == [0, 0, 0, 0]


def test_kill_in_the_middle_and_a_second_run_redrive_each_once(stream: Stream) -> None:
    wanted = write_letters(stream, 4000)
    target = create(stream, "again")
    for done in (100, 400):
        own = own_environ()
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "stream_scorer", "dead-letters", "redrive"),
                *("--to", target, "--rate", "150"),
            ],
            env=own
            | {
                "SCORER_KAFKA_BOOTSTRAP_SERVERS": stream.bootstrap,
                "SCORER_DEAD_LETTERS_TOPIC": stream.settings.dead_letters_topic,
                "SCORER_GROUP_ID": stream.settings.group_id,
            },
        )
        wait_for("some redriven", lambda done=done: stream.written(target) > done)  # type: ignore[misc]
        process.kill()
        assert process.wait() == -9
    read, redriven, skipped, parked = redrive(stream, "--to", target)
    assert 0 < redriven < 4000
    assert (read, skipped, parked) == (redriven, 0, 0)
    assert ids(stream.read(target)) == Counter(wanted)
    assert redrive(stream, "--to", target) == [0, 0, 0, 0]


def test_what_a_killed_run_left_open_never_counts(stream: Stream) -> None:
    wanted = write_letters(stream, 100)
    ledger = Ledger(stream.settings, stream.partitions)
    left = make_producer(stream.settings, client_log(producer_config(stream.settings)))
    left.init_transactions(30)
    left.begin_transaction()
    letters = stream.dead_letters()
    headers: Any = letters[0].headers()
    left.produce(stream.settings.transactions_topic, b"{", headers=headers)
    ends = [
        TopicPartition(stream.settings.dead_letters_topic, number, len(letters) // 2)
        for number in range(stream.partitions)
    ]
    left.send_offsets_to_transaction(ends, ledger.membership(), 30)  # and then it is gone
    assert redrive(stream) == [100, 100, 0, 0]
    assert ids(stream.read(stream.settings.transactions_topic)) == Counter(wanted)
    with pytest.raises(KafkaException):
        left.commit_transaction(30)
    ledger.close()


def test_a_record_that_the_target_refuses_ends_in_one_line_and_is_there_for_the_next_run(
    stream: Stream,
) -> None:
    write_letters(stream, 5)
    small = create(stream, "small", **{"max.message.bytes": "100"})
    refused = command("dead-letters", "redrive", "--to", small, stream=stream)
    assert refused.returncode == 1
    assert "does not take" in refused.stderr.splitlines()[-1]
    assert "Traceback" not in refused.stderr
    assert redrive(stream, "--to", create(stream, "large")) == [5, 5, 0, 0]
    assert stream.read(small) == []


def test_marks_are_kept_for_as_long_as_this_kafka_keeps_offsets() -> None:
    with local_kafka(settings={"offsets.retention.minutes": "60"}) as kafka:
        settings = Settings(kafka={"bootstrap.servers": kafka.bootstrap})
        assert marks_kept_ms(settings) == 3_600_000
