"""A scorer as a process of its own on fresh topics of a real Kafka, and eyes on what it does."""

import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from stream_scorer.clients import settled
from stream_scorer.config import Settings
from stream_scorer.topics import TopicReader
from tests.environ import own_environ

WAIT_S = 90.0


def wait_for(what: str, reached: Callable[[], bool], *, timeout_s: float = WAIT_S) -> None:
    """Return when `reached` says so; fail by name if it never does."""
    deadline = time.monotonic() + timeout_s
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(0.05)


@contextmanager
def beside(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run `work` in a thread for the length of the block; what it gets is set when that ends."""
    done = threading.Event()
    thread = threading.Thread(target=work, args=(done,))
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@dataclass
class Scorer:
    """A running `stream-scorer run`."""

    process: subprocess.Popen[bytes]
    log: Path

    def text(self) -> str:
        return self.log.read_text()

    def wait_assigned(self, times: int = 1) -> None:
        def assigned() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode}: {self.text()}")
            return self.text().count("Partitions assigned") >= times

        wait_for("an assignment", assigned)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def metric(self, name: str) -> float:
        """Return a metric's value, by its name with its labels as Prometheus writes them."""
        with urllib.request.urlopen(self.metrics_url(), timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        values = [line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")]
        return float(values[0]) if values else 0.0

    def metrics_url(self) -> str:
        found = re.search(r"http://\S+/metrics", self.text())
        assert found, self.text()
        return found.group()


@dataclass
class Stream:
    """Fresh topics, and the settings that name them.

    Disagreements and control are there too; a scorer uses them if a test names them to it.
    """

    bootstrap: str
    folder: Path
    partitions: int = 4
    environ: Mapping[str, str] = field(default_factory=dict)
    copies: int = 1
    scorers: list[Scorer] = field(default_factory=list)

    def __post_init__(self) -> None:
        name = uuid.uuid4().hex[:8]
        self.settings = Settings.load(
            environ={
                "SCORER_KAFKA_BOOTSTRAP_SERVERS": self.bootstrap,
                "SCORER_TRANSACTIONS_TOPIC": f"{name}-in",
                "SCORER_ALERTS_TOPIC": f"{name}-alerts",
                "SCORER_SCORES_TOPIC": f"{name}-scores",
                "SCORER_DEAD_LETTERS_TOPIC": f"{name}-dlq",
                "SCORER_DISAGREEMENTS_TOPIC": f"{name}-disagreements",
                "SCORER_CONTROL_TOPIC": f"{name}-control",
                "SCORER_GROUP_ID": name,
            }
        )
        s = self.settings
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        own = {s.control_topic: {"cleanup.policy": "compact"}}
        created = admin.create_topics(
            [
                NewTopic(topic, self.partitions, self.copies, config=own.get(topic, {}))
                for topic in (s.transactions_topic, *s.outputs)
            ]
        )
        for each in created.values():
            each.result(30)
        # The controller has made them; a broker that has just started may not have heard of it.
        wait_for(
            "the topics", lambda: created.keys() <= admin.list_topics(timeout=30).topics.keys()
        )
        # Never subscribes, so it is no member: it only asks for the group's offsets.
        self.group = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": s.group_id,
                "topic.metadata.refresh.interval.ms": 1000,  # partitions are added
                "log_level": 0,
            }
        )

    def names(self) -> dict[str, str]:
        """Return the variables that name a scorer its topics and its group."""
        s = self.settings
        return {
            "SCORER_TRANSACTIONS_TOPIC": s.transactions_topic,
            "SCORER_ALERTS_TOPIC": s.alerts_topic,
            "SCORER_SCORES_TOPIC": s.scores_topic,
            "SCORER_DEAD_LETTERS_TOPIC": s.dead_letters_topic,
            "SCORER_GROUP_ID": s.group_id,
        }

    def set_topic(self, topic: str, name: str, value: str) -> None:
        """Change one setting of a topic; return when the broker shows it."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        for each in admin.incremental_alter_configs([resource]).values():
            each.result(30)
        asked = ConfigResource(ResourceType.TOPIC, topic)

        def shown() -> bool:
            (answer,) = admin.describe_configs([asked]).values()
            return bool(answer.result(30)[name].value == value)

        wait_for(f"{name} of {topic}", shown)

    def start(self, *command: str, **environ: str) -> Scorer:
        """Start a scorer, or another module of ours; it need not have joined the group yet."""
        own = own_environ()
        log = self.folder / f"scorer-{len(self.scorers)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *(command or ("stream_scorer", "run"))],
                stderr=output,
                env={
                    **own,
                    "SCORER_KAFKA_BOOTSTRAP_SERVERS": self.bootstrap,
                    **self.names(),
                    "SCORER_HTTP_PORT": "0",
                    "SCORER_REPLICA": f"replica-{len(self.scorers)}",
                    **self.environ,
                    **environ,
                },
            )
        scorer = Scorer(process, log)
        self.scorers.append(scorer)
        return scorer

    def send(self, events: Iterable[tuple[str | None, bytes | None]]) -> int:
        """Send keys and values; return how many."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 5})
        refused: list[KafkaError] = []
        sent = 0

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                refused.append(error)

        for key, value in events:
            while True:
                try:
                    topic = self.settings.transactions_topic
                    producer.produce(topic, value, key, on_delivery=delivered)
                    break
                except BufferError:
                    producer.poll(0.1)
            sent += 1
        assert producer.flush(60) == 0
        assert not refused, refused[0]
        return sent

    def committed(self) -> int:
        """Return the sum of the group's committed offsets."""
        ask = partial(self.group.committed, self.places(), timeout=30)
        found = settled(ask, timeout_s=WAIT_S)
        return sum(max(0, place.offset) for place in found)

    def written(self, topic: str) -> int:
        """Return how many records a topic holds."""
        return sum(high - low for low, high in self.bounds(topic))

    def bounds(self, topic: str = "") -> list[tuple[int, int]]:
        """Return where each partition begins and ends."""
        return [
            settled(partial(self.group.get_watermark_offsets, place, 30), timeout_s=WAIT_S)
            for place in self.places(topic)
        ]

    def places(self, topic: str = "") -> list[TopicPartition]:
        topic = topic or self.settings.transactions_topic
        return [TopicPartition(topic, number) for number in range(self.partitions)]

    @contextmanager
    def load(self, events: Iterator[tuple[str, bytes]]) -> Iterator[list[str]]:
        """Send events until the block ends and a few more; give the keys sent, whole at the end."""
        keys: list[str] = []

        def feed(done: threading.Event) -> None:
            last = False
            while not last:
                last = done.wait(0.02)
                piece = list(islice(events, 200))
                self.send(piece)
                keys.extend(key for key, _ in piece)

        with beside(feed):
            yield keys

    def wait_committed(self, count: int) -> None:
        wait_for(f"{count} records committed", lambda: self.committed() >= count)

    def read(self, topic: str) -> Sequence[Message]:
        """Return what a topic holds now."""
        reader = TopicReader(self.settings, topic)
        try:
            return list(reader.held())
        finally:
            reader.close()

    def alerts(self) -> Sequence[Message]:
        return self.read(self.settings.alerts_topic)

    def scores(self) -> Sequence[Message]:
        return self.read(self.settings.scores_topic)

    def dead_letters(self) -> Sequence[Message]:
        return self.read(self.settings.dead_letters_topic)


@contextmanager
def fresh_stream(
    bootstrap: str, folder: Path, *, partitions: int = 4, **environ: str
) -> Iterator[Stream]:
    """Give a stream on topics of its own; no scorer outlives it."""
    stream = Stream(bootstrap, folder, partitions, environ)
    try:
        yield stream
    finally:
        for scorer in stream.scorers:
            if scorer.process.poll() is None:
                scorer.kill()
        stream.group.close()
