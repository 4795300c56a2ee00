"""`stream-scorer verify` on a real Kafka: alerts that hold, and all that can speak against one."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from producer.generate import csv_lines
from stream_scorer.places import PlaceReader
from stream_scorer.records import Place
from tests.integration.stream import Stream, fresh_stream, wait_for
from tests.integration.test_commands import command

pytestmark = pytest.mark.integration

ROWS = 2000


@pytest.fixture
def stream(kafka: str, tmp_path: Path) -> Iterator[Stream]:
    with fresh_stream(kafka, tmp_path, partitions=2) as each:
        yield each


def fill(stream: Stream, tmp_path: Path) -> list[dict[str, Any]]:
    """Score a file through the stream; return the alerts."""
    table = tmp_path / "some.csv"
    table.write_text("\n".join(csv_lines(ROWS, seed=5, fraud_rate=0.05)))
    scorer = stream.start()
    assert command("replay", str(table), "--json", stream=stream).returncode == 0
    stream.wait_committed(ROWS)
    assert scorer.stop() == 0
    return [json.loads(message.value() or b"") for message in stream.alerts()]


def write_alerts(stream: Stream, *values: bytes) -> None:
    client = Producer({"bootstrap.servers": stream.bootstrap})
    for value in values:
        client.produce(stream.settings.alerts_topic, value)
    assert client.flush(30) == 0


def test_alerts_hold_until_one_is_changed_broken_or_its_source_is_gone(
    stream: Stream, tmp_path: Path
) -> None:
    empty = command("verify", stream=stream)
    assert (empty.returncode, len(empty.stderr.splitlines())) == (1, 1)
    assert "holds no alerts: nothing was verified" in empty.stderr

    alerts = fill(stream, tmp_path)
    assert len(alerts) > 20
    good = command("verify", stream=stream)
    assert good.returncode == 0, good.stdout + good.stderr
    assert f"{len(alerts)} alerts verified: {len(alerts)} identical" in good.stdout
    for chosen, count in ((("--last", "5"), 5), (("--sample", "7"), 7)):
        some = command("verify", "--json", *chosen, stream=stream)
        assert some.returncode == 0
        assert len(some.stdout.splitlines()) == count
    one = command("verify", "--json", "--id", alerts[3]["alert_id"], stream=stream)
    assert json.loads(one.stdout)["transaction_id"] == alerts[3]["transaction_id"]
    none = command("verify", "--id", "nobody's", stream=stream)
    assert (none.returncode, "holds no alert" in none.stderr) == (1, True)

    changed = alerts[0] | {"probability": 0.5, "transaction_id": "\x1b[31m[/x]"}
    write_alerts(stream, json.dumps(changed, separators=(",", ":")).encode(), b"{broken")
    bad = command("verify", stream=stream, COLUMNS="200")
    assert bad.returncode == 1
    assert f"{len(alerts)} identical, 1 different, 1 no alert" in bad.stdout
    assert "probability: 0.5 published" in bad.stdout
    assert "\x1b" not in bad.stdout
    assert f"{stream.settings.alerts_topic}/" in bad.stdout

    admin = AdminClient({"bootstrap.servers": stream.bootstrap})
    topic = stream.settings.transactions_topic
    half = TopicPartition(topic, 0, ROWS // 4)
    for each in admin.delete_records([half]).values():
        each.result(30)
    gone = sum(
        a["source"]["partition"] == 0 and a["source"]["offset"] < half.offset for a in alerts
    )
    assert gone
    done = command("verify", "--json", stream=stream)
    verdicts = Counter(json.loads(line)["verdict"] for line in done.stdout.splitlines())
    assert verdicts["source gone"] - gone in {0, 1}, "the changed alert's source may be among them"
    assert verdicts["identical"] == len(alerts) - gone
    assert done.returncode == 1

    admin.delete_topics([topic])[topic].result(30)
    wait_for("the topic's end", lambda: topic not in admin.list_topics(timeout=10).topics)
    away = command("verify", "--json", stream=stream)
    details = Counter(json.loads(line)["detail"] for line in away.stdout.splitlines())
    assert details["the topic is not there"] == len(alerts) + 1


def test_alert_of_a_model_that_is_not_given_is_unknown_until_it_is(
    stream: Stream, tiny_path: Path
) -> None:
    stream.environ = {"SCORER_MODEL": str(tiny_path)}
    event = {"Time": 1.0, "V1": 3.0, "Amount": 20.0}
    stream.send((f"t{i}", json.dumps(event).encode()) for i in range(5))
    scorer = stream.start()
    stream.wait_committed(5)
    assert scorer.stop() == 0
    unknown = command("verify", stream=stream, COLUMNS="200")
    assert unknown.returncode == 3
    assert "5 alerts verified: 5 model unknown" in unknown.stdout
    assert "no such model was given" in unknown.stdout
    known = command("verify", "--model", str(tiny_path.parent), stream=stream)
    assert known.returncode == 0
    assert "5 identical" in known.stdout


@pytest.mark.parametrize("read_on", [0, 3, 10_000])
def test_every_place_gets_its_record_or_why_there_is_none(stream: Stream, read_on: int) -> None:
    topic = stream.settings.transactions_topic
    client = Producer(
        {"bootstrap.servers": stream.bootstrap, "transactional.id": topic, "log_level": 0}
    )
    client.init_transactions(30)
    for turn in range(6):  # each: 10 records and the mark of their end
        client.begin_transaction()
        for i in range(10):
            client.produce(topic, f"{turn}/{i}".encode(), partition=1)
        assert client.flush(30) == 0
        if turn % 2:
            client.abort_transaction(30)
        else:
            client.commit_transaction(30)
    admin = AdminClient({"bootstrap.servers": stream.bootstrap})
    admin.delete_records([TopicPartition(topic, 1, 5)])[TopicPartition(topic, 1)].result(30)

    wanted = [("no-topic", 0, 1), (topic, 7, 0), (topic, 0, 0), *((topic, 1, i) for i in range(70))]
    reader = PlaceReader(stream.settings, read_on=read_on)
    found: dict[Place, Message | str] = dict(reader.fetch(wanted[::-1] + wanted))
    reader.close()
    assert found.keys() == set(wanted)
    assert found["no-topic", 0, 1] == "the topic is not there"
    assert found[topic, 7, 0] == "the topic has no such partition"
    assert "ends at 0" in str(found[topic, 0, 0])
    for i in range(70):
        turn, place = divmod(i, 11)
        record = found[topic, 1, i]
        if i < 5:
            assert record == "deleted: the partition begins at 5 by now"
        elif i >= 66:
            assert "the partition ends at 66" in str(record)
        elif turn % 2 or place == 10:
            assert "no record is there" in str(record)
        else:
            assert isinstance(record, Message)
            assert record.value() == f"{turn}/{place}".encode()
