"""The transaction's states: every class of error at every step leads where it must."""

import logging
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from stream_scorer.client_log import ClientLog
from stream_scorer.deadline import HungError
from stream_scorer.errors import DeliveryError, TransactionTrouble
from stream_scorer.guarantee import Commit
from stream_scorer.transaction import (
    INIT_S,
    MOST_FENCED,
    MOST_REPLACED,
    MOST_UNDONE,
    STEP_S,
    WITHIN_S,
    ExactlyOnce,
)
from tests.fakes import Clock
from tests.records import P0, TOPIC

RETRIABLE = KafkaError(KafkaError._TIMED_OUT, "in time", retriable=True)
ABORTABLE = KafkaError(KafkaError.ILLEGAL_GENERATION, "moved", txn_requires_abort=True)
FATAL = KafkaError(KafkaError._FATAL, "done for", fatal=True)


# How the client hands on a fatal error while delivery callbacks run.
def callback_error(error: KafkaError) -> SystemError:
    wrapped = SystemError("returned a result with an exception set")
    wrapped.__cause__ = KafkaException(error)
    return wrapped


FENCED = KafkaError(KafkaError._FENCED, "fenced", fatal=True)
OTHER = KafkaError(KafkaError._STATE, "neither")
Failure = KafkaError | SystemError | HungError
STEPS = ("send_offsets_to_transaction", "commit_transaction")


# What librdkafka logs of a connection that its other side closed.
FAIL_LINE = ("%s [%s] %s", "FAIL", "rdkafka#producer-1", "Disconnected: connection closed by peer")


@dataclass
class ListProducer:
    """Remembers what it is called for; a step fails as it is told to, then works.

    A step that is named in `breaks` meets a broken connection; `poll` hands over the log line.
    """

    log: list[str]
    number: int
    failures: dict[str, list[Failure]]
    client_log: ClientLog
    breaks: list[str]
    lines: list[tuple[str, str, str, str]] = field(default_factory=list)
    offsets: list[list[tuple[str, int, int]]] = field(default_factory=list)
    notes: list[str | None] = field(default_factory=list)

    def _call(self, step: str) -> None:
        self.log.append(f"{step} {self.number}")
        if step in self.breaks:
            self.breaks.remove(step)
            self.lines.append(FAIL_LINE)
        if self.failures.get(step):
            failure = self.failures[step].pop(0)
            raise KafkaException(failure) if isinstance(failure, KafkaError) else failure

    def poll(self, _: float) -> int:
        for line in self.lines:
            self.client_log.log(logging.DEBUG, *line)
        self.lines.clear()
        return 0

    def init_transactions(self, _: float) -> None:
        self._call("init_transactions")

    def begin_transaction(self) -> None:
        self._call("begin_transaction")

    def send_offsets_to_transaction(
        self, places: list[TopicPartition], member: object, _: float
    ) -> None:
        assert member == "a live member"
        self.offsets.append([(p.topic, p.partition, p.offset) for p in places])
        self.notes += [place.metadata for place in places]
        self._call("send_offsets_to_transaction")

    def commit_transaction(self, _: float) -> None:
        self._call("commit_transaction")

    def abort_transaction(self, _: float) -> None:
        self._call("abort_transaction")


@dataclass
class Group:
    member: object | None = "a live member"

    def membership(self) -> object | None:
        return self.member


class Bench:
    """A transaction on producers that fail as they are told to, and a clock that sleeping moves."""

    def __init__(self, **failures: Any) -> None:
        self.log: list[str] = []
        self.client_log = ClientLog()
        self.breaks: list[str] = failures.pop("breaks", [])
        self.producers: list[ListProducer] = []
        self.failures = failures
        self.group = Group()
        self.clock = Clock()
        self.guarantee = ExactlyOnce(
            self.make(),  # type: ignore[arg-type]
            self.make,  # type: ignore[arg-type]
            self.group,
            self.client_log,
            note="common",
            clock=self.clock,
            sleep=self.sleep,
            within=lambda call, _: call(),
        )

    def make(self) -> ListProducer:
        number = len(self.producers) + 1
        self.producers.append(
            ListProducer(self.log, number, self.failures, self.client_log, self.breaks)
        )
        return self.producers[-1]

    def sleep(self, seconds: float) -> None:
        self.clock.now += seconds

    def commit(self) -> Commit:
        self.guarantee.begin()
        return self.guarantee.commit({P0: 7})


def endless(error: KafkaError) -> list[Failure]:
    return [error] * 10_000


