"""Rows on three brokers: three copies of everything, of which two must be there."""

import signal
import time

from confluent_kafka.admin import AdminClient

from tests.faults.processes import SLOW, went
from tests.faults.registry import row
from tests.faults.trial import Trial
from tests.integration.stream import wait_for

# Of `LOCAL_SETTINGS`: partitions of the topic that holds the transactions' states.
STATE_PARTITIONS = 4
# Seconds that the load lasts while three brokers are bounced.
BOUNCES_S = 45.0
STATE_TOPIC = "__transaction_state"
PATIENT = {**SLOW, "SCORER_KAFKA_CONSUMER_SESSION_TIMEOUT_MS": "30000"}


def group_coordinator(trial: Trial) -> int:
    """Return which broker, from 0, coordinates the scorers' group."""
    group = trial.stream.settings.group_id
    client = AdminClient({"bootstrap.servers": trial.cluster.bootstrap, "log_level": 0})
    described = client.describe_consumer_groups([group])[group].result(30)
    return int(described.coordinator.id) - 1


def transaction_coordinator(trial: Trial, name: str) -> int:
    """Return which broker, from 0, coordinates a `transactional.id`.

    It leads the partition that Java's hash of the id points to (Kafka's TransactionStateManager).
    """
    code = 0
    for each in name.encode("utf-16-be")[1::2]:
        code = (31 * code + each) & 0xFFFFFFFF
    partition = (code & 0x7FFFFFFF) % STATE_PARTITIONS
    client = AdminClient({"bootstrap.servers": trial.cluster.bootstrap, "log_level": 0})
    topic = client.list_topics(STATE_TOPIC, timeout=30).topics[STATE_TOPIC]
    return int(topic.partitions[partition].leader) - 1


def bounce(trial: Trial, broker: int) -> None:
    """Kill a broker, start it again, and wait until it has caught up."""
    trial.cluster.end(signal.SIGKILL, broker)
    trial.fault()
    trial.pause(1.0, 3.0)  # the other two go on alone
    trial.cluster.start(broker)
    wait_for("all copies in sync", lambda: in_sync(trial))


def in_sync(trial: Trial) -> bool:
    """Tell whether every partition has all its copies."""
    client = AdminClient({"bootstrap.servers": trial.cluster.bootstrap, "log_level": 0})
    topics = client.list_topics(timeout=30).topics.values()
    return all(
        len(each.isrs) == len(each.replicas)
        for topic in topics
        for each in topic.partitions.values()
    )


@row("R10", "three brokers, each killed and started in turn", brokers=3)
def rolling_bounce(trial: Trial) -> None:
    """Kill one broker after the other."""
    kept = trial.keep("a", **PATIENT)
    kept.scorer.wait_assigned()
    for _ in trial.pieces(trial.times(3, 1), lasting_s=BOUNCES_S):
        trial.progress()
        for broker in range(trial.cluster.size):
            bounce(trial, broker)
    trial.figures["rebalances"] = went(kept)


@row("R11", "three brokers, the coordinators killed", brokers=3)
def coordinators(trial: Trial) -> None:
    """Kill the group's coordinator, then that of the transactions."""
    kept = trial.keep("a", **PATIENT)
    kept.scorer.wait_assigned()
    for i in trial.pieces(2):
        trial.progress()
        name = f"{trial.stream.settings.group_id}-a"
        transactional = i == 1 and trial.guarantee == "exactly-once"
        bounce(
            trial,
            transaction_coordinator(trial, name) if transactional else group_coordinator(trial),
        )


@row("R15", "three brokers, the group's coordinator unreachable", brokers=3)
def unreachable_coordinator(trial: Trial) -> None:
    """Cut the scorer off from one broker, the one that takes its commits."""
    trial.keep("a", **PATIENT).scorer.wait_assigned()
    for _ in trial.pieces(trial.times(3, 1)):
        trial.progress()
        trial.cluster.proxy.blackhole(group_coordinator(trial))
        with trial.outage():
            time.sleep(10 if trial.quick else 20)
            trial.cluster.proxy.heal()


@row("R18", "three brokers, too few copies of the alerts' topic", brokers=3)
def too_few_copies(trial: Trial) -> None:
    """Let the alerts' topic want three copies, and stop one broker: no alert is taken."""
    alerts = trial.stream.settings.alerts_topic
    trial.stream.set_topic(alerts, "min.insync.replicas", "3")
    trial.keep("a", **PATIENT).scorer.wait_assigned()
    for _ in trial.pieces(1):
        trial.progress()
        trial.cluster.end(signal.SIGTERM, 2)
        time.sleep(10 if trial.quick else 30)
        trial.cluster.start(2)
        trial.fault()
