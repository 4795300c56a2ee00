"""From the topics to the database and back: nothing lost, nothing doubled, nothing overtaken."""

import json
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from confluent_kafka import KafkaError, Message
from sqlalchemy import Connection, func, select

from stream_scorer.codecs.alerts import to_avro
from stream_scorer.config import Settings
from stream_scorer.console import ingest, keeping, labels, lease, queue, schema
from stream_scorer.console.database import Database
from stream_scorer.console.labels import ConflictError
from stream_scorer.console.outbox import Outbox
from stream_scorer.console.pages.alert_filters import page_of, read, written
from stream_scorer.console.people import Person, Role
from stream_scorer.console.queue import Cursor, Filter, to_ms
from stream_scorer.console.reader import Reader
from stream_scorer.errors import BadInput
from tests.console.conftest import Milliseconds

SETTINGS = Settings()
TAKES = ingest.takers(SETTINGS)
ANA = Person(1, "ana", Role.ANALYST, "", "", "127.0.0.1", 0)
BEN = Person(2, "ben", Role.ANALYST, "", "", "127.0.0.1", 0)


def record(topic: str, offset: int, value: Any, *, at: int = 1000, key: bytes = b"") -> Message:
    text = value if isinstance(value, bytes | None) else json.dumps(value).encode()
    made: Message = Message(
        topic=topic, partition=0, offset=offset, key=key, value=text, timestamp=(1, at)
    )
    return made


def alert(number: int, *, transaction: str | None = None, **other: Any) -> dict[str, Any]:
    return {
        "alert_id": f"a{number}",
        "transaction_id": transaction or f"t{number}",
        "probability": 0.9,
        "model": {"name": "fraud", "version": "1", "sha256": "0" * 64},
        "source": {"topic": "transactions", "partition": 0, "offset": number, "timestamp_ms": 900},
        "reasons": [{"feature": "V14", "value": -8.1, "baseline": 0.1, "effect": 2.1}],
        "features": {"Amount": 9.5},
        **other,
    }


def alerts(*values: dict[str, Any]) -> list[Message]:
    return [record(SETTINGS.alerts_topic, n, value) for n, value in enumerate(values)]


def label(offset: int, transaction: str, value: int | None, **other: Any) -> Message:
    said = {"transaction_id": transaction, "label": value, **other}
    return record(SETTINGS.labels_topic, offset, said, at=2000 + offset)


def store(database: Database, *messages: Message) -> None:
    with database.writing() as connection:
        ingest.store(connection, messages, TAKES)


def states(database: Database) -> dict[str, tuple[str, int]]:
    with database.reading() as connection:
        rows = connection.execute(select(schema.alert).order_by(schema.alert.c.id))
        return {row.alert_id: (row.state, row.version) for row in rows}


def count(database: Database, table: Any) -> int:
    with database.reading() as connection:
        found: int = connection.scalars(select(func.count()).select_from(table)).one()
    return found


def mark(database: Database, by: Person, verdict: str, version: int, alert_id: str = "a1") -> int:
    with database.writing() as connection:
        return labels.mark(
            connection, by, alert_id=alert_id, verdict=verdict, version=version, now=5000
        )


def test_batch_that_comes_again_changes_nothing(database: Database) -> None:
    batch = [*alerts(alert(1), alert(2)), label(0, "t1", 1)]
    for _ in range(3):
        store(database, *batch)
    assert states(database) == {"a1": ("fraud", 1), "a2": ("open", 0)}
    assert count(database, schema.label) == 1
    with database.reading() as connection:
        rows = connection.execute(select(schema.ingest).order_by(schema.ingest.c.topic)).all()
    assert [tuple(row)[:3] for row in rows] == [("fraud-alerts", 0, 2), ("fraud-labels", 0, 1)]


def test_label_that_comes_before_its_alert_is_given_to_it(database: Database) -> None:
    store(database, label(0, "t1", 0))
    store(database, *alerts(alert(1)))
    assert states(database) == {"a1": ("genuine", 1)}


def test_one_label_is_given_to_every_alert_of_its_transaction(database: Database) -> None:
    store(database, *alerts(alert(1, transaction="t"), alert(2, transaction="t")))
    store(database, label(0, "t", 1))
    assert {state for state, _ in states(database).values()} == {"fraud"}


