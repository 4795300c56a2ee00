"""What a dead letter's headers say, which ones are chosen, and how `list` and `show` print them."""

import io
import json
import re
from collections.abc import Iterable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from confluent_kafka import Message
from rich.console import Console

from stream_scorer.codecs.json import JsonDecoder
from stream_scorer.dead_letters import letters
from stream_scorer.dead_letters.choosing import Choice, to_moment
from stream_scorer.dead_letters.counting import Entry, Tallies, chosen
from stream_scorer.dead_letters.letters import Letter
from stream_scorer.dead_letters.marks import LONGEST_NOTE, Mark
from stream_scorer.dead_letters.redrive_command import redrive
from stream_scorer.dead_letters.show_command import (
    as_table,
    describe,
    escaped,
    to_place,
    write_value,
)
from stream_scorer.dead_letters.showing import as_object, count_table, entry_table, summary
from stream_scorer.errors import BadInput
from stream_scorer.model import Model
from stream_scorer.records import Headers, UnreadableBatch
from stream_scorer.scorer import Scorer
from tests.dead_letters import FAILED_MS, Topic, letter_headers
from tests.records import TOPIC, record

CARD = b'{"card": "4111111111111111"'


def letter_of(headers: Headers, value: bytes | None = b"{") -> Letter | str:
    return letters.read(record(0, value, topic="dlq", headers=headers))[1]


def changed(name: str, value: bytes | None) -> Headers:
    headers = letter_headers(record(7, b"{"))
    return [(key, value if key == name else text) for key, text in headers]


def shown(*tables: object) -> str:
    output = io.StringIO()
    console = Console(width=120, file=output)
    for table in tables:
        console.print(table)
    return output.getvalue()


def test_headers_say_what_the_scorer_wrote() -> None:
    bad = record(7, b"{", partition=3, headers=[("a", b"1"), ("dlq.attempt", b"2")])
    assert letter_of(letter_headers(bad, "MISSING")) == Letter(
        id="transactions/3/7",
        topic="transactions",
        partition=3,
        timestamp_ms=1_700_000_000_000,
        code="MISSING",
        reason="it is bad",
        failed_at_ms=FAILED_MS,
        attempt=2,
        payload="full",
        payload_sha256="021fb596db81e6d02bf3d2586ee3981fe519f275c0ac9ca76bbcf2ebb4097d96",
    )


@pytest.mark.parametrize(
    "said",
    [b"", b"0", b"-1", b"1.5", b"1000", b"9" * 5000, "٣".encode(), b" 2", b"2\n", b"\xff", None],
    ids=repr,
)
def test_an_attempt_that_is_no_sound_number_counts_as_the_first(said: bytes | None) -> None:
    bad = record(7, b"{", headers=[("dlq.attempt", said)])
    assert dict(letter_headers(bad))["dlq.attempt"] == b"1"
    letter = letter_of(changed("dlq.attempt", said))
    assert isinstance(letter, Letter)
    assert letter.attempt == 1


def test_a_batch_that_cannot_be_unpacked_has_a_letter_without_bytes(tiny: Model) -> None:
    batch = UnreadableBatch((TOPIC, 0), 7, 11, 4980, "Local: Invalid compressed data")
    scorer = Scorer(tiny, JsonDecoder(tiny.feature_names), 0.8, "c")
    outcome = scorer([batch])
    assert outcome.next_offsets == {(TOPIC, 0): 11}
    (dead_letter,) = outcome.dead_letters
    found = letters.written(dead_letter, group="g", app="a", sha256="s", now_ms=1, largest=10)
    assert (found.key, found.value) == (None, None)
    headers = {name: (text or b"").decode() for name, text in found.headers}
    assert headers["dlq.id"] == f"{TOPIC}/0/7"
    assert headers["dlq.code"] == "UNREADABLE"
    assert headers["dlq.reason"] == (
        "a batch of 4980 bytes at offsets 7 to 10: Local: Invalid compressed data"
    )
    assert headers["dlq.payload"] == "omitted"
    assert headers["dlq.payload_bytes"] == "4980"
    assert headers["dlq.source.last_offset"] == "10"
    _, letter = letters.read(record(0, None, headers=found.headers))
    assert isinstance(letter, Letter)
    assert "not the whole record is there" in letter.flaw(None)


