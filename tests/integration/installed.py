"""What deploy/compose.yaml starts, at work on this machine; a real Prometheus and Alertmanager.

No container engine is needed: the commands, variables and files are those of compose.yaml, with
other addresses.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks.peers.environments import jars_of
from stream_scorer.kafka_jars import KAFKA_VERSION, find_java
from stream_scorer.local_kafka import free_ports, local_kafka
from tests.compose import DEPLOY, Running, command_of, compose, started
from tests.console.postgres import postgres
from tests.integration.watched import Watch, watching

SCORERS = ("scorer-1", "scorer-2")
KAFKA_COMMANDS = {
    "kafka-topics.sh": "TopicCommand",
    "kafka-consumer-groups.sh": "consumer.group.ConsumerGroupCommand",
}


def make_topics(bootstrap: str, folder: Path) -> None:
    """Run topics.sh with Kafka's own commands, which are Java classes in the jars."""
    tools = jars_of([f"org.apache.kafka:kafka-tools:{KAFKA_VERSION}"])
    jars = os.pathsep.join(str(jar) for jar in tools)
    for name, tool in KAFKA_COMMANDS.items():
        script = folder / name
        command = f"exec {find_java()} -Xmx128m -cp {jars} org.apache.kafka.tools.{tool}"
        script.write_text(f'#!/bin/sh\n{command} "$@"\n')
        script.chmod(0o755)
    environ = os.environ | {"KAFKA": bootstrap, "KAFKA_BIN": str(folder), "PARTITIONS": "2"}
    subprocess.run(["/bin/sh", DEPLOY / "kubernetes/base/topics.sh"], env=environ, check=True)


def make_certificate(folder: Path) -> Path:
    """Run the composition's own command for a certificate; return the folder it is in."""
    openssl = shutil.which("openssl")
    assert openssl, "openssl is missing"
    services = compose()["services"]
    where = folder / "certificate"
    where.mkdir()
    asked = [
        word.replace("/certificate", str(where)) for word in command_of(services["certificate"])
    ]
    subprocess.run([openssl, *asked], check=True, capture_output=True)
    joined = (where / "key.pem").read_bytes() + (where / "cert.pem").read_bytes()
    (where / "console.pem").write_bytes(joined)
    return where


@dataclass(frozen=True)
class Installation:
    """All of it at work."""

    kafka: str
    watch: Watch
    console: str
    certificate: Path
    scorers: tuple[Running, ...]
    here: Mapping[str, str]  # words of the composition's values, and what stands for them here


@contextmanager
def installed(folder: Path) -> Iterator[Installation]:
    """Run all of it for the length of the block; nothing is replayed yet."""
    names = (*SCORERS, "monitor", "console")
    port = dict(zip(names, free_ports(len(names)), strict=True))
    with ExitStack() as stack:
        kafka = stack.enter_context(local_kafka()).bootstrap
        make_topics(kafka, folder)
        url = stack.enter_context(postgres())
        database = Path(url.partition("host=")[2])
        database.chmod(0o711)  # its socket is for the containers' user as well, if there are any
        folder.chmod(0o777)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE operations")
        (folder / "database").write_text(url.replace("/postgres?", "/operations?"))
        certificate = make_certificate(folder)
        here = {
            "kafka:9092": kafka,
            "/run/secrets/console-database": str(folder / "database"),
            "/certificate/": f"{certificate}/",
            "scorer-1:9108": f"127.0.0.1:{port['scorer-1']}",
            "localhost:9110": f"localhost:{port['console']}",
            "/tmp/uploads": str(folder / "uploads"),  # noqa: S108 - a word that is replaced
        }
        scorers = tuple(
            stack.enter_context(started(name, folder, here, SCORER_HTTP_PORT=str(port[name])))
            for name in SCORERS
        )
        stack.enter_context(
            started("monitor", folder, here, SCORER_MONITOR_PORT=str(port["monitor"]))
        )
        stack.enter_context(
            started("console", folder, here, database, SCORER_CONSOLE_PORT=str(port["console"]))
        )
        targets = {
            "scorer-1:9108": f"127.0.0.1:{port['scorer-1']}",
            "scorer-2:9108": f"127.0.0.1:{port['scorer-2']}",
            "monitor:9109": f"127.0.0.1:{port['monitor']}",
            "alertmanager:9093": "ALERTMANAGER",
            "_interval: 5s": "_interval: 1s",
        }
        files = {}
        for name in ("prometheus.yml", "rules.yml", "alertmanager.yml"):
            text = (DEPLOY / "prometheus" / name).read_text()
            for word, replacement in targets.items():
                text = text.replace(word, replacement)
            files[name] = text
        watch = stack.enter_context(watching(folder, files))
        console = f"https://localhost:{port['console']}"
        yield Installation(kafka, watch, console, certificate, scorers, here)