def test_later_label_counts_and_an_older_one_that_comes_late_does_not(database: Database) -> None:
    store(database, *alerts(alert(1)))
    store(database, label(5, "t1", 1), label(3, "t1", 0))
    assert states(database) == {"a1": ("fraud", 1)}
    store(database, label(6, "t1", None))
    assert states(database) == {"a1": ("open", 2)}


@pytest.mark.parametrize(
    "value",
    [
        b"{",
        b"",
        None,
        b"\xff\xfe",
        {"alert_id": "a1"},
        alert(1, probability=2),
        alert(1, alert_id="x" * 101),
        alert(1, transaction_id=""),
        alert(1, transaction_id="a\0b"),
        b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}",
        alert(1, reasons=[{"feature": "V", "value": 1, "baseline": 1, "effect": 1}] * 21),
        alert(1, features={f"V{n}": 1.0 for n in range(2001)}),
        alert(1, alert_id="a\0"),
        alert(1, model={"name": "\0", "version": "1", "sha256": ""}),
        alert(1, reasons=[{"feature": "V\0", "value": 1, "baseline": 1, "effect": 1}]),
        alert(1, source={"topic": "\0", "partition": 0, "offset": 1, "timestamp_ms": 1}),
        alert(1, source={"topic": "t", "partition": 2**31, "offset": 1, "timestamp_ms": 1}),
    ],
)
def test_record_that_is_no_alert_is_noted_and_stops_nothing(database: Database, value: Any) -> None:
    wrong = record(SETTINGS.alerts_topic, 0, value)
    good = record(SETTINGS.alerts_topic, 1, alert(2))
    store(database, wrong, good)
    store(database, wrong)
    assert list(states(database)) == ["a2"]
    assert count(database, schema.ingest_error) == 1


@pytest.mark.parametrize(
    "said",
    [
        {"transaction_id": "t\0"},
        {"actor": "\0"},
        {"label_id": "\0"},
        {"label": 2},
        {"label_id": "x" * 37},
    ],
)
def test_label_that_is_none_is_noted_and_stops_nothing(
    database: Database, said: dict[str, Any]
) -> None:
    wrong = record(SETTINGS.labels_topic, 0, {"transaction_id": "t1", "label": 1, **said})
    store(database, *alerts(alert(1)), wrong)
    assert states(database) == {"a1": ("open", 0)}
    assert count(database, schema.ingest_error) == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"all\0", {"window": "all", "start_ms": 0}),
        (b"all", {"window": "\0", "start_ms": 0}),
        (b"all", {"window": "all", "start_ms": 2**63}),
        (b"\xff", {"window": "all", "start_ms": 0}),
        (b"", {"window": "all", "start_ms": 0}),
    ],
)
def test_figures_that_are_none_are_noted_and_stop_nothing(
    database: Database, key: bytes, value: dict[str, Any]
) -> None:
    store(database, record(SETTINGS.quality_topic, 0, value, key=key))
    assert (count(database, schema.quality), count(database, schema.ingest_error)) == (0, 1)


class OneBatch:
    """A consumer that gives one batch, and then nothing."""

    def __init__(self, *batch: Message) -> None:
        self.left = list(batch)

    def poll(self, _: float) -> Message | None:
        return self.left.pop(0) if self.left else None

    def consume(self, *_: object) -> list[Message]:
        taken, self.left = self.left, []
        return taken

    def list_topics(self, **_: float) -> Any:
        return SimpleNamespace(topics={})


def test_record_that_the_database_refuses_is_passed_over_and_the_others_are_stored(
    database: Database,
) -> None:
    def too_much(connection: Connection, message: Message) -> None:
        """Do what a taker would that looks less closely."""
        if message.offset() == 1:
            row = {"topic": "x", "partition": 0, "next_offset": 2**70}
            connection.execute(schema.ingest.insert().values(row))
        TAKES[SETTINGS.alerts_topic](connection, message)

    consumer: Any = OneBatch(*alerts(alert(0), alert(1), alert(2)))
    takes: dict[str, ingest.Take] = {SETTINGS.alerts_topic: too_much}
    reader = Reader(consumer, database, takes, lambda _: {}, lambda: 0.0)
    assert reader.turn() == 3
    assert list(states(database)) == ["a0", "a2"]
    with database.reading() as connection:
        (problem,) = connection.scalars(select(schema.ingest_error.c.problem))
        assert connection.scalars(select(schema.ingest.c.next_offset)).one() == 3
    assert problem.startswith("the database refuses it: ")


