"""Debian's Prometheus and Alertmanager, with files of deploy/ as a test changes them."""

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_scorer.local_kafka import free_ports
from tests.integration.stream import wait_for


@dataclass(frozen=True)
class Watch:
    """The two at work."""

    prometheus: str
    alertmanager: str

    def ask(self, expression: str) -> list[Any]:
        """Return what Prometheus says to a query."""
        query = urllib.parse.urlencode({"query": expression})
        return list(read(f"{self.prometheus}/api/v1/query?{query}")["data"]["result"])

    def over(self, expression: str, begin: float, end: float, step_s: float) -> list[Any]:
        """Return what Prometheus says to a query for each step of a time."""
        asked = {"query": expression, "start": begin, "end": end, "step": step_s}
        answer = read(f"{self.prometheus}/api/v1/query_range?{urllib.parse.urlencode(asked)}")
        return list(answer["data"]["result"])

    def up(self, job: str) -> int:
        """Return how many of a job's targets are scraped."""
        found = self.ask(f'sum(up{{job="{job}"}})')
        return int(found[0]["value"][1]) if found else 0

    def alerts(self) -> list[Any]:
        """Return the alerts that reached the Alertmanager and are not over."""
        return list(read(f"{self.alertmanager}/api/v2/alerts"))

    def fired(self) -> set[str]:
        """Return their names."""
        return {each["labels"]["alertname"] for each in self.alerts()}


@contextmanager
def watching(folder: Path, files: Mapping[str, str]) -> Iterator[Watch]:
    """Run both with these files: the word ALERTMANAGER in them is its address."""
    ports = free_ports(2)
    at, alertmanager = (f"127.0.0.1:{port}" for port in ports)
    for name, text in files.items():
        (folder / name).write_text(text.replace("ALERTMANAGER", alertmanager))
    with ExitStack() as stack:
        stack.enter_context(
            server(
                folder,
                "prometheus",
                "--config.file=prometheus.yml",
                f"--web.listen-address={at}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
            )
        )
        stack.enter_context(
            server(
                folder,
                "prometheus-alertmanager",
                "--config.file=alertmanager.yml",
                f"--web.listen-address={alertmanager}",
                "--cluster.listen-address=",
                f"--storage.path={folder / 'silences'}",
            )
        )
        made = Watch(f"http://{at}", f"http://{alertmanager}")
        wait_for("Prometheus", lambda: answers(f"{made.prometheus}/-/ready"))
        wait_for("Alertmanager", lambda: answers(f"{made.alertmanager}/-/ready"))
        yield made


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


def answers(url: str) -> bool:
    """Tell whether anything but an error is answered."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def read(url: str) -> Any:
    """Return what JSON is answered."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.loads(answer.read())
