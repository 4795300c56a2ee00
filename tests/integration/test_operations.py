"""deploy/ at work: the composition's processes, a real Prometheus, a real Alertmanager.

No container engine is needed: the commands, variables and files are those of compose.yaml, with
other addresses.
"""

import contextlib
import os
import re
import shutil
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from benchmarks.peers.environments import jars_of
from stream_scorer.kafka_jars import KAFKA_VERSION, find_java
from stream_scorer.local_kafka import free_ports, local_kafka
from tests.compose import DEPLOY, Running, command_of, compose, started
from tests.console.postgres import postgres
from tests.integration.stream import wait_for
from tests.integration.watched import Watch, watching
from tests.test_deploy import expressions

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
SCORERS = ("scorer-1", "scorer-2")


def make_topics(bootstrap: str, folder: Path) -> None:
    """Run topics.sh with Kafka's own command, which is a Java class in the jars."""
    script = folder / "kafka-topics.sh"
    tools = jars_of([f"org.apache.kafka:kafka-tools:{KAFKA_VERSION}"])
    jars = os.pathsep.join(str(jar) for jar in tools)
    command = f"exec {find_java()} -Xmx128m -cp {jars} org.apache.kafka.tools.TopicCommand"
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

    watch: Watch
    console: str
    certificate: Path
    scorers: tuple[Running, ...]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("operations")
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
        stack.enter_context(started("replay", folder, here))
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
        yield Installation(watch, f"https://localhost:{port['console']}", certificate, scorers)


def test_prometheus_scrapes_scorers_and_monitor(installation: Installation) -> None:
    wait_for("the scorers", lambda: installation.watch.up("scorer") == 2)
    wait_for("the monitor", lambda: installation.watch.up("monitor") == 1)


def test_console_answers_over_tls_by_the_name_in_its_certificate(
    installation: Installation,
) -> None:
    trust = ssl.create_default_context(cafile=str(installation.certificate / "cert.pem"))

    def answered() -> bool:
        try:
            url = f"{installation.console}/healthz"
            with urllib.request.urlopen(url, timeout=5, context=trust) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    wait_for("the console", answered)


# Nothing of these in a small installation that has just begun, and has labelled nothing.
MAY_BE_EMPTY = re.compile("challenger|monitor_|topk|scorer_dead_letters")


def test_every_query_of_the_dashboard_has_an_answer(installation: Installation) -> None:
    wait_for("alerts", lambda: bool(installation.watch.ask("sum(scorer_alerts_total) > 5")))
    wanted = [each for each in expressions() if not MAY_BE_EMPTY.search(each)]
    assert len(wanted) > 20
    for expression in expressions():
        installation.watch.ask(expression)  # raises if Prometheus does not take it

    def silent() -> list[str]:
        return [each for each in wanted if not installation.watch.ask(each)]

    with contextlib.suppress(TimeoutError):  # the names of those that stay so say more
        wait_for("an answer to each", lambda: not silent())
    assert silent() == []


def test_alert_reaches_the_alertmanager_when_no_scorer_is_up(installation: Installation) -> None:
    wait_for("the scorers", lambda: installation.watch.up("scorer") == 2)
    assert "ScorerDown" not in installation.watch.fired()
    for scorer in installation.scorers:
        scorer.process.terminate()
        assert scorer.process.wait(30) == 0, scorer.log.read_text()
    wait_for("the alert", lambda: "ScorerDown" in installation.watch.fired(), timeout_s=150)
    (alert,) = [
        each for each in installation.watch.alerts() if each["labels"]["alertname"] == "ScorerDown"
    ]
    assert alert["labels"]["severity"] == "page"
    assert alert["receivers"] == [{"name": "pages"}]