def test_transaction_from_the_far_future_is_listed_by_its_alerts_time(database: Database) -> None:
    source = {"topic": "t", "partition": 0, "offset": 1, "timestamp_ms": 2**62}
    store(database, record(SETTINGS.alerts_topic, 0, alert(1, source=source), at=5000))
    with database.reading() as connection:
        (row,) = queue.page(connection, Filter()).rows
    assert (row.timestamp_ms, row.alerted_at) == (5000, 5000)


def test_repeated_alert_uses_up_no_id(database: Database) -> None:
    for _ in range(5):
        store(database, *alerts(alert(1)))
    store(database, record(SETTINGS.alerts_topic, 9, alert(2)))
    with database.reading() as connection:
        assert queue.newest(connection) == 2


def test_own_label_that_comes_back_by_the_topic_changes_nothing(
    database: Database, clock: Milliseconds
) -> None:
    store(database, *alerts(alert(1)))
    mark(database, ANA, "fraud", 0)
    producer = ListProducer()
    assert outbox(database, producer, clock).round() == 1
    ((topic, key, value),) = producer.taken
    assert (topic, key) == ("fraud-labels", b"t1")
    store(database, record(topic, 0, value, at=6000))
    assert states(database) == {"a1": ("fraud", 1)}
    assert count(database, schema.label) == 1


class ListProducer:
    """Takes labels, or refuses those of some keys."""

    def __init__(self, *, refuses: set[bytes] | None = None) -> None:
        self.refuses = refuses or set()
        self.taken: list[tuple[str, bytes, bytes]] = []

    def produce(
        self,
        topic: str,
        value: bytes,
        key: bytes,
        *,
        on_delivery: Callable[[KafkaError | None, Message], None],
    ) -> None:
        if key in self.refuses:
            on_delivery(KafkaError(KafkaError._MSG_TIMED_OUT), Message())
        else:
            self.taken.append((topic, key, value))
            on_delivery(None, Message())

    def flush(self, timeout: float) -> int:
        return 0

    def purge(self) -> None:
        raise AssertionError("nothing is left to purge")


def outbox(
    database: Database, producer: ListProducer, clock: Milliseconds, name: str = "one"
) -> Outbox:
    return Outbox(database, producer, "fraud-labels", holder=name, clock=clock)


def verdicts(producer: ListProducer) -> list[str]:
    return [json.loads(value)["verdict"] for _, _, value in producer.taken]


def test_labels_wait_while_kafka_is_away_and_keep_their_order(
    database: Database, clock: Milliseconds
) -> None:
    store(database, *alerts(alert(1), alert(2)))
    for version, verdict in enumerate(["fraud", "genuine", "withdrawn"]):
        mark(database, ANA, verdict, version)
    mark(database, ANA, "unsure", 0, "a2")
    producer = ListProducer(refuses={b"t1"})
    sender = outbox(database, producer, clock)
    assert [sender.round() for _ in range(3)] == [1, 0, 0]
    assert verdicts(producer) == ["unsure"]
    assert sender.waiting() == 3
    producer.refuses.clear()
    while sender.round():
        pass
    assert verdicts(producer) == ["unsure", "fraud", "genuine", "withdrawn"]
    assert sender.waiting() == 0


def test_of_two_consoles_one_sends_until_it_has_gone(
    database: Database, clock: Milliseconds
) -> None:
    store(database, *alerts(alert(1)))
    one, two = ListProducer(), ListProducer()
    first, second = outbox(database, one, clock, "one"), outbox(database, two, clock, "two")
    assert first.round() == 0
    mark(database, ANA, "fraud", 0)
    assert second.round() == 0
    clock.now += lease.LEASE_MS
    assert second.round() == 1
    assert (one.taken, verdicts(two)) == ([], ["fraud"])