def test_a_dead_letter_of_a_redriven_record_counts_on() -> None:
    first = letter_headers(record(7, b"{", headers=[("a", None), ("a", b"1")]))
    headers, letter = letters.read(record(0, b"{", headers=first))
    assert isinstance(letter, Letter)
    again = letters.redriven(headers, letter)
    assert again == [
        ("a", None), ("a", b"1"), ("dlq.id", b"transactions/0/7"), ("dlq.attempt", b"2"),
    ]  # fmt: skip
    second = letter_headers(record(99, b"{", headers=again))
    assert [value for key, value in second if key == "dlq.attempt"] == [b"2"]
    assert [value for key, value in second if key == "dlq.id"] == [b"transactions/0/99"]
    assert second[:2] == [("a", None), ("a", b"1")]


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ([], "lacks dlq.version"),
        ([("dlq.id", b"transactions/0/7")], "lacks dlq.version"),
        (changed("dlq.version", b"2"), "dlq.version is '2': want '1'"),
        (changed("dlq.code", None), "lacks dlq.code"),
        (changed("dlq.failed_at", b"now"), "dlq.failed_at is 'now': want a number"),
        (changed("dlq.failed_at", b"9" * 19), "dlq.failed_at is .* want a number"),
        (changed("dlq.source.offset", "٣".encode()), "dlq.source.offset is '٣': want a number"),
        (changed("dlq.id", b"other/0/7"), "dlq.id is 'other/0/7', but its source is"),
        (changed("dlq.source.topic", b"\xff"), "dlq.id is 'transactions/0/7', but its source is"),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_a_record_that_no_scorer_wrote_is_no_dead_letter(headers: Headers, says: str) -> None:
    found = letter_of(headers)
    assert isinstance(found, str)
    assert re.match(says, found), found


@pytest.mark.parametrize(
    ("choice", "taken"),
    [
        (Choice(), True),
        (Choice(codes=("DECODE", "TYPE")), True),
        (Choice(codes=("TYPE",)), False),
        (Choice(since_ms=FAILED_MS), True),
        (Choice(since_ms=FAILED_MS + 1), False),
        (Choice(until_ms=FAILED_MS), False),
        (Choice(until_ms=FAILED_MS + 1), True),
        (Choice(partitions=(0, 3)), True),
        (Choice(partitions=(3,)), False),
        (Choice(topic="transactions"), True),
        (Choice(topic="others"), False),
        (Choice(ids=("transactions/0/7", "transactions/7/7")), True),
        (Choice(ids=("transactions/7/7",)), False),
        (Choice(codes=("DECODE",), partitions=(3,)), False),
    ],
    ids=repr,
)
def test_each_filter_leaves_out_what_differs(choice: Choice, *, taken: bool) -> None:
    letter = letter_of(letter_headers(record(7, b"{")))
    assert isinstance(letter, Letter)
    assert choice.takes(letter) is taken


def test_times_are_iso_or_how_long_ago() -> None:
    assert to_moment(None, None, None) is None
    assert to_moment(None, None, "2026-01-31T12:00:00Z") == 1_769_860_800_000
    assert to_moment(None, None, "2026-01-31T12:00") == 1_769_860_800_000
    day, hours = to_moment(None, None, "1d"), to_moment(None, None, "2h")
    assert day is not None
    assert hours is not None
    assert hours - day >= 22 * 3_600_000
    for wrong in ("", "2", "h", "-2h", "2w", "yesterday", "٣h"):
        with pytest.raises(click.BadParameter, match="neither a time such as"):
            to_moment(None, None, wrong)


def test_a_mark_survives_its_way_through_kafka_and_says_what_is_done() -> None:
    letter = letter_of(letter_headers(record(7, b"{")))
    assert isinstance(letter, Letter)
    decode, missing = Choice(codes=("DECODE",)), Choice(codes=("MISSING",), since_ms=5)
    mark = Mark(10).after(decode, low=12, end=50).after(missing, low=12, end=30)
    mark = Mark.read(mark.low, mark.note())
    assert [mark.is_done(at, letter) for at in (11, 12, 49, 50)] == [True, True, True, False]
    assert [mark.begin(each) for each in (decode, missing, Choice())] == [50, 30, 12]
    assert mark.after(Choice(), low=60, end=60) == Mark(60)
    assert Mark(5).note() == ""
    known = Mark(5, topic_id="abc")
    assert Mark.read(5, known.note()) == known
    known = known.after(decode, low=5, end=7)
    assert Mark.read(5, known.note()) == known
    assert Mark.read(5, None) == Mark.read(5, "") == Mark(5)