def test_written_and_offsets_end_together() -> None:
    bench = Bench()
    assert bench.commit() is Commit.DONE
    assert bench.log == [
        "init_transactions 1",
        "begin_transaction 1",
        "send_offsets_to_transaction 1",
        "commit_transaction 1",
    ]
    assert bench.producers[0].offsets == [[(TOPIC, 0, 7)]]


def test_next_transaction_begins_with_the_next_write_and_not_before() -> None:
    bench = Bench()
    bench.commit()
    assert bench.log.count("begin_transaction 1") == 1
    for _ in range(3):
        bench.guarantee.begin()
    assert bench.log.count("begin_transaction 1") == 2


def test_a_note_is_kept_with_its_offset_and_the_common_one_with_the_others() -> None:
    bench = Bench()
    bench.guarantee.commit({P0: 7, (TOPIC, 1): 8}, {(TOPIC, 1): "beside"})
    assert bench.producers[0].offsets == [[(TOPIC, 0, 7), (TOPIC, 1, 8)]]
    assert bench.producers[0].notes == ["common", "beside"]


def test_offsets_of_records_that_led_to_nothing_are_committed_in_a_transaction_too() -> None:
    bench = Bench()
    assert bench.guarantee.commit({P0: 3}) is Commit.DONE
    assert "begin_transaction 1" in bench.log


@pytest.mark.parametrize("step", STEPS)
def test_step_that_may_be_repeated_is_repeated_with_the_same_arguments(step: str) -> None:
    bench = Bench(**{step: [RETRIABLE, RETRIABLE]})
    assert bench.commit() is Commit.DONE
    assert bench.log.count(f"{step} 1") == 3
    assert all(each == [(TOPIC, 0, 7)] for each in bench.producers[0].offsets)
    assert len(bench.producers) == 1


@pytest.mark.parametrize("step", STEPS)
def test_abortable_error_is_aborted_and_the_producer_goes_on(step: str) -> None:
    bench = Bench(**{step: [ABORTABLE]})
    assert bench.commit() is Commit.UNDONE
    assert bench.log[-1] == "abort_transaction 1"
    assert bench.commit() is Commit.DONE
    assert len(bench.producers) == 1


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("error", [FATAL, FENCED, OTHER], ids=["fatal", "fenced", "unclassified"])
def test_error_that_leaves_the_outcome_unknown_takes_a_new_producer(
    step: str, error: KafkaError
) -> None:
    bench = Bench(**{step: [error]})
    assert bench.commit() is Commit.UNDONE
    assert "abort_transaction 1" not in bench.log, "whether there is anything to abort is not known"
    assert bench.log[-1] == "init_transactions 2"
    assert bench.commit() is Commit.DONE
    assert bench.log[-1] == "commit_transaction 2"


@pytest.mark.parametrize("step", STEPS)
def test_step_that_times_out_for_good_takes_a_new_producer_within_its_budget(step: str) -> None:
    bench = Bench(**{step: endless(RETRIABLE)})
    before = bench.clock.now
    assert bench.commit() is Commit.UNDONE
    assert bench.clock.now - before == pytest.approx(STEP_S, abs=0.2)
    assert bench.log[-1] == "init_transactions 2"


@pytest.mark.parametrize("error", [FATAL, OTHER, ABORTABLE], ids=["fatal", "other", "abortable"])
def test_abort_that_fails_takes_a_new_producer(error: KafkaError) -> None:
    bench = Bench(commit_transaction=[ABORTABLE], abort_transaction=[error])
    assert bench.commit() is Commit.UNDONE
    assert bench.log[-2:] == ["abort_transaction 1", "init_transactions 2"]


def test_fatal_error_that_comes_up_in_a_delivery_callback_is_known_for_what_it_is() -> None:
    bench = Bench(commit_transaction=[callback_error(FENCED)])
    assert bench.commit() is Commit.UNDONE
    assert bench.log[-1] == "init_transactions 2"


@pytest.mark.parametrize("step", STEPS)
def test_call_that_never_returns_takes_a_new_producer(step: str) -> None:
    bench = Bench(**{step: [HungError()]})
    assert bench.commit() is Commit.UNDONE
    assert bench.log[-1] == "init_transactions 2"
    assert bench.commit() is Commit.DONE


def test_exception_that_the_client_lost_on_the_way_leaves_the_outcome_unknown() -> None:
    lost = SystemError("returned NULL without setting an exception")
    bench = Bench(commit_transaction=[lost])
    assert bench.commit() is Commit.UNDONE
    assert bench.log[-1] == "init_transactions 2"