def test_faster_colleague_is_named_and_nothing_is_overwritten(database: Database) -> None:
    store(database, *alerts(alert(1)))
    mark(database, ANA, "genuine", 0)
    with pytest.raises(ConflictError, match=r"^ana labelled this genuine 0 s ago"):
        mark(database, BEN, "fraud", 0)
    assert states(database) == {"a1": ("genuine", 1)}
    mark(database, BEN, "fraud", 1)
    assert states(database) == {"a1": ("fraud", 2)}


def test_several_are_labelled_but_for_those_that_somebody_was_faster_with(
    database: Database,
) -> None:
    store(database, *alerts(*(alert(n) for n in range(4))))
    mark(database, BEN, "genuine", 0, "a2")
    with database.reading() as connection:
        looked_at = dict(queue.matching(connection, Filter()))
    assert looked_at == {"a0": 0, "a1": 0, "a3": 0}
    mark(database, BEN, "genuine", 0, "a1")
    with database.writing() as connection:
        chosen = [*looked_at.items(), ("gone", 0)]
        done = labels.mark_several(connection, ANA, alerts=chosen, verdict="fraud", now=6000)
    assert done == 2
    assert {key: state for key, (state, _) in states(database).items()} == {
        "a0": "fraud",
        "a1": "genuine",
        "a2": "genuine",
        "a3": "fraud",
    }
    assert count(database, schema.outbox) == 4


def test_several_are_not_labelled_by_who_may_not_nor_with_what_is_no_verdict(
    database: Database,
) -> None:
    store(database, *alerts(alert(1)))
    viewer = replace(ANA, role=Role.VIEWER)
    for by, verdict in ((viewer, "fraud"), (ANA, "guilty")):
        with database.writing() as connection, pytest.raises(BadInput, match=r"analyst|guilty"):
            labels.mark_several(connection, by, alerts=[("a1", 0)], verdict=verdict, now=6000)
    assert states(database) == {"a1": ("open", 0)}


def test_filter_is_of_numbers_that_there_are() -> None:
    for wrong in (
        {"partition": 2**31},
        {"least_risk": float("nan")},
        {"least_amount": float("inf")},
    ):
        with pytest.raises(BadInput):
            Filter(**wrong)
    assert read({"partition": "99999999999", "state": "fraud"}, "ana") == Filter()
    for odd in ("noon", "2026-13-01", "99999-01-01T00:00"):
        assert read({"since": odd, "state": "fraud"}, "ana") == Filter()


def test_alerts_are_those_of_a_span_of_time(database: Database) -> None:
    day_ms = 86_400_000
    for number in range(3):
        source = {"topic": "t", "partition": 0, "offset": number, "timestamp_ms": number * day_ms}
        store(database, record(SETTINGS.alerts_topic, number, alert(number, source=source)))
    span = Filter(since="1970-01-02T00:00", until="1970-01-03T00:00")
    with database.reading() as connection:
        assert [row.alert_id for row in queue.page(connection, span).rows] == ["a1"]


def test_moment_that_names_its_zone_is_taken_at_its_word() -> None:
    assert to_ms("2026-02-01T00:00+02:00") == to_ms("2026-01-31T22:00")


@pytest.mark.parametrize("odd", ["", "x", "nan_1", "inf_1", "1", "1_", "1_-1", f"1_{2**63}", "1_x"])
def test_page_that_an_address_does_not_name_is_the_first(odd: str) -> None:
    assert page_of({"after": odd}) == []


def test_undo_says_again_what_was_said_before(database: Database) -> None:
    store(database, *alerts(alert(1)))

    def undo(version: int) -> int:
        with database.writing() as connection:
            return labels.undo(connection, ANA, alert_id="a1", version=version, now=6000)

    with pytest.raises(BadInput, match="nothing to undo"):
        undo(0)
    mark(database, ANA, "fraud", 0)
    mark(database, ANA, "genuine", 1)
    assert undo(2) == 3
    assert states(database) == {"a1": ("fraud", 3)}
    with database.reading() as connection:
        said = [each.verdict for each in labels.history(connection, "a1")]
    assert said == ["fraud", "genuine", "fraud"], "nothing is deleted"


def test_viewer_labels_nothing(database: Database) -> None:
    store(database, *alerts(alert(1)))
    viewer = Person(3, "eve", Role.VIEWER, "", "", "", 0)
    with pytest.raises(BadInput, match="only an analyst"):
        mark(database, viewer, "fraud", 0)
    assert states(database) == {"a1": ("open", 0)}


