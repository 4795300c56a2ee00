"""Redriving: each dead letter once, whatever filters, limits and undone transactions there are."""

from collections import Counter
from itertools import zip_longest
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_scorer.dead_letters.choosing import Choice
from stream_scorer.dead_letters.redriving import Redriver, Route
from stream_scorer.dead_letters.walk import LOOK_BACK, Batch, Fate, Task
from stream_scorer.errors import BadInput, DeliveryError, KafkaTrouble
from stream_scorer.guarantee import Commit
from tests.dead_letters import DLQ, FAILED_MS, Topic, Transaction
from tests.fakes import Clock

EVERYTHING = Choice()


def redrive(  # noqa: PLR0913 - a task has many sides
    topic: Topic,
    transaction: Transaction,
    choice: Choice = EVERYTHING,
    *,
    max_attempts: int = 3,
    parking: str = "parking",
    dry_run: bool = False,
    unfit: list[str] | None = None,
    topic_id: str = "",
    **rest: Any,
) -> Counter[Fate]:
    """Run once to the end; return what was done, as it was told."""
    told: list[Batch] = []
    task = {k: rest.pop(k) for k in ("limit", "forgotten_before_ms") if k in rest}
    redriver = Redriver(
        task=Task(choice, max_attempts, may_park=dry_run or bool(parking), **task),
        route=Route(DLQ, "transactions", 4, parking, topic_id),
        open_from=topic.open_from,
        read_marks=transaction.marks,
        transaction=None if dry_run else transaction,
        tell=told.append,
        **rest,
    )
    redriver.run()
    total: Counter[Fate] = Counter()
    for batch in told:
        total.update(batch.counts)
        if unfit is not None:
            unfit += batch.unfit
    assert total == redriver.counts
    return total


def counts(**wanted: int) -> Counter[Fate]:
    return Counter({Fate[name]: n for name, n in wanted.items()})


def ids(transaction: Transaction, topic: str = "transactions") -> list[str]:
    return [each.id for each in transaction.committed if each.topic == topic]


def ten_letters() -> Topic:
    topic = Topic()
    for offset in range(10):
        code = "MISSING" if offset % 2 else "DECODE"
        topic.fail(offset, code, number=offset % 2, failed_ms=FAILED_MS + offset)
    return topic


def test_what_is_redriven_is_the_record_as_it_was_and_which_attempt_it_is() -> None:
    topic, kafka = Topic(), Transaction()
    topic.fail(7, value=None, attempt="2")
    assert redrive(topic, kafka) == counts(REDRIVE=1)
    (copy,) = kafka.committed
    assert (copy.topic, copy.value, copy.key, copy.partition) == ("transactions", None, b"k", 0)
    assert copy.timestamp == 1_700_000_000_000
    assert copy.headers == [
        ("a", b"1"),
        ("dlq.id", b"transactions/0/7"),
        ("dlq.attempt", b"3"),
    ]


def test_a_second_run_redrives_nothing_and_finds_what_is_new() -> None:
    topic, kafka = ten_letters(), Transaction()
    assert redrive(topic, kafka) == counts(REDRIVE=10)
    assert redrive(topic, kafka) == counts()
    topic.fail(11)
    assert redrive(topic, kafka) == counts(REDRIVE=1)
    assert len(set(ids(kafka))) == len(ids(kafka)) == 11


def test_what_a_filter_leaves_out_is_there_for_a_later_run() -> None:
    topic, kafka = ten_letters(), Transaction()
    late = Choice(codes=("MISSING",), since_ms=FAILED_MS + 4)
    assert redrive(topic, kafka, late) == counts(REDRIVE=3, LEFT_OUT=7)
    assert redrive(topic, kafka, late) == counts()
    assert redrive(topic, kafka, Choice(codes=("MISSING",))) == counts(
        REDRIVE=2, LEFT_OUT=5, EARLIER=3
    )
    done = redrive(topic, kafka)
    assert (done[Fate.REDRIVE], done[Fate.LEFT_OUT]) == (5, 0)
    assert sorted(ids(kafka)) == [f"transactions/0/{i}" for i in range(10)]
    assert kafka.offsets == {0: (5, ""), 1: (5, "")}, "nothing but an offset is remembered"


