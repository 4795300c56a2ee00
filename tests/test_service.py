"""When it is safe to commit."""

from dataclasses import replace

import numpy as np
import pytest
from confluent_kafka import Message
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from stream_scorer.errors import DeliveryError, KafkaTrouble, TooManyDeadLetters
from stream_scorer.fuse import Fuse
from stream_scorer.guarantee import Commit
from stream_scorer.health import Health
from stream_scorer.live import LiveScorer
from stream_scorer.metrics import Metrics
from stream_scorer.model import Model
from stream_scorer.service import Pace, Service
from tests.fakes import Clock, ListGuarantee, ListSink, ListSource
from tests.records import FRAUD, GOOD, P0, TOPIC, record
from tests.test_scorer import make_scorer

P1 = (TOPIC, 1)


class Bench:
    """A service among fakes."""

    def __init__(self, model: Model, *batches: object, interval_s: float = 0.1) -> None:
        self.log: list[object] = []
        self.source = ListSource(self.log, list(batches))  # type: ignore[arg-type]
        self.sink = ListSink(self.log)
        self.guarantee = ListGuarantee(self.source)
        self.clock = Clock()
        self.health = Health(self.clock)
        self.registry = CollectorRegistry()
        metrics = Metrics(self.registry, model)
        self.live = LiveScorer(make_scorer(model), metrics, group="g", shadow_rows=0)
        self.service = Service(
            source=self.source,
            scorer=self.live,
            sinks=[self.sink],
            guarantee=self.guarantee,
            fuse=Fuse(in_a_row=3, ratio=1),
            metrics=metrics,
            health=self.health,
            pace=Pace(commit_interval_s=interval_s),
            clock=self.clock,
        )
        self.source.on_rebalance = self.service.rebalanced

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


def batch(*offsets: int, value: bytes = GOOD, partition: int = 0) -> list[Message]:
    return [record(offset, value, partition=partition) for offset in offsets]


def test_alert_leaves_at_once_and_the_commit_follows_by_interval(tiny: Model) -> None:
    bench = Bench(tiny, batch(0, 1, value=FRAUD), batch(2), batch(3))
    bench.service.turn()
    assert bench.log == [("write", 2, 0)]
    bench.service.turn()
    assert bench.log == [("write", 2, 0), ("write", 0, 0)]
    bench.clock.now += 0.1
    bench.service.turn()
    assert bench.log[3:] == ["flush", ("commit", {P0: 4})]


def test_alert_that_nobody_sees_before_the_commit_does_not_wait_for_the_interval(
    tiny: Model,
) -> None:
    bench = Bench(tiny, batch(0), batch(1, value=FRAUD), batch(2))
    bench.guarantee.hidden_until_commit = True
    for _ in range(3):
        bench.service.turn()
    commit = ["flush", ("commit", {P0: 2})]
    assert bench.log == [("write", 0, 0), ("write", 1, 0), *commit, ("write", 0, 0)]


def test_backlog_is_committed_by_interval_whatever_is_in_it(tiny: Model) -> None:
    bench = Bench(tiny, batch(*range(1024), value=FRAUD), batch(1024))
    bench.guarantee.hidden_until_commit = True
    bench.service.turn()
    assert bench.log == [("write", 1024, 0)]
    bench.service.turn()
    assert bench.log[-1] == ("commit", {P0: 1025}), "the backlog is over: now it need not wait"


def test_commit_comes_when_idle(tiny: Model) -> None:
    bench = Bench(tiny, batch(0))
    bench.service.turn()
    bench.service.turn()
    assert bench.log == [("write", 0, 0), "flush", ("commit", {P0: 1})]


def test_nothing_new_is_not_committed_again(tiny: Model) -> None:
    bench = Bench(tiny, batch(0))
    for _ in range(5):
        bench.service.turn()
    assert bench.log.count(("commit", {P0: 1})) == 1


def test_nothing_is_committed_unless_all_that_was_written_is_acknowledged(tiny: Model) -> None:
    bench = Bench(tiny, batch(0))
    bench.sink.fails = True
    bench.service.turn()
    with pytest.raises(DeliveryError):
        bench.service.turn()
    assert bench.log == [("write", 0, 0)]


def test_dead_letters_offset_is_committed_too(tiny: Model) -> None:
    bench = Bench(tiny, [record(0, GOOD), record(1, b"{")])
    bench.service.turn()
    bench.service.turn()
    assert bench.log == [("write", 0, 1), "flush", ("commit", {P0: 2})]
    assert bench.value("scorer_dead_letters_total", reason="DECODE") == 1


def test_poll_does_not_wait_beyond_the_moment_a_commit_is_due(tiny: Model) -> None:
    bench = Bench(tiny, batch(0), batch(1), interval_s=0.05)
    bench.service.turn()
    bench.clock.now += 0.02
    bench.service.turn()
    assert bench.source.timeouts == [0.1, pytest.approx(0.03)]