def test_label_and_its_audit_line_and_its_message_are_one_transaction(database: Database) -> None:
    store(database, *alerts(alert(1)))

    def fail() -> None:
        with database.writing() as connection:
            labels.mark(connection, ANA, alert_id="a1", verdict="fraud", version=0, now=1)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert states(database) == {"a1": ("open", 0)}
    assert [count(database, t) for t in (schema.label, schema.outbox, schema.audit)] == [0, 0, 0]


def test_newest_figures_of_a_window_replace_the_older(database: Database) -> None:
    topic, key = SETTINGS.quality_topic, b"day/0/x"
    for offset, precision in enumerate([0.5, 0.75]):
        body = {"window": "day", "start_ms": 0, "precision": precision}
        store(database, record(topic, offset, body, key=key))
    with database.reading() as connection:
        (row,) = connection.execute(select(schema.quality)).all()
    assert json.loads(row.body)["precision"] == 0.75
    store(database, record(topic, 2, None, key=key))
    assert count(database, schema.quality) == 0


def test_old_open_alerts_go_and_labelled_ones_stay(database: Database) -> None:
    store(database, *alerts(alert(1), alert(2)))
    mark(database, ANA, "fraud", 0)
    day = keeping.DAY_MS
    with database.writing() as connection:
        assert not keeping.tidy(connection, now=90 * day, days=90)
    assert set(states(database)) == {"a1", "a2"}
    with database.writing() as connection:
        keeping.tidy(connection, now=90 * day + 901, days=90)
    assert set(states(database)) == {"a1"}


def test_what_is_read_anew_is_as_it_was(database: Database) -> None:
    batch = [*alerts(alert(1), alert(2), alert(3)), label(0, "t3", 0)]
    store(database, *batch)
    mark(database, ANA, "fraud", 0)
    before = {alert_id: state for alert_id, (state, _) in states(database).items()}
    with database.writing() as connection:
        keeping.forget_topics(connection, now=1)
    assert states(database) == {}
    store(database, *batch)
    assert {alert_id: state for alert_id, (state, _) in states(database).items()} == before
    assert count(database, schema.label) == 2, "nothing is said twice"


def test_nothing_is_forgotten_while_a_console_works(
    database: Database, clock: Milliseconds
) -> None:
    store(database, *alerts(alert(1)))
    outbox(database, ListProducer(), clock).round()
    with (
        pytest.raises(BadInput, match="the console one works on this database"),
        database.writing() as connection,
    ):
        keeping.forget_topics(connection, clock.now)
    assert set(states(database)) == {"a1"}


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(),
        Filter(state="all", order="amount", text="t 1&x=1"),
        Filter(least_risk=0.5, least_amount=10.0, partition=3, model_version="1.2", mine="ana"),
        Filter(since="2026-01-31T12:00", until="2026-02-01T00:00+02:00"),
    ],
)
def test_filter_comes_back_from_its_address(wanted: Filter) -> None:
    after = Cursor(0.1 + 0.2, 7)
    query = dict(parse_qsl(urlsplit(written(wanted, opened="a1", after=after)).query))
    assert page_of(query) == [after]
    assert query.pop("open") == "a1"
    assert read(query, "ana") == wanted


@pytest.mark.parametrize(
    "query", [{"state": "x"}, {"order": "DROP"}, {"least_risk": "x", "partition": "1e9"}]
)
def test_address_that_asks_for_what_there_is_not_shows_the_open_alerts(
    query: dict[str, str],
) -> None:
    assert read(query, "ana") == Filter()


def test_alert_in_avro_is_stored_as_the_same_alert(database: Database) -> None:
    said = alert(
        1,
        schema_version=1,
        decision="alert",
        logit=3.0,
        threshold=0.8,
        reasons=[{"feature": "V1", "value": 1.0, "baseline": 0.0, "effect": 2.0, "text": ""}],
    )
    value = to_avro(json.dumps(said).encode(), schema_id=3)
    store(database, record(SETTINGS.alerts_topic, 0, value))
    with database.reading() as connection:
        found = queue.detail(connection, "a1", by=ANA, now=0)
    assert found is not None
    assert found.body == said
