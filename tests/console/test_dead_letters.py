"""Dead letters in the console: shown safely, fed in again once, by one, and only as confirmed."""

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from stream_scorer.config import Settings
from stream_scorer.console import graveyard, lease, schema
from stream_scorer.console.database import Database
from stream_scorer.console.graveyard import GONE, Body
from stream_scorer.console.people import Person, Role
from stream_scorer.console.redrives import Plan, Redrives, in_words
from stream_scorer.dead_letters.choosing import Choice
from stream_scorer.dead_letters.redriving import Redriver, Route
from stream_scorer.dead_letters.running import Order
from stream_scorer.dead_letters.walk import Batch, Fate, Task
from stream_scorer.errors import BadInput, DeliveryError
from stream_scorer.records import Place
from tests.console.conftest import Milliseconds
from tests.console.test_flow import store
from tests.dead_letters import DLQ, Topic, Transaction, letter_headers
from tests.records import record

OLGA = Person(1, "olga", Role.OPERATOR, "", "", "127.0.0.1", 0)
SETTINGS = Settings(dead_letters_topic="transactions-dlq")


def letter(offset: int, code: str = "DECODE", *, value: bytes = b"{", key: bytes = b"k") -> Message:
    bad = record(offset, value, key=key, headers=[("a", b"1"), ("a", b"2")])
    headers = letter_headers(bad, code)
    return record(offset, value, topic=SETTINGS.dead_letters_topic, key=key, headers=headers)


@dataclass
class Held:
    """Gives records by their place."""

    records: dict[Place, Message | str] = field(default_factory=dict)

    def fetch(self, places: Collection[Place]) -> Iterator[tuple[Place, Message | str]]:
        for place in places:
            yield place, self.records.get(place, "deleted: the partition begins at 9 by now")


def test_counts_are_by_code_and_pages_go_on_where_the_last_one_ended(database: Database) -> None:
    total = graveyard.ROWS * 2 + 5
    store(database, *(letter(n, "MISSING" if n % 3 else "DECODE") for n in range(total)))
    with database.reading() as connection:
        assert graveyard.counts(connection) == {"MISSING": 70, "DECODE": 35}
        seen: list[int] = []
        after = None
        while True:
            page = graveyard.page(connection, "", after=after)
            seen += [row.offset for row in page.rows]
            after = page.after
            if after is None:
                break
        assert seen == list(reversed(range(total)))
        only = graveyard.page(connection, "DECODE")
        assert {row.code for row in only.rows} == {"DECODE"}
        assert (len(only.rows), only.after) == (35, None)
        assert graveyard.page(connection, "NONE").rows == []


@pytest.mark.parametrize("forged", [{"source.topic": "a\0"}, {"source.partition": str(2**31)}])
def test_dead_letter_from_no_place_in_kafka_is_noted_and_stops_nothing(
    database: Database, forged: dict[str, str]
) -> None:
    said = {
        name.removeprefix("dlq."): (text or b"").decode()
        for name, text in letter_headers(record(7, b"{"))
    }
    said |= forged
    said["id"] = f"{said['source.topic']}/{said['source.partition']}/{said['source.offset']}"
    headers = [(f"dlq.{name}", text.encode()) for name, text in said.items()]
    store(database, record(7, b"{", topic=SETTINGS.dead_letters_topic, headers=headers))
    with database.reading() as connection:
        assert graveyard.page(connection, "").rows == []
        assert len(connection.execute(select(schema.ingest_error)).all()) == 1


def test_one_is_fetched_with_all_its_headers_in_order(database: Database) -> None:
    message = letter(7, value=b'{"Amount": 1}')
    store(database, message)
    with database.reading() as connection:
        row = graveyard.one(connection, 1)
        assert graveyard.one(connection, 2) is None
    assert row is not None
    found = graveyard.body(Held({row.place: message}), row)
    assert isinstance(found, Body)
    assert found.headers[:2] == [("a", b"1"), ("a", b"2")]
    assert (found.key, found.value) == (b"k", b'{"Amount": 1}')


def test_one_that_is_gone_is_said_to_be_gone(database: Database) -> None:
    store(database, letter(7))
    with database.reading() as connection:
        row = graveyard.one(connection, 1)
    assert row is not None
    assert graveyard.body(Held(), row) == f"{GONE}: deleted: the partition begins at 9 by now."
    another = Held({row.place: letter(8)})
    assert graveyard.body(another, row) == f"{GONE}: another record has its place."


