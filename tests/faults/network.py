"""Rows in which the network between scorer and broker misbehaves."""

import time

from tests.faults.answers import OFFSET_COMMIT, PRODUCE
from tests.faults.processes import SLOW, demand_unmoved
from tests.faults.proxy import Act
from tests.faults.registry import row
from tests.faults.trial import Trial
from tests.integration.stream import wait_for
from tests.usage import usage

# Seconds in which a delivery fails: time-outs are 3 (at least once) and 10 (exactly once).
DELIVERY_S = 12.0
# MB. 16 of records fetched ahead, and what the client needs for them.
MOST_GROWN_MB = 64


@row("R12", "network blackhole of 10, 45 and 90 s")
def blackhole(trial: Trial) -> None:
    """Pass nothing for a while, in the middle of the load: nothing may be committed meanwhile."""
    trial.keep("a", **SLOW).scorer.wait_assigned()
    lengths = (10,) if trial.quick else (10, 45, 90)
    for i in trial.pieces(len(lengths)):
        trial.progress()
        trial.pause(0.2, 1.0)
        trial.cluster.proxy.blackhole()
        with trial.outage():
            time.sleep(lengths[i])
            trial.cluster.proxy.heal()


@row("R20", "outcomes that cannot be delivered")
def unwritten(trial: Trial) -> None:
    """Let nothing that is written arrive until its delivery times out: no offset may pass it."""
    trial.keep("a", SCORER_KAFKA_PRODUCER_DELIVERY_TIMEOUT_MS="3000", **SLOW).scorer.wait_assigned()
    for _ in trial.pieces(trial.times(3, 1)):
        trial.progress()
        rule = trial.cluster.proxy.on(PRODUCE, Act.DROP_REQUEST)
        with trial.outage():
            wait_for("a write", lambda: rule.acted > 0)
            time.sleep(DELIVERY_S)
            trial.cluster.proxy.heal()


@row("R13", "connections reset every 100 to 500 ms")
def resets(trial: Trial) -> None:
    """Reset every connection again and again; there must be some progress all the same."""
    trial.keep("a", **SLOW).scorer.wait_assigned()
    lasting_s = 15.0 if trial.quick else 60.0
    for _ in trial.pieces(1, lasting_s=lasting_s):
        trial.progress()
        before = trial.stream.committed()
        until = time.monotonic() + lasting_s
        while time.monotonic() < until:
            trial.cluster.proxy.reset()
            trial.pause(0.1, 0.5)
        trial.fault()
        trial.figures["done_meanwhile"] = trial.stream.committed() - before
        trial.demand(trial.stream.committed() > before, "no progress between resets")


@row("R14", "latency of 200 +- 100 ms at 1 Mbit/s")
def slow_network(trial: Trial) -> None:
    """Delay and throttle all that passes: the group must not notice."""
    kept = trial.keep("a", **SLOW, SCORER_KAFKA_CONSUMER_SESSION_TIMEOUT_MS="15000")
    kept.scorer.wait_assigned()
    lasting_s = 20.0 if trial.quick else 60.0
    for _ in trial.pieces(1, lasting_s=lasting_s):
        trial.progress()
        trial.cluster.proxy.delay(0.2, 0.1)
        trial.cluster.proxy.throttle(125_000)
        time.sleep(lasting_s)
        trial.cluster.proxy.heal()
        trial.fault()
    demand_unmoved(trial, kept)


@row("R19", "producer's queue full")
def full_queue(trial: Trial) -> None:
    """Hold back what is written, with little room for it: no more is read, memory is bounded."""
    room = {"SCORER_KAFKA_PRODUCER_QUEUE_BUFFERING_MAX_MESSAGES": "100"}
    kept = trial.keep("a", **room)
    kept.scorer.wait_assigned()
    for _ in trial.pieces(trial.times(3, 1)):
        trial.progress()
        before = usage(kept.scorer.process.pid).rss_mb
        rule = trial.cluster.proxy.on(PRODUCE, Act.HOLD)
        with trial.outage():
            wait_for("a write", lambda: rule.acted > 0)
            time.sleep(4)
            read = kept.scorer.metric('scorer_stage_seconds_count{stage="score"}')
            time.sleep(4)
            grown = usage(kept.scorer.process.pid).rss_mb - before
            again = kept.scorer.metric('scorer_stage_seconds_count{stage="score"}')
            trial.cluster.proxy.heal()
        trial.figures["rss_delta"] = f"{grown:.0f} MB"
        trial.demand(again == read > 0, f"it scored on: {read} batches, then {again}")
        trial.demand(grown < MOST_GROWN_MB, f"memory grew by {grown:.0f} MB")
    trial.demand("BufferError" not in kept.scorer.text(), kept.scorer.text())


@row("R59", "a commit is not answered", guarantees=("at-least-once",))
def unanswered_commit(trial: Trial) -> None:
    """Let the broker take commits of offsets and the scorer never hear of it."""
    trial.keep("a", **SLOW).scorer.wait_assigned()
    for _ in trial.pieces(trial.times(3, 1)):
        trial.progress()
        trial.meet(OFFSET_COMMIT, Act.RESET_AFTER)
        trial.fault()
