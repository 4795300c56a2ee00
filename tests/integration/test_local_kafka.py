"""The Kafka of our own: real, whole, and gone when we are."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from stream_scorer.check import look
from stream_scorer.config import Settings
from stream_scorer.errors import KafkaTrouble
from stream_scorer.kafka_command import create_topics
from stream_scorer.local_kafka import free_ports, local_kafka
from stream_scorer.topics import TopicReader
from tests.integration.stream import wait_for

pytestmark = pytest.mark.integration


def fill(bootstrap: str, topic: str, *, copies: int = 1) -> None:
    """Create a topic and write ten records that all copies acknowledge."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    admin.create_topics([NewTopic(topic, 2, copies)])[topic].result(30)
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "log_level": 0})
    for i in range(10):
        producer.produce(topic, str(i).encode())
    assert producer.flush(30) == 0


def count(bootstrap: str, topic: str) -> int:
    reader = TopicReader(Settings(kafka={"bootstrap.servers": bootstrap}), topic)
    try:
        return len(list(reader.held()))
    finally:
        reader.close()


def test_check_is_good_on_a_broker_that_has_just_started() -> None:
    with local_kafka() as cluster:
        settings = Settings(kafka={"bootstrap.servers": cluster.bootstrap})
        create_topics(cluster, settings)
        assert [finding for finding in look(settings) if not finding.good] == []


def test_three_brokers_keep_three_copies() -> None:
    with local_kafka(brokers=3) as cluster:
        assert len(cluster.bootstrap.split(",")) == 3
        fill(cluster.bootstrap, "copied", copies=3)
        assert count(cluster.bootstrap, "copied") == 10


def test_records_in_a_data_folder_outlive_the_broker(tmp_path: Path) -> None:
    with local_kafka(data=tmp_path) as cluster:
        fill(cluster.bootstrap, "kept")
    with local_kafka(data=tmp_path) as cluster:
        assert count(cluster.bootstrap, "kept") == 10


def test_data_folder_in_use_is_refused_and_its_broker_lives_on(tmp_path: Path) -> None:
    with local_kafka(data=tmp_path) as cluster:
        with pytest.raises(KafkaTrouble, match="in use"), local_kafka(data=tmp_path):
            pass
        fill(cluster.bootstrap, "still-here")


def test_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(KafkaTrouble, match=f"port {port} is taken"), local_kafka(port=port):
            pass


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill -9", "SIGTERM"])
def test_command_takes_its_broker_and_its_data_with_it(tmp_path: Path, number: int) -> None:
    (port,) = free_ports(1)
    with subprocess.Popen(
        [sys.executable, "-m", "stream_scorer", "kafka", "--port", str(port)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    ) as process:
        assert process.stdout is not None
        assert re.match(rf"Kafka is at 127.0.0.1:{port}, topics: ", process.stdout.readline())
        assert listening(port)
        process.send_signal(number)
        process.stdout.read()
    assert process.returncode == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    wait_for("the broker's end", lambda: not listening(port), timeout_s=20)
    wait_for("the data's end", lambda: not list(tmp_path.iterdir()), timeout_s=20)


def test_without_a_network_there_is_one_clear_line(tmp_path: Path) -> None:
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "stream_scorer", "kafka"],
        env={k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
        | {"HOME": str(tmp_path), "HTTPS_PROXY": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert time.monotonic() - begun < 60
    (_, line) = done.stderr.strip().splitlines()
    assert line.startswith("stream-scorer: cannot fetch Apache Kafka"), line
