"""The console as its users meet it: the real command, on a free port, with people who sign in."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from confluent_kafka.admin import AdminClient, NewTopic

from stream_scorer.console import accounts
from stream_scorer.console.database import Database
from stream_scorer.console.people import Role
from tests.environ import own_environ
from tests.integration.stream import Stream

NO_KAFKA = "127.0.0.1:1"  # where nobody answers: the console serves all the same
PASSWORD = "correct horse battery"  # noqa: S105 - of no account but the tests'


@dataclass
class Console:
    """A console that runs."""

    origin: str
    database: Database
    log: Path
    process: "subprocess.Popen[bytes]"
    folder: Path
    people: list[httpx.Client] = field(default_factory=list)
    ends_with: int = 0

    def kill(self) -> None:
        """End it in the middle of whatever it does."""
        self.ends_with = -signal.SIGKILL
        self.process.kill()

    def add(self, name: str, role: Role) -> None:
        """Add an account that may sign in."""
        with self.database.writing() as connection:
            accounts.create(
                connection,
                name=name,
                hashed=accounts.hash_password(PASSWORD),
                role=role,
                state=accounts.ACTIVE,
                now=0,
            )

    def visitor(self) -> httpx.Client:
        """Return a browser's ways without the browser: cookies, and where forms come from."""
        client = httpx.Client(base_url=self.origin, headers={"Origin": self.origin}, timeout=20)
        self.people.append(client)
        return client

    def signed_in(self, name: str) -> httpx.Client:
        """Return a visitor who has signed in."""
        client = self.visitor()
        answer = client.post("/sign-in", data={"name": name, "password": PASSWORD})
        assert answer.status_code == 303, answer.text
        return client


@contextmanager
def running(folder: Path, url: str, settings: Mapping[str, str] | None = None) -> Iterator[Console]:
    """Start the command and give the console; at the end it must stop with 0."""
    log = folder / "console.log"
    env = {
        **own_environ(),
        "SCORER_CONSOLE_DATABASE": url,
        "SCORER_CONSOLE_PORT": "0",
        "SCORER_KAFKA_BOOTSTRAP_SERVERS": NO_KAFKA,
        **(settings or {}),
    }
    command = [sys.executable, "-m", "stream_scorer", "console"]
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=env, stdout=file, stderr=file, cwd=folder)
    database = None
    try:
        origin = wait_origin(log, process)
        database = Database(url)
        console = Console(origin, database, log, process, folder)
        yield console
        process.terminate()
        assert process.wait(20) == console.ends_with, log.read_text()
    finally:
        for client in console.people if database is not None else ():
            client.close()
        process.kill()
        process.wait()
        if database is not None:
            database.close()


def wait_origin(log: Path, process: "subprocess.Popen[bytes]") -> str:
    """Return the address once the console answers."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"Console on (\S+),", log.read_text())
        if found:
            try:
                httpx.get(f"{found[1]}/healthz").raise_for_status()
            except httpx.TransportError:
                pass  # it listens, and does not answer yet
            else:
                return found[1]
        time.sleep(0.1)
    raise AssertionError(log.read_text())


@contextmanager
def over(stream: Stream, folder: Path) -> Iterator[tuple[Console, str]]:
    """Start the command over a stream; give the console, with one of each role, and its labels."""
    labels_topic = f"{stream.settings.group_id}-labels"
    admin = AdminClient({"bootstrap.servers": stream.bootstrap, "log_level": 0})
    made = admin.create_topics([NewTopic(labels_topic, stream.partitions, 1)])
    made[labels_topic].result(30)
    environ = {
        "SCORER_KAFKA_BOOTSTRAP_SERVERS": stream.bootstrap,
        **stream.names(),
        "SCORER_LABELS_TOPIC": labels_topic,
    }
    with running(folder, f"sqlite:///{folder}/console.db", environ) as console:
        for role in Role:
            console.add(role.word, role)
        yield console, labels_topic