def test_a_limit_stops_the_run_and_the_next_goes_on() -> None:
    topic, kafka = ten_letters(), Transaction()
    assert redrive(topic, kafka, limit=4, rate=3.0, sleep=lambda _: None) == counts(REDRIVE=4)
    assert redrive(topic, kafka, limit=4) == counts(REDRIVE=4)
    assert redrive(topic, kafka, limit=4) == counts(REDRIVE=2)
    assert len(set(ids(kafka))) == 10


def test_a_dry_run_tells_the_same_and_changes_nothing() -> None:
    topic, kafka = ten_letters(), Transaction()
    topic.fail(11, attempt="3")
    assert redrive(topic, kafka, dry_run=True, parking="") == counts(REDRIVE=10, PARK=1)
    assert (kafka.committed, kafka.offsets) == ([], {})


def test_what_has_failed_too_often_is_parked_as_it_stands() -> None:
    topic, kafka = Topic(), Transaction()
    topic.fail(1, attempt="2")
    topic.fail(2, attempt="3")
    assert redrive(topic, kafka) == counts(REDRIVE=1, PARK=1)
    redriven, parked = kafka.committed
    assert (redriven.topic, parked.topic) == ("transactions", "parking")
    assert parked.headers == topic.partitions[0][1].headers()
    assert redrive(topic, kafka, max_attempts=9) == counts(), "parked is done, too"


def test_with_nowhere_to_park_the_run_stops_there_and_what_came_before_is_done() -> None:
    topic, kafka = Topic(), Transaction()
    topic.fail(1)
    topic.fail(2, attempt="3")
    topic.fail(3)
    for _ in range(2):
        with pytest.raises(BadInput, match=r"transactions/0/2 has failed 3 times: want --parking"):
            redrive(topic, kafka, parking="")
        assert ids(kafka) == ["transactions/0/1"]
    assert redrive(topic, kafka, parking="", max_attempts=4) == counts(REDRIVE=2)


def test_without_a_target_only_what_came_from_the_transactions_is_redriven() -> None:
    topic, kafka = Topic(), Transaction()
    topic.fail(1, topic="others")
    topic.fail(2)
    own = Choice(topic="transactions")
    assert redrive(topic, kafka, own) == counts(OTHER_TOPIC=1, REDRIVE=1)
    assert redrive(topic, kafka, own) == counts()
    assert redrive(topic, kafka) == counts(REDRIVE=1, EARLIER=1)
    assert ids(kafka) == ["transactions/0/2", "others/0/1"]


def test_what_is_no_whole_dead_letter_is_named_and_never_redriven() -> None:
    topic, kafka = Topic(), Transaction()
    topic.add(0, b"{}", [("dlq.id", b"transactions/0/1")])
    topic.fail(2)
    whole: Any = topic.partitions[0][1]
    topic.add(0, b"another value", whole.headers(), key=whole.key())
    topic.fail(3)
    whole = topic.partitions[0].pop()
    topic.add(0, b"another value", whole.headers(), key=whole.key())
    topic.add(0, whole.value(), whole.headers(), key=whole.key())
    named: list[str] = []
    assert redrive(topic, kafka, unfit=named) == counts(REDRIVE=2, REPEAT=1, UNFIT=2)
    assert named == [
        "dlq/0/0: lacks dlq.version",
        "dlq/0/3: its value is not the one of dlq.payload_sha256",
    ]


def test_what_a_killed_scorer_wrote_twice_is_redriven_once_in_one_run_or_in_two() -> None:
    topic, kafka = Topic(), Transaction()
    for offset in (1, 2, 1):
        topic.fail(offset)
    assert redrive(topic, kafka) == counts(REDRIVE=2, REPEAT=1)
    topic.fail(2, failed_ms=FAILED_MS + 1)
    assert redrive(topic, kafka) == counts(REPEAT=1)
    assert topic.opened[-1] == {0: 3 - LOOK_BACK}
    topic.fail(2, value=b"a topic made anew begins at the same places")
    assert redrive(topic, kafka) == counts(REDRIVE=1)


