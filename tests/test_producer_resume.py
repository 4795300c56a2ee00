"""The rules by which an interrupted replay goes on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, TopicPartition

from producer import resume
from producer.deliveries import Position
from producer.journal import Journal, deliveries, open_journal
from producer.reading import file_reading
from producer.sender import Headers, Route
from producer.tail import rows_there
from stream_scorer.errors import BadInput

ABOUT = {"input": "a.csv", "topic": "in"}
PLAIN, LABELLED = Route("in"), Route("in", "labels")


@dataclass(frozen=True, slots=True)
class Held:
    """A record of a topic, or with an error its end."""

    number: int  # of the partition
    marks: Headers | None = None
    ended: bool = False

    def partition(self) -> int:
        return self.number

    def headers(self) -> Headers | None:
        return self.marks

    def error(self) -> KafkaError | None:
        return KafkaError(KafkaError._PARTITION_EOF) if self.ended else None


@dataclass
class ListReader:
    """Holds the same records in every topic."""

    held: list[Held] = field(default_factory=list)
    starts: dict[tuple[str, int], int] = field(default_factory=dict)
    unread: list[Held] = field(default_factory=list)

    def get_watermark_offsets(self, place: TopicPartition, _: float) -> tuple[int, int]:
        return 0, 100 + place.partition

    def assign(self, places: list[TopicPartition]) -> None:
        self.starts.update({(each.topic, each.partition): each.offset for each in places})
        self.unread = [*self.held, *(Held(each.partition, ended=True) for each in places)]

    def unassign(self) -> None:
        assert not self.unread

    def consume(self, _: int, __: float) -> list[Held]:
        batch, self.unread = self.unread[:2], self.unread[2:]
        return batch


def marked(run: str, number: int) -> Held:
    return Held(0, [("trace", b"x"), ("replay", f"{run}:{number}".encode())])


def opened(
    path: Path, reader: ListReader, about: Mapping[str, str] = ABOUT, route: Route = LABELLED
) -> Journal:
    return open_journal(
        path,
        about,
        consumer=reader,
        route=route,
        partitions={"in": 2, "labels": 1},
        sleep=lambda _: None,
    )


def test_a_new_replay_notes_where_the_topics_end(tmp_path: Path) -> None:
    opened(tmp_path / "r.json", ListReader())
    state = resume.load(tmp_path / "r.json", ABOUT)
    assert state is not None
    assert state.events == Position(1, {0: 100, 1: 101})
    assert state.labels == Position(1, {0: 100})
    assert not state.finished


def test_the_next_run_looks_for_its_rows_from_where_the_last_was_sure(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    first = opened(path, ListReader())
    first.events.next_number, first.events.next_offsets = 50, {0: 130, 1: 140}
    first.save()
    run = first.state.run
    reader = ListReader([marked(run, 51), marked("other", 52), Held(1), marked(run, 55)])
    again = opened(path, reader)
    assert reader.starts == {("in", 0): 130, ("in", 1): 140, ("labels", 0): 100}
    assert [number for number in range(45, 60) if again.events.wants(number)] == [
        50,
        52,
        53,
        54,
        56,
        57,
        58,
        59,
    ]
    assert again.state.run == run


def test_the_first_row_is_the_first_that_an_event_or_a_label_needs(tmp_path: Path) -> None:
    for route, first in ((PLAIN, 9), (LABELLED, 4)):
        journal = opened(tmp_path / f"{first}.json", ListReader(), route=route)
        journal.events, journal.labels = deliveries(Position(9)), deliveries(Position(4))
        assert journal.first == first


def test_a_finished_replay_is_not_looked_up_again(tmp_path: Path) -> None:
    opened(tmp_path / "r.json", ListReader()).write(finished=True)
    reader = ListReader()
    assert opened(tmp_path / "r.json", reader).state.finished
    assert reader.starts == {}


@pytest.mark.parametrize(
    "about", [{**ABOUT, "topic": "other"}, {"input": "a.csv"}, {**ABOUT, "x": "y"}]
)
def test_a_file_of_another_replay_is_refused(tmp_path: Path, about: dict[str, str]) -> None:
    opened(tmp_path / "r.json", ListReader())
    with pytest.raises(BadInput, match="belongs to another replay"):
        opened(tmp_path / "r.json", ListReader(), about)


def test_a_file_that_is_no_resume_file_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text("hello", encoding="utf-8")
    with pytest.raises(BadInput, match="is no resume file"):
        opened(path, ListReader())
    assert path.read_text(encoding="utf-8") == "hello"


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be written"):
        opened(tmp_path / "none" / "r.json", ListReader())


def test_nothing_is_left_beside_the_file(tmp_path: Path) -> None:
    opened(tmp_path / "r.json", ListReader()).write(finished=True)
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_a_partition_that_is_new_is_read_from_its_beginning() -> None:
    reader = ListReader()
    rows_there(reader, "in", next_offsets={0: 7}, partitions=2, run="r")
    assert reader.starts == {("in", 0): 7, ("in", 1): 0}


def test_a_changed_file_is_another_input(tmp_path: Path) -> None:
    abouts = []
    for text in ("a\n1\n", "a\n2\n", "a\n2\n3\n"):
        (tmp_path / "a.csv").write_text(text, encoding="utf-8")
        with file_reading(str(tmp_path / "a.csv")) as reading:
            abouts.append(reading.about)
    assert len({tuple(about.items()) for about in abouts}) == 3


def test_a_file_can_be_read_again_and_again(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n2\n", encoding="utf-8")
    with file_reading(str(tmp_path / "a.csv")) as reading:
        passes = [[row.number for row in reading.rows.read()] for _ in range(3)]
        assert passes == [[1, 2]] * 3
        assert reading.position() == reading.total == 6
