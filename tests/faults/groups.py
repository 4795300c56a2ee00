"""Rows in which the group is on the move."""

import time

from confluent_kafka.admin import AdminClient, NewPartitions

from tests.faults.processes import SLOW, went
from tests.faults.registry import row
from tests.faults.trial import PROTOCOL, Trial
from tests.integration.stream import wait_for

STATIC = {**SLOW, "SCORER_KAFKA_CONSUMER_SESSION_TIMEOUT_MS": "15000"}
MEMBER = "SCORER_KAFKA_CONSUMER_GROUP_INSTANCE_ID"
ASSIGNOR = "SCORER_KAFKA_CONSUMER_PARTITION_ASSIGNMENT_STRATEGY"
KIP_848 = {PROTOCOL: "consumer"}


def storm(trial: Trial, protocol: dict[str, str]) -> None:
    """Let members join and leave while two stay."""
    for name in ("a", "b"):
        trial.keep(name, **SLOW, **protocol).scorer.wait_assigned()
    for _ in trial.pieces(trial.times(15, 3)):
        trial.progress()
        guest = trial.keep("guest", **SLOW, **protocol)
        trial.fault()
        guest.scorer.wait_assigned()
        trial.pause(0.5, 2.0)
        trial.fault()
        trial.demand(guest.stop() == 0, guest.scorer.text())


@row("R22a", "members join and leave, eager")
def eager_storm(trial: Trial) -> None:
    """Take all partitions from all and give them anew."""
    storm(trial, {ASSIGNOR: "range"})


@row("R22b", "members join and leave, cooperative")
def cooperative_storm(trial: Trial) -> None:
    """Take only the partitions that move."""
    storm(trial, {ASSIGNOR: "cooperative-sticky"})


@row("R22c", "members join and leave, KIP-848")
def consumer_storm(trial: Trial) -> None:
    """Let the broker assign."""
    storm(trial, KIP_848)


@row("R23", "static member restarted within its session")
def static_restart(trial: Trial) -> None:
    """Start a static member anew: the other must keep what it has."""
    first = trial.keep("a", **STATIC, **{MEMBER: "a"})
    other = trial.keep("b", **STATIC, **{MEMBER: "b"})
    for kept in (first, other):
        kept.scorer.wait_assigned()
    for i in trial.pieces(trial.times(5, 1)):
        trial.progress()
        if i == 0:  # the group has come to rest
            before = went(other)
        trial.fault()
        trial.demand(first.stop() == 0, first.scorer.text())
        first = trial.keep("a", **STATIC, **{MEMBER: "a"})
        first.scorer.wait_assigned()
    trial.figures["revokes_elsewhere"] = went(other) - before
    trial.demand(went(other) == before, f"the other lost partitions: {other.scorer.text()}")


@row("R24", "two of one group.instance.id")
def same_static_member(trial: Trial) -> None:
    """Start a second process as the same static member: one of the two must end, with an error."""
    kept = trial.keep("a", **STATIC, **{MEMBER: "a"})
    kept.scorer.wait_assigned()
    for _ in trial.pieces(1):
        trial.progress()
        trial.fault()
        begun = time.monotonic()
        other = trial.stream.start(SCORER_REPLICA="b", **STATIC, **{MEMBER: "a"})
        wait_for(
            "one to end",
            lambda: bool(kept.codes) or other.process.poll() is not None,
        )
        trial.figures["ended_in"] = f"{time.monotonic() - begun:.1f} s"
        code = kept.codes[0] if kept.codes else other.process.poll()
        trial.demand(code == 1, f"it ended with {code}")
        if other.process.poll() is None:
            other.kill()


@row("R25", "partitions added, 6 to 12")
def more_partitions(trial: Trial) -> None:
    """Add partitions under load: their records are read from the first one."""
    soon = {"SCORER_KAFKA_CONSUMER_TOPIC_METADATA_REFRESH_INTERVAL_MS": "3000"}
    trial.keep("a", **SLOW, **(soon if trial.quick else {})).scorer.wait_assigned()
    topic = trial.stream.settings.transactions_topic
    for i in trial.pieces(2):
        trial.progress()
        if i == 1:
            with trial.sending:  # the load goes on in between
                trial.partitions = trial.stream.partitions = 2 * trial.partitions
                client = AdminClient({"bootstrap.servers": trial.cluster.bootstrap})
                made = client.create_partitions([NewPartitions(topic, trial.partitions)])
                made[topic].result(30)

                def known() -> bool:
                    found = client.list_topics(topic, timeout=10).topics[topic]
                    return len(found.partitions) == trial.partitions

                wait_for("the new partitions", known)
                trial.connect()
            trial.fault()


@row("R35", "guarantee and group protocol changed, back and forth", guarantees=("at-least-once",))
def changed(trial: Trial) -> None:
    """Stop and start with other settings; each clean stop must repeat nothing."""
    exactly, least = ({"SCORER_GUARANTEE": each} for each in ("exactly-once", "at-least-once"))
    steps = [least, exactly, {**exactly, **KIP_848}, {**least, **KIP_848}, least]
    for i in trial.pieces(len(steps)):
        kept = trial.keep("a", **SLOW, **steps[i])
        kept.scorer.wait_assigned()
        trial.progress()
        trial.fault()
        if i < len(steps) - 1:
            trial.demand(kept.stop() == 0, kept.scorer.text())
    trial.clean = True