@pytest.mark.parametrize("note", ["consumer-1", "{}", '[{"choice": {"odd": 1}, "end": 1}]'])
def test_a_note_that_redrive_did_not_write_is_not_understood(note: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|Expected|unknown"):
        Mark.read(5, note)


def test_more_filters_than_kafka_keeps_are_refused_before_anything_is_written() -> None:
    mark = Mark()
    while len(mark.note()) < LONGEST_NOTE - 100:
        mark = mark.after(Choice(since_ms=FAILED_MS + len(mark.ran)), low=0, end=10)
    assert len(mark.ran) > 30
    mark = mark.after(Choice(codes=("X" * 100,)), low=0, end=10)
    with pytest.raises(BadInput, match="run redrive once without filters"):
        mark.note()
    many = Choice(ids=tuple(f"transactions/0/{n}" for n in range(230)))
    with pytest.raises(BadInput, match="Kafka keeps 4000: name fewer --id"):
        Mark().after(many, low=0, end=10).note()


def topic_of(*failures: tuple[int, str, int]) -> list[Message]:
    topic = Topic()
    for offset, code, failed_ms in failures:
        topic.fail(offset, code, failed_ms=failed_ms, value=CARD)
    topic.add(1, CARD, [("x", b"4111111111111111")], key=b"4111111111111111")
    return [message for each in topic.partitions for message in each]


def entries_of(messages: Iterable[Message], choice: Choice, tallies: Tallies) -> list[Entry]:
    return [entry for entry in chosen(messages, choice, tallies) if entry is not None]


def test_list_counts_all_and_prints_no_payload_key_or_header() -> None:
    messages = topic_of((1, "DECODE", FAILED_MS), (2, "TYPE", FAILED_MS + 1), (3, "TYPE", 9))
    tallies = Tallies()
    entries = entries_of(messages, Choice(codes=("TYPE",)), tallies)
    assert [(e.letter.id, e.value_bytes) for e in entries] == [
        ("transactions/0/2", len(CARD)),
        ("transactions/0/3", len(CARD)),
    ]
    assert (tallies.left_out, tallies.unfit) == (1, 1)
    assert tallies.an_unfit == "dlq/1/0 lacks dlq.version"
    as_json = as_object("dlq", entries, tallies)
    assert as_json["by_code"] == {"TYPE": {"transactions/0": 2}}
    printed = shown(count_table(tallies), entry_table(entries)) + summary("dlq", entries, tallies)
    assert "2 dead letters on 'dlq', 1 more that the filters leave out" in printed
    assert "1 record is no dead letter of a scorer: dlq/1/0 lacks dlq.version" in printed
    assert "4111" not in printed + json.dumps(as_json)


def test_what_a_dead_letter_says_cannot_steer_the_terminal() -> None:
    hostile = b"\x1b[31m[/x]\r\n"
    headers = [*changed("dlq.reason", hostile), ("\x1b[2J", hostile)]
    message = record(0, hostile, topic="dlq", headers=headers, key=hostile)
    tallies = Tallies()
    entries = entries_of([message], Choice(), tallies)
    printed = shown(
        count_table(tallies),
        entry_table(entries),
        as_table(describe(message), headers, {"key": hostile, "value": hostile}),
    )
    assert "\x1b" not in printed
    assert "\r" not in printed
    assert r"\x1b[31m[/x]\r\n" in printed


def test_show_gives_all_headers_in_order_and_the_payload_only_if_asked() -> None:
    own = [("b", b"\x00\xff"), ("a", None)]
    message = record(4, CARD, topic="dlq", headers=own + letter_headers(record(7, CARD)), key=b"k")
    headers, _ = letters.read(message)
    printed = shown(as_table(describe(message), headers, {}))
    assert "4111" not in printed
    names = [line.split()[0] for line in printed.splitlines()]
    at = names.index("b")
    assert names[at : at + 4] == ["b", "a", "dlq.version", "dlq.id"]
    assert r"\x00\xff" in printed
    assert CARD.decode() in shown(as_table({}, [], {"key": None, "value": CARD}))


def test_show_says_what_keeps_a_record_from_being_redriven() -> None:
    cut = record(4, b"other", topic="dlq", headers=letter_headers(record(7, CARD)))
    assert describe(cut)["unfit"] == "its value is not the one of dlq.payload_sha256"
    truncated = record(4, CARD, headers=changed("dlq.payload", b"truncated"))
    assert "dlq.payload is 'truncated'" in str(describe(truncated)["unfit"])


@pytest.mark.parametrize(
    ("content", "text"),
    [(None, None), (b"", ""), ("é".encode(), "é"), (b"\x80\n\t", r"\x80\n\t"), (b"\\", "\\")],
)
def test_bytes_are_escaped_for_terminals(content: bytes | None, text: str | None) -> None:
    assert escaped(content) == text


@pytest.mark.parametrize("text", ["", "1", "/1", "1/", "a/1", "-1/2", "1/2/3", "٣/1"])
def test_a_place_is_partition_and_offset(text: str) -> None:
    assert to_place(None, None, "3/17") == (3, 17)
    with pytest.raises(click.BadParameter, match="is not PARTITION/OFFSET"):
        to_place(None, None, text)


def test_a_value_is_written_as_it_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "value"
    path.write_bytes(b"before")
    write_value(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(BadInput, match="it is null"):
        write_value(path, None)
    with pytest.raises(BadInput, match="No such file"):
        write_value(tmp_path / "no" / "value", b"")
    assert [each.name for each in tmp_path.iterdir()] == ["value"]


@pytest.mark.parametrize("rate", ["nan", "inf", "0"])
def test_rate_that_is_none_is_refused_by_name(rate: str) -> None:
    done = CliRunner().invoke(redrive, ["--rate", rate])
    assert done.exit_code == 2
    assert "--rate" in done.output
