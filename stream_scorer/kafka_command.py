"""`stream-scorer kafka`: the local Kafka in the foreground, with the topics of the settings."""

import signal
import threading
from pathlib import Path

import click
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from stream_scorer.config import Settings
from stream_scorer.errors import KafkaTrouble
from stream_scorer.flags import settings_options
from stream_scorer.kafka_jars import KAFKA_VERSION
from stream_scorer.local_kafka import LocalKafka, local_kafka, log_tail

# Of each topic made here: enough to try several consumers.
PARTITIONS = 4


@click.command()
@click.option("--brokers", type=click.Choice(["1", "3"]), default="1", help="How many brokers.")
@click.option(
    "--port",
    type=click.IntRange(1, 65_533),
    default=9092,
    help="The first broker's port; the others follow.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the records in this folder; otherwise they go with the broker.",
)
@settings_options("transactions_topic", "alerts_topic", "dead_letters_topic", "labels_topic")
def kafka(brokers: str, port: int, data: Path | None, settings: Settings) -> None:
    """Run a real Apache Kafka on this machine, with the topics of the settings, until Ctrl-C.

    \b
    Example: stream-scorer kafka --data ~/kafka

    For trying things and for tests: no password, loopback only.
    """
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _, __: stopped.set())
    click.echo(f"Apache Kafka {KAFKA_VERSION} is starting...", err=True)
    with local_kafka(brokers=int(brokers), data=data, port=port, quick=False) as cluster:
        topics = create_topics(cluster, settings)
        click.echo(
            f"Kafka is at {cluster.bootstrap}, topics: {', '.join(topics)}\n"
            "Next, in another terminal: stream-scorer run      (Ctrl-C here stops Kafka)"
        )
        while not stopped.wait(0.5):
            ended = cluster.exited()
            if ended is not None:
                raise KafkaTrouble(f"a broker ended by itself: {log_tail(ended.log)}")


def create_topics(
    cluster: LocalKafka, settings: Settings, *, partitions: int = PARTITIONS
) -> list[str]:
    """Create the topics of the settings that are not there yet; return all their names."""
    names = [
        settings.transactions_topic,
        *settings.outputs,
        settings.labels_topic,
        settings.quality_topic,
    ]
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap, "log_level": 0})
    there = admin.list_topics(timeout=10).topics
    own = {
        name: {"cleanup.policy": "compact"}
        for name in (settings.control_topic, settings.quality_topic)
    }
    new = [
        NewTopic(name, partitions, config=own.get(name, {})) for name in names if name not in there
    ]
    for name, created in admin.create_topics(new).items() if new else ():
        try:
            created.result(30)
        except KafkaException as exc:
            raise KafkaTrouble(f"topic {name!r} cannot be created: {exc.args[0].str()}") from exc
    return names
