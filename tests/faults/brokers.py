"""Rows in which a broker's process is killed, stopped or paused."""

import signal
import time

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tests.faults.processes import SLOW
from tests.faults.registry import row
from tests.faults.trial import Trial
from tests.integration.stream import wait_for

# Of a record that does nothing but take room.
FILLER_BYTES = 500_000


def end_broker(trial: Trial, number: int) -> None:
    """End the one broker under load, a few times, and start it again on the same records."""
    trial.keep("a", **SLOW).scorer.wait_assigned()
    for _ in trial.pieces(trial.times(5, 2)):
        trial.progress()
        trial.pause(0.2, 1.0)
        trial.cluster.end(number)
        trial.cluster.start()
        trial.fault()


@row("R08", "broker stopped and started")
def stop_broker(trial: Trial) -> None:
    """End the broker in an orderly way."""
    end_broker(trial, signal.SIGTERM)


@row("R09", "broker kill -9 and started")
def kill_broker(trial: Trial) -> None:
    """End the broker without a word."""
    end_broker(trial, signal.SIGKILL)


@row("R16", "broker paused for 20 s")
def pause_broker(trial: Trial) -> None:
    """Pause the broker's process: connections stay open, and nothing answers."""
    trial.keep("a", **SLOW).scorer.wait_assigned()
    for _ in trial.pieces(trial.times(3, 1)):
        trial.progress()
        trial.cluster.send(signal.SIGSTOP)
        time.sleep(10 if trial.quick else 20)
        trial.cluster.send(signal.SIGCONT)
        trial.fault()


@row("R17", "broker's disk full", small_disk=True)
def full_disk(trial: Trial) -> None:
    """Fill the disk under load: the broker gives up. With room again it is started anew."""
    disk = trial.cluster.disk
    assert disk is not None
    kept = trial.keep("a", **SLOW)
    kept.scorer.wait_assigned()
    client = AdminClient({"bootstrap.servers": trial.cluster.bootstrap, "log_level": 0})
    filler = f"{trial.stream.settings.group_id}-filler"
    client.create_topics([NewTopic(filler, 1, 1)])[filler].result(30)
    for _ in trial.pieces(trial.times(3, 1)):
        trial.progress()
        disk.narrow()
        fill(trial, filler)
        with trial.outage():
            time.sleep(10)  # with the broker's start below what the scorer waits, 30 s
            disk.widen()
        trial.cluster.start()
        trial.fault()
    trial.demand(kept.codes == [], f"it ended with {kept.codes}: {kept.scorer.text()}")


def fill(trial: Trial, topic: str) -> None:
    """Write until the broker is gone."""
    producer = Producer({"bootstrap.servers": trial.cluster.bootstrap, "log_level": 0})
    guardian = trial.cluster.kafka.brokers[0].guardian

    def gone() -> bool:
        if guardian.poll() is None and not len(producer):
            producer.produce(topic, b"0" * FILLER_BYTES)
        producer.poll(0.05)
        return guardian.poll() is not None

    wait_for("the broker to give up", gone)
    producer.purge()
