"""How the topics are read: on where the database is, and from the beginning where one is new."""

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import Message, TopicPartition
from sqlalchemy import select

from stream_scorer.config import Settings
from stream_scorer.console import ingest, schema
from stream_scorer.console.database import Database
from stream_scorer.console.reader import Reader
from tests.console.test_dead_letters import letter
from tests.console.test_flow import OneBatch

SETTINGS = Settings()
TAKES = ingest.takers(SETTINGS)


class OneTopic(OneBatch):
    """A consumer of one partition; notes where it is told to read."""

    def __init__(self, *batch: Message) -> None:
        super().__init__(*batch)
        self.at: list[int] = []

    def list_topics(self, **_: float) -> Any:
        there = SimpleNamespace(error=None, partitions={0: None})
        return SimpleNamespace(topics={SETTINGS.dead_letters_topic: there})

    def incremental_assign(self, places: list[TopicPartition]) -> None:
        self.at += [place.offset for place in places]

    def incremental_unassign(self, places: list[TopicPartition]) -> None:
        del self.at[: len(places)]


@pytest.mark.parametrize("stopped", [True, False], ids=["while it is stopped", "under its eyes"])
def test_topic_made_anew_is_read_from_its_beginning_and_the_old_ones_letters_go(
    database: Database, *, stopped: bool
) -> None:
    topic, ids, now = SETTINGS.dead_letters_topic, {"id": "one"}, [0.0]

    def reader(consumer: OneTopic) -> Reader:
        made: Any = consumer
        return Reader(made, database, TAKES, lambda _: {topic: ids["id"]}, lambda: now[0])

    first = OneTopic(letter(7, "OLD"))
    at_work = reader(first)
    assert (at_work.turn(), first.at) == (1, [0])
    again = OneTopic()
    reader(again).turn()
    assert again.at == [8], "the same topic is read on"

    ids["id"] = "two"
    now[0] += 5
    second = OneTopic(letter(0, "NEW"))
    if stopped:
        at_work = reader(second)
    else:
        second = first
        first.left = [letter(0, "NEW")]
    assert (at_work.turn(), second.at) == (1, [0])
    with database.reading() as connection:
        assert connection.scalars(select(schema.dead_letter.c.code)).all() == ["NEW"]
        (held,) = connection.execute(select(schema.ingest)).all()
    assert (held.next_offset, held.topic_id) == (1, "two")