def replaced_too_often(cause: Exception | None) -> str:
    """Replace a producer once too often for deliveries that fail of a cause; return the error."""
    bench = Bench()

    def fail() -> bool:
        bench.guarantee.begin()
        error = DeliveryError("a record was not taken")
        error.__cause__ = cause
        return bench.guarantee.undo(failed=error)

    for _ in range(MOST_REPLACED):
        assert fail()
        assert bench.commit() is Commit.DONE
    with pytest.raises(TransactionTrouble) as raised:
        fail()
    return str(raised.value)


def test_producers_that_are_replaced_again_and_again_end_the_process() -> None:
    text = replaced_too_often(None)
    assert text.startswith("6 producers were replaced within 300 s")
    assert text.count("a record was not taken") == 1


def test_network_that_fails_again_and_again_is_not_blamed_on_another_scorer() -> None:
    text = replaced_too_often(KafkaException(KafkaError(KafkaError._TIMED_OUT, "in time")))
    assert "SCORER_REPLICA" not in text
    assert "look at the brokers and at the network" in text


def test_producer_that_may_have_been_fenced_within_a_flush_names_the_other_scorer() -> None:
    text = replaced_too_often(SystemError("returned NULL without setting an exception"))
    assert "give each scorer a SCORER_REPLICA of its own" in text


def test_abort_that_may_be_repeated_is_repeated() -> None:
    bench = Bench(commit_transaction=[ABORTABLE], abort_transaction=[RETRIABLE])
    assert bench.commit() is Commit.UNDONE
    assert bench.log[-2:] == ["abort_transaction 1"] * 2


def test_abort_that_times_out_for_good_takes_a_new_producer() -> None:
    bench = Bench(commit_transaction=[ABORTABLE], abort_transaction=endless(RETRIABLE))
    assert bench.commit() is Commit.UNDONE
    assert bench.log[-1] == "init_transactions 2"


def test_new_producer_waits_for_the_end_of_what_the_last_one_left_open() -> None:
    bench = Bench(init_transactions=[RETRIABLE] * 50)
    assert bench.commit() is Commit.DONE


@pytest.mark.parametrize(
    "errors", [endless(RETRIABLE), [FATAL], [OTHER]], ids=["time-out", "fatal", "other"]
)
def test_producer_that_cannot_begin_ends_the_process_within_bounds(
    errors: list[KafkaError],
) -> None:
    with pytest.raises(TransactionTrouble, match="cannot begin"):
        Bench(init_transactions=list(errors))


def test_new_producer_that_cannot_begin_ends_the_process() -> None:
    bench = Bench(commit_transaction=[FATAL])
    bench.failures["init_transactions"] = endless(RETRIABLE)
    before = bench.clock.now
    with pytest.raises(TransactionTrouble, match="cannot begin"):
        bench.commit()
    assert bench.clock.now - before == pytest.approx(INIT_S, abs=0.2)


@pytest.mark.parametrize("error", [FATAL, OTHER, ABORTABLE])
def test_transaction_that_cannot_begin_is_an_error_of_the_write(error: KafkaError) -> None:
    bench = Bench(begin_transaction=[error])
    with pytest.raises(DeliveryError, match="no transaction can begin"):
        bench.guarantee.begin()


def test_scorer_that_is_no_member_commits_nothing() -> None:
    bench = Bench()
    bench.group.member = None
    assert bench.commit() is Commit.UNDONE
    assert bench.producers[0].offsets == []
    assert bench.log[-1] == "abort_transaction 1"


def test_undo_aborts_what_is_open_and_nothing_else() -> None:
    bench = Bench()
    assert not bench.guarantee.undo(failed=None)
    bench.guarantee.begin()
    assert bench.guarantee.undo(failed=None)
    assert bench.log[-1] == "abort_transaction 1"
    assert not bench.guarantee.undo(failed=None)


def test_what_could_not_be_written_takes_a_new_producer() -> None:
    bench = Bench()
    bench.guarantee.begin()
    assert bench.guarantee.undo(failed=DeliveryError("a record was not taken"))
    assert bench.log[-1] == "init_transactions 2"
    assert "abort_transaction 1" not in bench.log


def test_endless_undoing_ends_the_process() -> None:
    bench = Bench(commit_transaction=endless(ABORTABLE))
    for _ in range(MOST_UNDONE):
        assert bench.commit() is Commit.UNDONE
    with pytest.raises(TransactionTrouble, match=r"6 transactions in a row were undone.*moved"):
        bench.commit()