@pytest.mark.parametrize(
    ("content", "most", "what", "text"),
    [
        (None, 10, "null", ""),
        (b"", 10, "text, 0 bytes", ""),
        (b"<b>\n\x1b[2J", 99, "text, 8 bytes", "<b>\n\\x1b[2J"),
        ("a\u202eb".encode(), 99, "text, 5 bytes", "a\\u202eb"),
        (b"\xff\x00", 99, "hexadecimal, 2 bytes", "ff 00"),
        (b"abc", 2, "text, the first 2 of 3 bytes", "ab"),
        ("a\u20ac".encode(), 3, "text, the first 3 of 4 bytes", "a"),
        ("a\u20ac".encode()[:3], 99, "hexadecimal, 3 bytes", "61 e2 82"),
    ],
)
def test_bytes_are_shown_as_text_if_they_are_and_else_as_hexadecimal(
    content: bytes | None, most: int, what: str, text: str
) -> None:
    assert graveyard.shown(content, most) == (what, text)


@given(st.binary(max_size=40), st.integers(1, 50))
def test_nothing_that_is_shown_can_hide_or_turn_the_rest(content: bytes, most: int) -> None:
    _, text = graveyard.shown(content, most)
    assert all(each.isprintable() or each == "\n" for each in text)


@dataclass
class Prepared:
    """Redrives from a topic in memory, into a transaction in memory."""

    topic: Topic
    kafka: Transaction = field(default_factory=Transaction)
    orders: list[Order] = field(default_factory=list)
    may_go: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def __call__(
        self,
        settings: Settings,
        order: Order,
        *,
        counts: Counter[Fate],
        tell: Callable[[Batch], None],
    ) -> Iterator[Redriver]:
        self.orders.append(order)
        if not order.dry_run:
            assert self.may_go.wait(60)
        parking = settings.parking_topic
        yield Redriver(
            task=Task(
                order.choice, order.max_attempts, order.dry_run or bool(parking), order.limit
            ),
            route=Route(DLQ, settings.transactions_topic, 4, parking),
            open_from=self.topic.open_from,
            read_marks=self.kafka.marks,
            transaction=None if order.dry_run else self.kafka,
            tell=tell,
            counts=counts,
        )


def three_letters() -> Prepared:
    topic = Topic()
    for offset, code in enumerate(["DECODE", "MISSING", "MISSING"]):
        topic.fail(offset, code)
    return Prepared(topic)


def redrives(
    database: Database, clock: Milliseconds, prepare: Any, holder: str = "one", **settings: str
) -> Redrives:
    return Redrives(Settings(**settings), database, clock, prepare, holder)


def trail(database: Database) -> list[tuple[str, str, str]]:
    with database.reading() as connection:
        rows = connection.execute(select(schema.audit).order_by(schema.audit.c.id))
        return [(row.actor, row.action, row.target) for row in rows]


def test_redrive_moves_what_was_looked_at_and_leaves_two_audit_lines(
    database: Database, clock: Milliseconds
) -> None:
    prepared = three_letters()
    desk = redrives(database, clock, prepared)
    plan = desk.look(OLGA, Choice(codes=("MISSING",)))
    assert (plan.moves, prepared.kafka.committed) == (2, [])
    prepared.topic.fail(9, "MISSING")  # after the look: for another run
    prepared.may_go.set()
    desk.start(OLGA, plan, " 2 ")
    desk.wait()
    assert [each.id for each in prepared.kafka.committed] == [
        "transactions/0/1",
        "transactions/0/2",
    ]
    assert desk.progress is not None
    assert (desk.progress.moved, desk.progress.running, desk.progress.trouble) == (2, False, "")
    assert trail(database) == [
        ("olga", "redrive", "begins: MISSING, 2 at most"),
        ("olga", "redrive", f"ended: {in_words(desk.progress.counts)}"),
    ]
    again = desk.look(OLGA, Choice(codes=("MISSING",)))
    assert again.moves == 1