def test_revoked_partitions_are_committed_while_they_are_still_ours(tiny: Model) -> None:
    bench = Bench(tiny, ("assigned", [P0, P1]), batch(4), ("revoked", [P0]))
    for _ in range(3):
        bench.service.turn()
    assert bench.log == [("write", 0, 0), "flush", ("commit", {P0: 5})]


def test_lost_partitions_are_forgotten_not_committed(tiny: Model) -> None:
    bench = Bench(
        tiny,
        ("assigned", [P0, P1]),
        batch(4),
        batch(8, partition=1),
        ("lost", [P0]),
    )
    for _ in range(5):
        bench.service.turn()
    assert ("commit", {P1: 9}) in bench.log
    assert not any(P0 in entry[1] for entry in bench.log if entry[0] == "commit")  # type: ignore[index]


def test_what_could_not_be_committed_at_revoke_is_left_to_the_next_owner(tiny: Model) -> None:
    bench = Bench(tiny, ("assigned", [P0]), batch(4), ("revoked", [P0]))
    bench.source.refuse_commits = 1
    for _ in range(5):
        bench.service.turn()
    assert bench.log == [("write", 0, 0), "flush"]


def test_commit_that_is_not_possible_yet_is_tried_again(tiny: Model) -> None:
    bench = Bench(tiny, batch(0))
    bench.source.refuse_commits = 2
    for _ in range(4):
        bench.service.turn()
    assert bench.log[-1] == ("commit", {P0: 1})
    assert bench.value("scorer_commits_total") == 1


def test_stop_commits_what_is_done_then_leaves_the_group(tiny: Model) -> None:
    bench = Bench(tiny)
    bench.service.turn()
    bench.source.batches.append(batch(0))
    bench.service.turn()
    bench.service.stop()
    bench.service.run()
    assert bench.log == [("write", 0, 0), "flush", ("commit", {P0: 1}), "close"]


def test_undone_commit_goes_back_and_forgets_what_was_done(tiny: Model) -> None:
    bench = Bench(tiny, batch(0), [], batch(0))
    bench.guarantee.answers = [Commit.UNDONE]
    for _ in range(4):
        bench.service.turn()
    write = ("write", 0, 0)
    assert bench.log == [write, "flush", "rewind", write, "flush", ("commit", {P0: 1})]
    assert bench.value("scorer_transactions_undone_total") == 1
    assert bench.sink.forgotten == 1


def test_what_is_undone_says_again_who_scores_and_its_dead_letters_count_once(tiny: Model) -> None:
    bad = batch(1, 2, 3, value=b"{")
    bench = Bench(tiny, ("assigned", [P0]), batch(0), [], bad, [], bad)
    bench.guarantee.answers = [Commit.DONE, Commit.UNDONE]
    for _ in range(7):
        bench.service.turn()
    assert bench.sink.handovers == [1, 0, 1]
    assert bench.log.count(("write", 0, 3)) == 2


def test_write_that_fails_is_taken_back_if_the_guarantee_can(tiny: Model) -> None:
    bench = Bench(tiny, batch(0), batch(0))
    bench.guarantee.can_undo = bench.sink.refuses = True
    bench.service.turn()
    bench.sink.refuses = False
    bench.service.turn()
    bench.service.turn()
    assert bench.log == ["undo", "rewind", ("write", 0, 0), "flush", ("commit", {P0: 1})]


def test_write_that_fails_and_cannot_be_taken_back_ends_the_process(tiny: Model) -> None:
    bench = Bench(tiny, batch(0))
    bench.sink.refuses = True
    with pytest.raises(DeliveryError):
        bench.service.turn()


def test_what_is_not_acknowledged_is_taken_back_if_the_guarantee_can(tiny: Model) -> None:
    bench = Bench(tiny, batch(0))
    bench.guarantee.can_undo = bench.sink.fails = True
    bench.service.turn()
    bench.service.turn()
    assert bench.log == [("write", 0, 0), "undo", "rewind"]


def test_lost_partitions_take_back_all_that_is_not_committed(tiny: Model) -> None:
    bench = Bench(tiny, ("assigned", [P0, P1]), batch(4), batch(8, partition=1), ("lost", [P0]))
    bench.guarantee.can_undo = True
    for _ in range(5):
        bench.service.turn()
    assert bench.log[2:] == ["undo", "rewind"]


def test_stop_that_is_undone_leaves_the_group_and_says_that_records_come_again(
    tiny: Model,
) -> None:
    bench = Bench(tiny, batch(0))
    bench.guarantee.answers = [Commit.UNDONE]
    bench.service.turn()
    bench.service.stop()
    with pytest.raises(KafkaTrouble, match="the last commit was undone: the records since"):
        bench.service.run()
    assert bench.log == [("write", 0, 0), "flush", "rewind", "close"]