def test_commit_between_makes_undoing_bearable() -> None:
    bench = Bench()
    for _ in range(3 * MOST_UNDONE):
        bench.failures["commit_transaction"] = [ABORTABLE]
        assert bench.commit() is Commit.UNDONE
        assert bench.commit() is Commit.DONE


def test_undoing_now_and_then_is_bearable() -> None:
    bench = Bench(commit_transaction=endless(ABORTABLE))
    for _ in range(3 * MOST_UNDONE):
        assert bench.commit() is Commit.UNDONE
        bench.clock.now += WITHIN_S / MOST_UNDONE + 1


def test_scorer_that_is_fenced_while_it_writes_is_counted_alike() -> None:
    bench = Bench()
    for _ in range(MOST_FENCED):
        bench.failures["abort_transaction"] = [FENCED]
        bench.guarantee.begin()
        assert bench.guarantee.undo(failed=None)
        assert bench.commit() is Commit.DONE
    bench.failures["abort_transaction"] = [FENCED]
    bench.guarantee.begin()
    with pytest.raises(TransactionTrouble, match="SCORER_REPLICA of its own"):
        bench.guarantee.undo(failed=None)


def test_scorer_that_is_fenced_again_and_again_ends_though_it_commits_between() -> None:
    bench = Bench()
    for _ in range(MOST_FENCED):
        bench.failures["commit_transaction"] = [FENCED]
        assert bench.commit() is Commit.UNDONE
        assert bench.commit() is Commit.DONE
    bench.failures["commit_transaction"] = [FENCED]
    with pytest.raises(TransactionTrouble, match="SCORER_REPLICA of its own"):
        bench.commit()


def test_who_is_not_to_fence_back_ends_at_the_first_time() -> None:
    bench = Bench(commit_transaction=[FENCED])
    bench.guarantee = ExactlyOnce(
        bench.make(),  # type: ignore[arg-type]
        bench.make,  # type: ignore[arg-type]
        bench.group,
        bench.client_log,
        most_fenced=0,
        if_fenced="look there",
    )
    with pytest.raises(TransactionTrouble, match=r"took over .* \(1 x\): look there"):
        bench.commit()
    assert len(bench.producers) == 2, "that of the bench, and one"


@pytest.mark.parametrize("step", STEPS)
def test_late_request_of_a_broken_connection_meets_a_newer_producer(step: str) -> None:
    bench = Bench(breaks=[step])
    assert bench.commit() is Commit.DONE
    assert bench.log[-1] == "commit_transaction 1", "only the next transaction is in danger"
    assert bench.commit() is Commit.DONE
    assert bench.log[4:6] == ["init_transactions 2", "begin_transaction 2"]


def test_late_request_of_an_aborted_transaction_meets_a_newer_producer() -> None:
    bench = Bench(breaks=["abort_transaction"], commit_transaction=[ABORTABLE])
    assert bench.commit() is Commit.UNDONE
    assert bench.commit() is Commit.DONE
    assert bench.log[-1] == "commit_transaction 2"


def test_connection_that_breaks_between_transactions_costs_no_producer() -> None:
    bench = Bench()
    bench.commit()
    bench.producers[0].lines.append(FAIL_LINE)
    assert bench.commit() is Commit.DONE
    assert len(bench.producers) == 1


def test_connections_that_break_again_and_again_end_nothing() -> None:
    bench = Bench(breaks=["commit_transaction"] * 3 * MOST_REPLACED)
    for _ in range(3 * MOST_REPLACED):
        assert bench.commit() is Commit.DONE
    assert len(bench.producers) == 3 * MOST_REPLACED


def test_beginning_of_a_partition_is_committed_in_a_transaction_of_its_own() -> None:
    bench = Bench()
    assert bench.guarantee.anchor({P0: 3})
    assert bench.producers[0].offsets == [[(TOPIC, 0, 3)]]
    assert bench.log[-1] == "commit_transaction 1"


def test_beginning_of_a_partition_waits_for_the_open_transaction_and_for_the_group() -> None:
    bench = Bench()
    bench.guarantee.begin()
    assert not bench.guarantee.anchor({P0: 3})
    bench.guarantee.commit({P0: 7})
    bench.group.member = None
    assert not bench.guarantee.anchor({P0: 3})
    assert bench.producers[0].offsets == [[(TOPIC, 0, 7)]]