@pytest.mark.parametrize(
    "first",
    [Choice(since_ms=FAILED_MS + 1), Choice(until_ms=FAILED_MS + 1)],
    ids=["the later", "the earlier"],
)
def test_what_was_written_twice_is_redriven_once_if_a_filter_takes_one_of_them(
    first: Choice,
) -> None:
    topic, kafka = Topic(), Transaction()
    topic.fail(1)
    topic.fail(1, failed_ms=FAILED_MS + 1)
    redrive(topic, kafka, first)
    redrive(topic, kafka)
    assert ids(kafka) == ["transactions/0/1"]


def test_what_fails_while_a_run_reads_is_for_the_next() -> None:
    topic, kafka = Topic(arriving=[2, 3]), Transaction()
    topic.fail(1)
    assert redrive(topic, kafka) == counts(REDRIVE=1)
    assert redrive(topic, kafka) == counts(REDRIVE=2)


def test_a_partition_that_the_target_lacks_is_left_to_the_partitioner() -> None:
    topic, kafka = Topic(), Transaction()
    for name, number in (("a", "2"), ("b", "400")):
        topic.fail(1, topic=name)
        place = {
            "dlq.id": f"{name}/{number}/1".encode(), "dlq.source.partition": number.encode()
        }  # fmt: skip
        said: Any = topic.partitions[0].pop()
        headers = [(key, place.get(key, value)) for key, value in said.headers()]
        topic.add(0, said.value(), headers)
    redrive(topic, kafka)
    assert [each.partition for each in kafka.committed] == [2, -1]


@pytest.mark.parametrize("counted", [False, True], ids=["aborted", "unknown, but counted"])
def test_after_an_undone_transaction_the_marks_say_where_to_go_on(*, counted: bool) -> None:
    topic, kafka = Topic(), Transaction(answers=[(Commit.DONE, True), (Commit.UNDONE, counted)])
    for offset in range(1200):
        topic.fail(offset)
    done = redrive(topic, kafka)
    assert sorted(Counter(ids(kafka)).values()) == [1] * 1200
    assert done[Fate.REDRIVE] == (1200 - 500 if counted else 1200), "told is what surely counts"


def test_a_record_that_kafka_does_not_take_ends_the_run_by_name() -> None:
    topic, kafka = Topic(), Transaction()
    topic.fail(5)
    kafka.refuses = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE, "too large")
    with pytest.raises(DeliveryError, match="transactions does not take transactions/0/5: too"):
        redrive(topic, kafka)
    assert (kafka.committed, kafka.offsets) == ([], {})


@pytest.mark.parametrize(
    ("raised", "ends"),
    [
        (KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE, "too large")), DeliveryError),
        (BufferError(), DeliveryError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
    ids=["refused", "queue full", "Ctrl-C"],
)
def test_a_transaction_that_cannot_be_filled_is_undone_at_once(
    raised: BaseException, ends: type[BaseException]
) -> None:
    topic, kafka = ten_letters(), Transaction()
    failing: Any = iter([None, raised])
    kafka.before = lambda: next(failing, None)
    with pytest.raises(ends):
        redrive(topic, kafka)
    assert (kafka.undone, kafka.committed, kafka.offsets) == (1, [], {})
    assert redrive(topic, kafka) == counts(REDRIVE=10)


def test_a_producer_that_is_done_for_is_left_to_the_transaction() -> None:
    topic, kafka = ten_letters(), Transaction(answers=[(Commit.UNDONE, False)])
    fenced = KafkaException(KafkaError(KafkaError._FATAL, "done for", fatal=True))
    failing: Any = iter([None, fenced])
    kafka.before = lambda: next(failing, None)
    assert redrive(topic, kafka) == counts(REDRIVE=10)
    assert len(ids(kafka)) == 10


def test_a_mark_beyond_the_end_is_another_topic_of_that_name() -> None:
    topic, kafka = ten_letters(), Transaction(offsets={0: (6, "")})
    with pytest.raises(KafkaTrouble, match="dlq/0/6, but that topic was deleted: this one ends"):
        redrive(topic, kafka)