def test_stop_whose_partitions_are_lost_says_that_records_come_again(tiny: Model) -> None:
    bench = Bench(tiny, ("assigned", [P0]), batch(0), ("lost", [P0]))
    bench.guarantee.answers = [Commit.LATER]
    for _ in range(2):
        bench.service.turn()
    bench.service.stop()
    with pytest.raises(KafkaTrouble, match="the last commit was undone"):
        bench.service.run()


def test_what_was_undone_before_the_stop_is_none_of_its_business(tiny: Model) -> None:
    bench = Bench(tiny, batch(0), [], batch(0))
    bench.guarantee.answers = [Commit.UNDONE]
    for _ in range(3):
        bench.service.turn()
    bench.service.stop()
    bench.service.run()
    assert bench.log[-2:] == [("commit", {P0: 1}), "close"]


def test_blown_fuse_ends_the_process_before_the_batch_is_written_or_committed(tiny: Model) -> None:
    bench = Bench(tiny, batch(0), batch(1, 2, 3, 4, value=b"{"))
    bench.service.turn()
    with pytest.raises(TooManyDeadLetters, match="4 records in a row"):
        bench.service.turn()
    assert bench.log == [("write", 0, 0)]


def test_failure_of_another_thread_ends_the_loop_and_nothing_more_is_committed(tiny: Model) -> None:
    bench = Bench(tiny, batch(0))
    bench.service.turn()
    bench.service.fail(KafkaTrouble("the control topic is gone"))
    with pytest.raises(KafkaTrouble, match="control topic"):
        bench.service.run()
    assert bench.log == [("write", 0, 0)]


def test_candidate_scores_what_has_been_written_never_before(tiny: Model) -> None:
    bench = Bench(tiny, batch(0), batch(1))
    seen: list[object] = []

    class Watching:
        def run(self, *_: object) -> list[NDArray[np.float32]]:
            seen.extend(bench.log)
            return [np.zeros(1, dtype=np.float32)] * 2

    bench.live.offer(make_scorer(replace(tiny, sha256="new", session=Watching())))
    bench.service.turn()
    assert seen == [("write", 0, 0)]


def test_stop_without_a_last_commit_is_an_error(tiny: Model) -> None:
    bench = Bench(tiny, batch(0))
    bench.source.refuse_commits = 10**9
    bench.service.turn()
    bench.service.stop()
    ticking = bench.source.poll

    def poll(limit: int, timeout_s: float) -> object:
        bench.clock.now += 1
        return ticking(limit, timeout_s)

    bench.source.poll = poll  # type: ignore[method-assign,assignment]
    with pytest.raises(KafkaTrouble, match="scored again"):
        bench.service.run()
    assert "close" not in bench.log


def test_counts_are_right_after_a_mixed_batch(tiny: Model) -> None:
    bench = Bench(tiny, [record(0, GOOD), record(1, FRAUD), record(2, None), record(3, b"{")])
    bench.service.turn()
    assert bench.value("scorer_records_total") == 4
    assert bench.value("scorer_scored_total") == 2
    assert bench.value("scorer_alerts_total") == 1
    assert bench.value("scorer_dead_letters_total", reason="TOMBSTONE") == 1
    assert bench.value("scorer_batch_records_sum") == 4
    assert bench.value("scorer_probability_count") == 2


def test_health_follows_the_loop(tiny: Model) -> None:
    bench = Bench(tiny, ("assigned", [P0]), ("revoked", [P0]))
    assert bench.health.live() == (True, "starting")
    assert not bench.health.ready()[0]
    bench.service.turn()
    bench.service.turn()
    assert not bench.health.ready()[0]
    bench.source.batches.append(("assigned", [P0]))
    bench.service.turn()
    bench.service.turn()
    assert bench.health.ready() == (True, "1 partitions, polled 0.0 s ago")
    bench.clock.now += 60
    assert bench.health.live()[0]
    assert not bench.health.ready()[0]
    bench.clock.now += 60
    assert not bench.health.live()[0]


def test_once_it_is_told_to_stop_it_lives_and_is_not_ready(tiny: Model) -> None:
    bench = Bench(tiny, ("assigned", [P0]), batch(0))
    bench.service.turn()
    bench.service.turn()
    assert bench.health.ready()[0]
    bench.service.stop()
    bench.service.run()
    assert bench.health.live()[0]
    assert bench.health.ready() == (False, "draining: what is done is being committed")


def test_loop_is_looked_at_from_before_its_first_poll_on(tiny: Model) -> None:
    bench = Bench(tiny)
    assert bench.health.turned is None
    bench.service.stop()
    bench.service.run()
    assert bench.health.turned is not None
