"""deploy/ at work: the composition's processes, a real Prometheus, a real Alertmanager.

No container engine is needed: the commands, variables and files are those of compose.yaml, with
other addresses.
"""

import contextlib
import json
import os
import re
import shutil
import ssl
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from benchmarks.peers.environments import jars_of
from stream_scorer.kafka_jars import KAFKA_VERSION, find_java
from stream_scorer.local_kafka import free_ports, local_kafka
from tests.compose import DEPLOY, Running, command_of, compose, started
from tests.console.postgres import postgres
from tests.integration.stream import wait_for
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


@contextmanager
def server(folder: Path, program: str, *arguments: str) -> Iterator[None]:
    """Run one of Debian's programs for the length of the block."""
    found = shutil.which(program)
    assert found, f"{program} is missing: Debian's package of that name has it"
    with (folder / f"{program}.log").open("wb") as log:
        process = subprocess.Popen([found, *arguments], stdout=log, stderr=log, cwd=folder)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


@dataclass(frozen=True)
class Installation:
    """All of it at work."""

    prometheus: str
    alertmanager: str
    console: str
    certificate: Path
    scorers: tuple[Running, ...]

    def ask(self, expression: str) -> list[Any]:
        """Return what Prometheus says to a query."""
        query = urllib.parse.urlencode({"query": expression})
        return list(read(f"{self.prometheus}/api/v1/query?{query}")["data"]["result"])

    def up(self, job: str) -> int:
        """Return how many of a job's targets are scraped."""
        found = self.ask(f'sum(up{{job="{job}"}})')
        return int(found[0]["value"][1]) if found else 0


def read(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.loads(answer.read())


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("operations")
    names = (*SCORERS, "monitor", "console", "prometheus", "alertmanager", "cluster")
    port = dict(zip(names, free_ports(len(names)), strict=True))
    with ExitStack() as stack:
        kafka = stack.enter_context(local_kafka()).bootstrap
        make_topics(kafka, folder)
        url = stack.enter_context(postgres())
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
            started("console", folder, here, SCORER_CONSOLE_PORT=str(port["console"]))
        )
        stack.enter_context(started("replay", folder, here))
        targets = {
            "scorer-1:9108": f"127.0.0.1:{port['scorer-1']}",
            "scorer-2:9108": f"127.0.0.1:{port['scorer-2']}",
            "monitor:9109": f"127.0.0.1:{port['monitor']}",
            "alertmanager:9093": f"127.0.0.1:{port['alertmanager']}",
            "_interval: 5s": "_interval: 1s",
        }
        for name in ("prometheus.yml", "rules.yml", "alertmanager.yml"):
            text = (DEPLOY / "prometheus" / name).read_text()
            for word, replacement in targets.items():
                text = text.replace(word, replacement)
            (folder / name).write_text(text)
        stack.enter_context(
            server(
                folder,
                "prometheus",
                "--config.file=prometheus.yml",
                f"--web.listen-address=127.0.0.1:{port['prometheus']}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
            )
        )
        stack.enter_context(
            server(
                folder,
                "prometheus-alertmanager",
                "--config.file=alertmanager.yml",
                f"--web.listen-address=127.0.0.1:{port['alertmanager']}",
                "--cluster.listen-address=",
                f"--storage.path={folder / 'silences'}",
            )
        )
        made = Installation(
            f"http://127.0.0.1:{port['prometheus']}",
            f"http://127.0.0.1:{port['alertmanager']}",
            f"https://localhost:{port['console']}",
            certificate,
            scorers,
        )
        wait_for("Prometheus", lambda: answers(f"{made.prometheus}/-/ready"))
        wait_for("Alertmanager", lambda: answers(f"{made.alertmanager}/-/ready"))
        yield made


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def test_prometheus_scrapes_scorers_and_monitor(installation: Installation) -> None:
    wait_for("the scorers", lambda: installation.up("scorer") == 2)
    wait_for("the monitor", lambda: installation.up("monitor") == 1)


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
    wait_for("alerts", lambda: bool(installation.ask("sum(scorer_alerts_total) > 5")))
    wanted = [each for each in expressions() if not MAY_BE_EMPTY.search(each)]
    assert len(wanted) > 20
    for expression in expressions():
        installation.ask(expression)  # raises if Prometheus does not take it

    def silent() -> list[str]:
        return [each for each in wanted if not installation.ask(each)]

    with contextlib.suppress(TimeoutError):  # the names of those that stay so say more
        wait_for("an answer to each", lambda: not silent())
    assert silent() == []


def test_alert_reaches_the_alertmanager_when_no_scorer_is_up(installation: Installation) -> None:
    wait_for("the scorers", lambda: installation.up("scorer") == 2)
    assert not fired(installation, "ScorerDown")
    for scorer in installation.scorers:
        scorer.process.terminate()
        assert scorer.process.wait(30) == 0, scorer.log.read_text()
    wait_for("the alert", lambda: fired(installation, "ScorerDown"), timeout_s=150)
    (alert,) = [each for each in alerts(installation) if name(each) == "ScorerDown"]
    assert alert["labels"]["severity"] == "page"
    assert alert["receivers"] == [{"name": "pages"}]


def alerts(installation: Installation) -> list[Any]:
    return list(read(f"{installation.alertmanager}/api/v2/alerts"))


def name(alert: dict[str, Any]) -> str:
    return str(alert["labels"]["alertname"])


def fired(installation: Installation, wanted: str) -> bool:
    return wanted in map(name, alerts(installation))