def test_marks_of_a_topic_that_was_deleted_are_none_of_the_new_ones() -> None:
    topic, kafka = ten_letters(), Transaction()
    assert redrive(topic, kafka, topic_id="old") == counts(REDRIVE=10)
    assert redrive(topic, kafka, topic_id="old") == counts()
    with pytest.raises(KafkaTrouble, match="but that topic was deleted"):
        redrive(topic, kafka, topic_id="new")
    kafka.offsets.clear()
    assert redrive(topic, kafka, topic_id="new") == counts(REDRIVE=10)


def test_what_retention_took_is_no_trouble() -> None:
    topic, kafka = Topic(first=100), Transaction(offsets={0: (6, ""), 1: (0, "")})
    topic.fail(1)
    assert redrive(topic, kafka) == counts(REDRIVE=1)
    assert kafka.offsets == {0: (101, ""), 1: (100, "")}


def test_where_kafka_may_have_forgotten_a_mark_a_person_decides() -> None:
    old = FAILED_MS + 5
    topic, kafka = ten_letters(), Transaction()
    with pytest.raises(BadInput, match=r"no mark of an earlier redrive.*--since 2000-01-01"):
        redrive(topic, kafka, forgotten_before_ms=old)
    assert (kafka.committed, kafka.offsets) == ([], {})
    young = Choice(since_ms=old)
    assert redrive(topic, kafka, young, forgotten_before_ms=old)[Fate.REDRIVE] == 5
    assert redrive(topic, kafka, forgotten_before_ms=old)[Fate.REDRIVE] == 5, "now marks are there"


def test_a_rate_is_kept_over_the_whole_run() -> None:
    topic, kafka, clock = ten_letters(), Transaction(), Clock()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.now += seconds

    began = clock.now
    redrive(topic, kafka, rate=4.0, clock=clock, sleep=sleep)
    assert clock.now - began == pytest.approx(2.5)
    assert [size for size in kafka.sizes if size] == [4, 4, 2]
    assert max(slept) == pytest.approx(1.0), "a transaction is never open for long"


CODES = ("DECODE", "TYPE", "MISSING")
CHOICES = st.builds(
    Choice,
    codes=st.sets(st.sampled_from(CODES)).map(lambda found: tuple(sorted(found))),
    since_ms=st.none() | st.integers(FAILED_MS, FAILED_MS + 40),
    until_ms=st.none() | st.integers(FAILED_MS, FAILED_MS + 40),
    topic=st.sampled_from(("", "transactions")),
)
LETTERS = st.lists(
    st.tuples(
        st.sampled_from(CODES),
        st.integers(0, 1),  # partition of the dead letter
        st.sampled_from(("transactions", "others")),
        st.sampled_from(("1", "3")),  # attempt
    ),
    max_size=40,
)
ENDS = st.lists(
    st.sampled_from([(Commit.DONE, True), (Commit.UNDONE, False), (Commit.UNDONE, True)]),
    max_size=3,
)


@settings(max_examples=200)
@given(
    written=st.lists(LETTERS, min_size=1, max_size=3),
    runs=st.lists(st.tuples(CHOICES, st.none() | st.integers(1, 15), ENDS), max_size=6),
    rate=st.sampled_from((None, 1.0, 3.0)),
)
def test_whatever_runs_there_were_each_letter_has_left_once(
    written: list[Any], runs: list[Any], rate: float | None
) -> None:
    topic, kafka = Topic(), Transaction()
    offset = 0
    plain: Any = (EVERYTHING, None, [])
    for new, run in [*zip_longest(written, runs, fillvalue=None), (None, plain)]:
        choice, limit, ends = run or plain
        for code, number, name, attempt in new or []:
            failed_ms = FAILED_MS + offset
            topic.fail(
                offset, code, number=number, topic=name, failed_ms=failed_ms, attempt=attempt
            )
            offset += 1
        kafka.answers = list(ends)
        redrive(topic, kafka, choice, limit=limit, rate=rate, sleep=lambda _: None)
    everything = Counter(
        (dict(message.headers() or [])["dlq.id"] or b"").decode()  # type: ignore[union-attr]
        for held in topic.partitions
        for message in held
    )
    assert Counter(each.id for each in kafka.committed) == everything
    assert all(note == "" for _, note in kafka.offsets.values())
