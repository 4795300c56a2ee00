"""`stream-scorer replay` as a process of its own against a real Kafka."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

pytestmark = pytest.mark.integration

PARTITIONS = 3
START_AT, START_AT_MS = "2026-01-01T00:00:00Z", 1_767_225_600_000


@dataclass(frozen=True, slots=True)
class Topics:
    """Two fresh topics and what reads them."""

    bootstrap: str
    events: str
    labels: str

    def command(self, *arguments: str) -> list[str]:
        topics = ["--transactions-topic", self.events, "--labels-topic", self.labels]
        return [sys.executable, "-m", "producer", *arguments, *topics]

    def environ(self) -> dict[str, str]:
        return {**os.environ, "SCORER_KAFKA_BOOTSTRAP_SERVERS": self.bootstrap}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        command, environ = self.command(*arguments), self.environ()
        return subprocess.Popen(command, env=environ, stdout=pipe, stderr=pipe, text=True)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def read(self, topic: str) -> list[Message]:
        """Return all records, partition by partition."""
        settings = {"bootstrap.servers": self.bootstrap, "group.id": "reader"}
        consumer = Consumer({**settings, "enable.partition.eof": True})
        consumer.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
        messages, ended = [], 0
        while ended < PARTITIONS:
            for message in consumer.consume(1000, 0.1) or consumer.consume(1, 30):
                error = message.error()
                if error is None:
                    messages.append(message)
                else:
                    assert error.code() == KafkaError._PARTITION_EOF
                    ended += 1
        consumer.close()
        return sorted(messages, key=lambda each: (each.partition(), each.offset()))


@pytest.fixture
def topics(kafka: str) -> Topics:
    name = uuid.uuid4().hex[:8]
    made = Topics(kafka, f"{name}-in", f"{name}-labels")
    admin = AdminClient({"bootstrap.servers": kafka})
    wanted = [NewTopic(each, PARTITIONS, 1) for each in (made.events, made.labels)]
    for future in admin.create_topics(wanted).values():
        future.result()
    return made


def write_rows(path: Path, rows: int, *, malformed: Sequence[int] = ()) -> Path:
    """Write a CSV file; row i has Time i / 10, card i % 20, and is fraud if i % 10 is 0."""
    lines = [
        "broken" if i in malformed else f"{i / 10},{i}.5,{i % 20},{int(i % 10 == 0)}"
        for i in range(1, rows + 1)
    ]
    path.write_text("\n".join(["Time,V1,card,Class", *lines, ""]), encoding="utf-8")
    return path


def event(message: Message) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(message.value() or b"")
    return decoded


def numbers(messages: Sequence[Message]) -> list[int]:
    """Return which rows of `write_rows` the events are."""
    return [int(event(message)["V1"]) for message in messages]


def ids(messages: Sequence[Message]) -> list[str]:
    return [event(message)["transaction_id"] for message in messages]


def test_every_row_is_there_once_in_order_per_key_with_its_time(
    topics: Topics, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "cards.csv", 2000)
    done = topics.run(str(path), "--key", "card", "--start-at", START_AT, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    summary = msgspec.json.decode(done.stdout)
    assert (summary["rows"], summary["confirmed"], summary["failed"]) == (2000, 2000, 0)
    messages = topics.read(topics.events)
    assert sorted(numbers(messages)) == list(range(1, 2001))
    by_key = sorted(messages, key=lambda message: message.key() or b"")
    for key, group in groupby(by_key, key=lambda message: message.key()):
        rows = numbers(list(group))
        assert rows == sorted(rows)
        assert {str(row % 20).encode() for row in rows} == {key}
    for message in messages:
        assert message.timestamp()[1] == START_AT_MS + round(event(message)["Time"] * 1000)
        assert set(event(message)) == {"Time", "V1", "card", "transaction_id"}
    assert topics.read(topics.labels) == []


def test_labels_follow_their_events_after_the_delay(topics: Topics, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "cards.csv", 300)
    begin = time.monotonic()
    done = topics.run(str(path), "--labels", "--label-delay", "2")
    assert time.monotonic() - begin >= 2
    assert done.returncode == 0
    assert "300 labels follow as they fall due" in done.stderr
    assert "300 labels confirmed" in done.stdout
    events = {event(message)["transaction_id"]: message for message in topics.read(topics.events)}
    labels = topics.read(topics.labels)
    assert sorted(event(message)["transaction_id"] for message in labels) == sorted(events)
    for message in labels:
        label = event(message)
        of = events[label["transaction_id"]]
        assert message.key() == of.key() == label["transaction_id"].encode()
        assert message.timestamp()[1] - of.timestamp()[1] == pytest.approx(2000, abs=1)
        assert label["label"] == int(int(event(of)["V1"]) % 10 == 0)
        assert (label["schema_version"], label["source"]) == (1, "replay")


def test_a_rate_is_kept(topics: Topics) -> None:
    done = topics.run("--generate", "1500", "--rate", "1000", "--json")
    summary = msgspec.json.decode(done.stdout)
    assert summary["confirmed"] == 1500
    assert summary["seconds"] == pytest.approx(1.5, abs=0.3)
    stamps = sorted(message.timestamp()[1] for message in topics.read(topics.events))
    assert stamps[-1] - stamps[0] == pytest.approx(1499, abs=2)


def test_a_malformed_row_stops_the_replay_and_is_named(topics: Topics, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "cards.csv", 100, malformed=[41])
    done = topics.run(str(path))
    assert done.returncode == 1
    first, last = done.stderr.splitlines()
    assert "line 42: 1 fields, want 4" in first
    assert "--on-malformed skip" in last
    assert sorted(numbers(topics.read(topics.events))) == list(range(1, 41))


def test_malformed_rows_are_skipped_if_told_and_the_ids_stay(
    topics: Topics, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "cards.csv", 100, malformed=[41, 60])
    done = topics.run(str(path), "--on-malformed", "skip")
    assert done.returncode == 0
    assert [line.split(":")[1] for line in done.stderr.splitlines()] == [" line 42", " line 61"]
    messages = topics.read(topics.events)
    assert sorted(numbers(messages)) == [i for i in range(1, 101) if i not in {41, 60}]
    assert ids(messages) == [f"cards-{number:09d}" for number in numbers(messages)]


def test_after_kill_9_nothing_is_lost_and_nothing_repeated(topics: Topics, tmp_path: Path) -> None:
    path, state = write_rows(tmp_path / "cards.csv", 8000), tmp_path / "resume.json"
    arguments = (str(path), "--key", "card", "--labels", "--resume", str(state))
    for wait_s in (0.3, 1.2, 0.7):
        process = topics.start(*arguments, "--rate", "2000")
        begun = len(topics.read(topics.events))
        while len(topics.read(topics.events)) == begun:
            assert process.poll() is None, process.communicate()
        time.sleep(wait_s)
        process.kill()
        process.communicate()
    done = topics.run(*arguments)
    assert done.returncode == 0, done.stderr
    messages = topics.read(topics.events)
    assert sorted(numbers(messages)) == list(range(1, 8001))
    by_key = sorted(messages, key=lambda message: message.key() or b"")
    for _, group in groupby(by_key, key=lambda message: message.key()):
        rows = numbers(list(group))
        assert rows == sorted(rows)
    assert sorted(ids(topics.read(topics.labels))) == sorted(ids(messages))
    again = topics.run(*arguments)
    assert (again.returncode, "has finished" in again.stdout) == (0, True)
    assert len(topics.read(topics.events)) == 8000


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_obeyed_and_the_next_run_goes_on(
    topics: Topics, tmp_path: Path, number: signal.Signals
) -> None:
    path, state = write_rows(tmp_path / "cards.csv", 3000), tmp_path / "resume.json"
    arguments = (str(path), "--resume", str(state))
    process = topics.start(*arguments, "--rate", "500")
    while not topics.read(topics.events):
        assert process.poll() is None, process.communicate()
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert f"stopped by {number.name}; run the same command again to go on" in err
    assert len(topics.read(topics.events)) < 3000
    assert topics.run(*arguments).returncode == 0
    assert sorted(numbers(topics.read(topics.events))) == list(range(1, 3001))


def test_a_resume_file_of_another_replay_is_refused(topics: Topics, tmp_path: Path) -> None:
    state = str(tmp_path / "resume.json")
    one, other = (write_rows(tmp_path / f"{name}.csv", 10) for name in ("one", "other"))
    assert topics.run(str(one), "--resume", state).returncode == 0
    done = topics.run(str(other), "--resume", state)
    assert done.returncode == 1
    assert "belongs to another replay: its input is 'one.csv'" in done.stderr
    assert len(topics.read(topics.events)) == 10


def test_a_timestamp_too_far_ahead_is_explained(topics: Topics, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "cards.csv", 10)
    done = topics.run(str(path), "--start-at", "2096-01-01T00:00:00Z")
    assert done.returncode == 1
    assert "message.timestamp.after.max.ms" in done.stderr
    assert topics.read(topics.events) == []


@pytest.mark.parametrize(
    ("flags", "want"),
    [
        (["--kafka", "bootstrap.servers=127.0.0.1:1"], "does not answer"),
        (["--labels"], "does not exist"),
    ],
)
def test_no_broker_and_no_topic_are_one_line_within_15_s(
    topics: Topics, tmp_path: Path, flags: list[str], want: str
) -> None:
    lacking = Topics(topics.bootstrap, topics.events, "no-such-topic")
    path = write_rows(tmp_path / "cards.csv", 10)
    begin = time.monotonic()
    done = lacking.run(str(path), *flags)
    assert time.monotonic() - begin < 15
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("stream-scorer: ")
    assert want in line
