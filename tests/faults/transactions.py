"""Rows in which a transaction is aborted, left open, fenced, or nobody knows how it ended."""

import signal
import time

from confluent_kafka import IsolationLevel, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from tests.faults.answers import END_TXN
from tests.faults.processes import LONG, SLOW
from tests.faults.proxy import Act
from tests.faults.registry import row
from tests.faults.trial import Trial
from tests.integration.stream import wait_for

EOS = ("exactly-once",)
# Seconds: a transaction's time-out, and how often the broker looks for those that have timed out.
TIME_OUT_S, LOOKS_S = 10.0, 10.0
# Seconds after a pause in which the end of a transaction may still be under way.
UNDER_WAY_S = 0.3


@row("R30", "two of one transactional.id", guarantees=EOS)
def two_of_one_name(trial: Trial) -> None:
    """Take over the scorer's `transactional.id`, first with a bare producer, then with another."""
    kept = trial.keep("a", **SLOW)
    kept.scorer.wait_assigned()
    name = f"{trial.stream.settings.group_id}-a"
    for i in trial.pieces(2):
        trial.progress()
        if i == 0:
            thief = Producer(
                {"bootstrap.servers": trial.cluster.bootstrap, "transactional.id": name}
            )
            thief.init_transactions(30)
            trial.fault()
            wait_for("a new producer", lambda: "new producer takes over" in kept.scorer.text())
        else:
            other = trial.stream.start(SCORER_REPLICA="a", **SLOW)
            trial.fault()
            begun = time.monotonic()
            wait_for(
                "one of two to give up",
                lambda: bool(kept.codes) or other.process.poll() is not None,
                timeout_s=180,
            )
            said = [each.text() for each in trial.stream.scorers]
            trial.demand(
                any("SCORER_REPLICA of its own" in text for text in said),
                "the one that ended does not say why",
            )
            trial.figures["gave_up_in"] = f"{time.monotonic() - begun:.1f} s"
            if other.process.poll() is None:
                other.wait_assigned()
                told = other.stop()  # the kept one is back by now, and may undo its last commit
                undone = told == 1 and "the last commit was undone" in other.text()
                trial.demand(told == 0 or undone, f"the other stops with {told}")


@row("R31", "paused for longer than a transaction may take", guarantees=EOS)
def timed_out(trial: Trial) -> None:
    """Pause the scorer in the middle of a transaction until the broker has aborted it."""
    patient = {"SCORER_KAFKA_CONSUMER_SESSION_TIMEOUT_MS": "45000"}
    kept = trial.keep("a", **LONG, **patient)
    kept.scorer.wait_assigned()
    for _ in trial.pieces(trial.times(3, 1)):
        trial.progress()
        trial.pause(0.2, 1.0)
        kept.send(signal.SIGSTOP)
        time.sleep(TIME_OUT_S + LOOKS_S + 2)
        kept.send(signal.SIGCONT)
        trial.fault()


@row(
    "R32",
    "every third transaction aborted",
    guarantees=EOS,
    command=("tests.faults.buggy", "every-third-aborted"),
)
def every_third_aborted(trial: Trial) -> None:
    """Score with a scorer that aborts every third transaction and goes back."""
    kept = trial.keep("a")
    kept.scorer.wait_assigned()

    def undone() -> int:
        return kept.scorer.text().count("Transaction undone")

    for _ in trial.pieces(trial.times(20, 5), lasting_s=2.0):
        before = undone()
        wait_for("an abort", lambda: undone() > before)
    trial.figures["aborted"] = undone()


@row("R33", "killed in a transaction, never started again", guarantees=EOS)
def left_open(trial: Trial) -> None:
    """Kill a scorer for good; another takes over, and readers must not wait for ever."""
    settings = trial.stream.settings
    outputs = [settings.scores_topic, settings.alerts_topic, settings.dead_letters_topic]
    first = trial.keep("a", **LONG)
    first.scorer.wait_assigned()

    def stopped_within() -> bool:
        """Pause it; let it go on if no transaction is open."""
        first.send(signal.SIGSTOP)
        time.sleep(UNDER_WAY_S)
        if waiting(trial, outputs) > 0:
            return True
        first.send(signal.SIGCONT)
        trial.pause(0.1, 0.5)
        return False

    for _ in trial.pieces(1, lasting_s=20.0):
        trial.progress()
        wait_for("a moment within a transaction", stopped_within)
        trial.fault()
        begun = time.monotonic()
        first.end()
        wait_for("the readers", lambda: waiting(trial, outputs) == 0)
        blocked_s = time.monotonic() - begun
        trial.figures["blocked"] = f"{blocked_s:.1f} s"
        trial.demand(blocked_s <= TIME_OUT_S + 2 * LOOKS_S, f"readers waited {blocked_s:.1f} s")
        trial.keep("b", **SLOW).scorer.wait_assigned()


def waiting(trial: Trial, topics: list[str]) -> int:
    """Return how many records committed readers cannot see yet, as a transaction is open."""
    client = AdminClient({"bootstrap.servers": trial.cluster.bootstrap, "log_level": 0})
    places = [TopicPartition(t, n) for t in topics for n in range(trial.stream.partitions)]
    latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    ends: list[int] = []
    for level in (IsolationLevel.READ_UNCOMMITTED, IsolationLevel.READ_COMMITTED):
        asked = client.list_offsets(dict.fromkeys(places, latest), isolation_level=level)
        ends.append(sum(each.result(30).offset for each in asked.values()))
    return ends[0] - ends[1]


@row("R58", "the end of a transaction is not answered", guarantees=EOS)
def unknown_outcome(trial: Trial) -> None:
    """Let the broker end transactions and the scorer never hear of it."""
    trial.keep("a", **SLOW).scorer.wait_assigned()
    for _ in trial.pieces(trial.times(3, 1)):
        trial.progress()
        trial.meet(END_TXN, Act.DROP_ANSWER)
        trial.fault()
