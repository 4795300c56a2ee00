"""The rules of the replay loop, on a client that is a list and a clock that is a number."""

import signal
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import pytest
from confluent_kafka import KafkaError, KafkaException

from producer.deliveries import Deliveries, Placed, Position
from producer.pacing import Pace, at_once, at_rate
from producer.replay import Clock, Silent, replay
from producer.sender import Headers, Route, Sender
from producer.steps import Step
from producer.summary import Summary, explain, in_words
from producer.watch import signals
from stream_scorer.tables import Malformed

WALL_S = 1_700_000_000.0  # the time of day at monotonic 0
Report = Callable[[KafkaError | None, Placed], None]


@dataclass(frozen=True, slots=True)
class Place:
    place: tuple[int, int]

    def partition(self) -> int:
        return self.place[0]

    def offset(self) -> int:
        return self.place[1]


@dataclass(frozen=True, slots=True)
class Sent:
    at_s: float
    topic: str
    key: str
    value: bytes
    timestamp_ms: int
    headers: Headers | None


@dataclass
class ListClient:
    """Takes up to `room` records, and confirms or refuses all of them at the next poll."""

    room: int = 1000
    refuses: KafkaError | None = None
    answers: bool = True
    now_s: float = 0.0
    sent: list[Sent] = field(default_factory=list)
    open: list[Report] = field(default_factory=list)

    def produce(
        self,
        topic: str,
        value: bytes,
        key: str,
        *,
        on_delivery: Report,
        timestamp: int,
        headers: Headers | None,
    ) -> None:
        if len(self.open) >= self.room:
            raise BufferError
        self.sent.append(Sent(self.now_s, topic, key, value, timestamp, headers))
        self.open.append(on_delivery)

    def poll(self, timeout: float, /) -> int:
        self.now_s += timeout
        if self.answers:
            reports, self.open = self.open, []
            for report in reports:
                report(self.refuses, Place((0, len(self.sent))))
        return 0

    def purge(self, *, in_flight: bool) -> None:
        assert not in_flight

    def __len__(self) -> int:
        return len(self.open)


class Stopping(Silent):
    """Stops when asked for the n-th time."""

    def __init__(self, after: int) -> None:
        self.left = after
        self.rows: list[Malformed] = []
        self.waits: list[tuple[int, float]] = []

    def stopping(self) -> bool:
        self.left -= 1
        return self.left < 0

    def malformed(self, row: Malformed) -> None:
        self.rows.append(row)

    def waiting(self, labels: int, seconds: float) -> None:
        self.waits.append((labels, round(seconds, 1)))


def step(number: int, *, label: int | None = None, timestamp_ms: int | None = None) -> Step:
    return Step(number, f"k{number}", f"t{number}", b"{}", label, None, timestamp_ms)


def go(
    client: ListClient,
    *steps: Step | Malformed,
    sender: Sender | None = None,
    pace: Pace = at_once,
    skip_malformed: bool = False,
    watcher: Silent | None = None,
) -> Summary:
    return replay(
        steps,
        sender=sender or Sender(client, Route("events")),
        pace=pace,
        skip_malformed=skip_malformed,
        watcher=watcher,
        clock=Clock(lambda: client.now_s, lambda: WALL_S + client.now_s),
    )


def test_every_event_is_sent_in_order_and_confirmed() -> None:
    client = ListClient()
    summary = go(client, *map(step, range(1, 6)))
    assert [sent.key for sent in client.sent] == ["k1", "k2", "k3", "k4", "k5"]
    assert (summary.rows, summary.produced, summary.confirmed, summary.failed) == (5, 5, 5, 0)


def test_a_full_queue_is_waited_for() -> None:
    client = ListClient(room=2)
    assert go(client, *map(step, range(1, 10))).confirmed == 9
    assert [sent.key for sent in client.sent] == [f"k{n}" for n in range(1, 10)]


def test_events_leave_at_their_moment_and_carry_it() -> None:
    client = ListClient()
    go(client, *map(step, range(1, 4)), pace=at_rate(2))
    assert [sent.at_s for sent in client.sent] == pytest.approx([0, 0.5, 1.0], abs=0.002)
    assert [sent.timestamp_ms - WALL_S * 1000 for sent in client.sent] == [0, 500, 1000]


def test_a_timestamp_of_the_event_is_kept() -> None:
    client = ListClient()
    go(client, step(1, timestamp_ms=42))
    assert [sent.timestamp_ms for sent in client.sent] == [42]


def labelled(client: ListClient, delay_s: float) -> Sender:
    return Sender(client, Route("events", "labels", delay_s))


def test_labels_follow_after_their_delay_and_do_not_hold_events_up() -> None:
    client, watcher = ListClient(), Stopping(after=10**9)
    steps = [step(n, label=n % 2) for n in range(1, 5)]
    summary = go(client, *steps, sender=labelled(client, 1.0), pace=at_rate(2), watcher=watcher)
    for topic, keys in {"events": "k1 k2 k3 k4", "labels": "t1 t2 t3 t4"}.items():
        assert [sent.key for sent in client.sent if sent.topic == topic] == keys.split()
    at = {sent.key: sent.at_s for sent in client.sent}
    assert [at[f"t{n}"] - at[f"k{n}"] for n in range(1, 5)] == pytest.approx([1] * 4, abs=0.01)
    assert watcher.waits == [(2, 1.0)]
    assert summary.labels == 4