def test_redrive_of_marked_ones_leaves_the_others_for_another_run(
    database: Database, clock: Milliseconds
) -> None:
    prepared = three_letters()
    desk = redrives(database, clock, prepared)
    prepared.may_go.set()
    marked = Choice(ids=("transactions/0/0", "transactions/0/2"))
    for choice, count in ((marked, "2"), (Choice(), "1")):
        desk.start(OLGA, desk.look(OLGA, choice), count)
        desk.wait()
    assert [each.id for each in prepared.kafka.committed] == [
        "transactions/0/0",
        "transactions/0/2",
        "transactions/0/1",
    ]
    assert trail(database)[0][2] == "begins: 2 marked, 2 at most"
    assert desk.look(OLGA, Choice()).moves == 0


@pytest.mark.parametrize("typed", ["", "3", "two", "2 or so", "-2"])
def test_another_count_than_the_plans_starts_nothing(
    database: Database, clock: Milliseconds, typed: str
) -> None:
    prepared = three_letters()
    desk = redrives(database, clock, prepared)
    plan = desk.look(OLGA, Choice(codes=("MISSING",)))
    with pytest.raises(BadInput, match="type the count, 2"):
        desk.start(OLGA, plan, typed)
    assert (desk.progress, trail(database)) == (None, [])


def test_who_is_no_operator_neither_looks_nor_redrives(
    database: Database, clock: Milliseconds
) -> None:
    prepared = three_letters()
    desk = redrives(database, clock, prepared)
    ana = Person(2, "ana", Role.ANALYST, "", "", "", 0)
    plan = desk.look(OLGA, Choice())
    with pytest.raises(BadInput, match="only an operator"):
        desk.look(ana, Choice())
    with pytest.raises(BadInput, match="only an operator"):
        desk.start(ana, plan, "3")
    assert len(prepared.orders) == 1


def test_one_redrive_at_a_time_in_this_console_and_in_all(
    database: Database, clock: Milliseconds
) -> None:
    prepared = three_letters()
    first = redrives(database, clock, prepared)
    second = redrives(database, clock, three_letters(), "two")
    plan = first.look(OLGA, Choice())
    first.start(OLGA, plan, "3")
    with pytest.raises(BadInput, match="olga redrives now"):
        first.start(OLGA, plan, "3")
    with pytest.raises(BadInput, match="another console redrives now"):
        second.start(OLGA, plan, "3")
    prepared.may_go.set()
    first.wait()
    with database.writing() as connection:
        assert lease.hold(connection, "redrive", "two", clock.now)


def test_what_kafka_does_not_take_is_told_and_stays(
    database: Database, clock: Milliseconds
) -> None:
    prepared = three_letters()
    prepared.kafka.before = lambda: DeliveryError("the topic is read-only")
    prepared.may_go.set()
    desk = redrives(database, clock, prepared)
    desk.start(OLGA, desk.look(OLGA, Choice()), "3")
    desk.wait()
    assert desk.progress is not None
    assert (desk.progress.moved, desk.progress.trouble) == (0, "the topic is read-only")
    assert trail(database)[-1][2] == "ended: 0 redriven, 0 parked; the topic is read-only"


def test_error_of_ours_shows_a_mark_for_the_log_and_no_text(
    database: Database, clock: Milliseconds, caplog: pytest.LogCaptureFixture
) -> None:
    prepared = three_letters()
    prepared.kafka.before = lambda: ZeroDivisionError("/secret/path")
    prepared.may_go.set()
    desk = redrives(database, clock, prepared)
    desk.start(OLGA, desk.look(OLGA, Choice()), "3")
    desk.wait()
    assert desk.progress is not None
    trouble = desk.progress.trouble
    assert trouble.startswith("it failed: the log says why, at ")
    assert trouble[-8:] in caplog.text


def test_what_would_be_parked_wants_a_topic_first(database: Database, clock: Milliseconds) -> None:
    prepared = Prepared(Topic())
    prepared.topic.fail(0, attempt="3")
    desk = redrives(database, clock, prepared)
    plan = desk.look(OLGA, Choice())
    assert plan.counts == Counter({Fate.PARK: 1})
    with pytest.raises(BadInput, match="want SCORER_PARKING_TOPIC"):
        desk.start(OLGA, plan, "1")
    with pytest.raises(BadInput, match="nothing is to be redriven"):
        desk.start(OLGA, Plan(Choice(), Counter()), "0")