def test_a_label_names_its_transaction_and_its_source() -> None:
    client = ListClient()
    go(client, step(1, label=1, timestamp_ms=5000), sender=labelled(client, 2.0))
    label = client.sent[-1]
    assert (label.topic, label.key, label.timestamp_ms) == ("labels", "t1", 7000)
    assert msgspec.json.decode(label.value) == {
        "schema_version": 1,
        "transaction_id": "t1",
        "label": 1,
        "source": "replay",
    }


def test_a_malformed_row_stops_before_what_follows() -> None:
    client, watcher = ListClient(), Stopping(after=10**9)
    summary = go(client, step(1), Malformed(2, 3, "no"), step(3), watcher=watcher)
    assert [sent.key for sent in client.sent] == ["k1"]
    assert (summary.confirmed, summary.malformed, summary.refused) == (1, 1, "line 3: no")
    assert watcher.rows == [Malformed(2, 3, "no")]


def test_a_malformed_row_is_skipped_if_told() -> None:
    client = ListClient()
    sender = Sender(client, Route("events"))
    summary = go(
        client, step(1), Malformed(2, 3, "no"), step(3), sender=sender, skip_malformed=True
    )
    assert (summary.confirmed, summary.malformed, summary.refused) == (2, 1, None)
    assert sender.events.next_number == 4


def test_a_record_that_is_refused_ends_the_replay() -> None:
    client = ListClient(room=1, refuses=KafkaError(KafkaError.INVALID_TIMESTAMP))
    summary = go(client, *map(step, range(1, 100)))
    assert len(client.sent) < 99
    assert summary.failed > 0
    assert summary.failure is not None
    assert "--start-at" in summary.failure


class Fenced(ListClient):
    def produce(self, *_: object, **__: object) -> None:
        raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))


def test_a_record_that_the_client_refuses_ends_the_replay() -> None:
    summary = go(Fenced(), step(1))
    assert (summary.produced, summary.failed) == (0, 1)
    assert summary.failure is not None
    assert summary.failure.startswith("row 1: ")


def test_told_to_stop_it_sends_no_more_and_says_which_labels_wait() -> None:
    client, watcher = ListClient(), Stopping(after=3)
    steps = [step(n, label=0) for n in range(1, 9)]
    summary = go(client, *steps, sender=labelled(client, 60), pace=at_rate(10), watcher=watcher)
    assert summary.confirmed == len(client.sent) < 8
    assert summary.labels_waiting == summary.confirmed
    assert watcher.waits == []


def test_without_an_answer_it_gives_up_once_told_to_stop() -> None:
    client = ListClient(answers=False)
    summary = go(client, step(1), watcher=Stopping(after=1))
    assert summary.failed == 1
    assert summary.failure == "Kafka did not answer within 10 s"


def test_rows_that_are_there_already_are_not_sent_but_their_labels_are() -> None:
    client = ListClient()
    sender = labelled(client, 0.0)
    sender.events = Deliveries(next_number=3, there={4})
    sender.labels = Deliveries(next_number=2)
    summary = go(client, *[step(n, label=0) for n in range(2, 6)], sender=sender)
    assert [s.key for s in client.sent if s.topic == "events"] == ["k3", "k5"]
    assert [s.key for s in client.sent if s.topic == "labels"] == ["t2", "t3", "t4", "t5"]
    assert (summary.already_there, sender.events.next_number, sender.labels.next_number) == (
        2,
        6,
        6,
    )


def test_a_run_that_can_be_resumed_marks_its_records() -> None:
    client = ListClient()
    go(client, step(7), sender=Sender(client, Route("events").marked("abc")))
    assert client.sent[0].headers == [("replay", b"abc:7")]


def test_only_what_is_confirmed_without_a_gap_counts() -> None:
    deliveries = Deliveries()
    deliveries.report(2, None, Place((1, 50)))
    assert deliveries.position() == Position(1, {})
    deliveries.report(1, None, Place((0, 10)))
    assert deliveries.position() == Position(3, {0: 11, 1: 51})
    deliveries.report(3, KafkaError(KafkaError._MSG_TIMED_OUT), Place((0, -1001)))
    deliveries.report(4, None, Place((1, 51)))
    assert deliveries.position() == Position(3, {0: 11, 1: 51})
    assert (deliveries.confirmed, deliveries.failed) == (3, 1)


def test_the_summary_in_words_leaves_out_what_is_nought() -> None:
    words = in_words(Summary(rows=1000, confirmed=990, malformed=10, seconds=2.0, rows_per_s=495.0))
    assert words == "1,000 rows, 990 confirmed by Kafka in 2.0 s (495 rows/s)\n10 malformed"


def test_a_reason_of_kafka_is_one_line() -> None:
    assert "\n" not in explain(KafkaError(KafkaError._MSG_TIMED_OUT, "a\nb"))


def test_the_first_signal_is_noted_and_a_second_one_ends_the_process() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with signals() as seen:
        signal.raise_signal(signal.SIGTERM)
        assert seen.received == signal.SIGTERM
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) is before
