"""Monitors as processes of their own on fresh topics, and what they must come to."""

import json
import re
import signal
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from stream_scorer import clients
from stream_scorer.config import Settings
from stream_scorer.monitor.board import record
from stream_scorer.monitor.figures import of_window
from stream_scorer.monitor.joined import Event
from stream_scorer.monitor.reading import Decoder, NotOurs
from stream_scorer.topics import TopicReader
from tests.environ import own_environ
from tests.integration.stream import WAIT_S, wait_for
from tests.test_monitor_ledger import expected

MODEL, OTHER = "a" * 64, "b" * 64
BEGIN_MS = 1_700_000_000_000
TOP_K = 100
Figures = dict[str, dict[str, Any]]


@dataclass
class Monitor:
    """A running `stream-scorer monitor`."""

    process: subprocess.Popen[bytes]
    log: Path

    def text(self) -> str:
        return self.log.read_text()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def metric(self, name: str) -> float:
        """Return a metric's value, by its name with its labels as Prometheus writes them."""
        found = re.search(r"http://\S+/metrics", self.text())
        assert found, self.text()
        with urllib.request.urlopen(found.group(), timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        values = [line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")]
        return float(values[0]) if values else -1.0

    def wait_owner(self, *, owner: bool = True) -> None:
        """Wait until it computes the figures, or another one does."""

        def is_so() -> bool:
            assert self.process.poll() is None, self.text()
            return "metrics" in self.text() and (self.metric("monitor_owner") == 1) == owner

        wait_for(f"owner: {owner}", is_so)


@dataclass
class Watched:
    """Fresh topics of scores, alerts, labels and figures."""

    bootstrap: str
    folder: Path
    partitions: int = 2
    monitors: list[Monitor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.name = uuid.uuid4().hex[:8]
        self.environ = {
            "SCORER_KAFKA_BOOTSTRAP_SERVERS": self.bootstrap,
            "SCORER_GROUP_ID": self.name,
            # The least that a broker takes: so long a killed instance is waited for.
            "SCORER_KAFKA_CONSUMER_SESSION_TIMEOUT_MS": "6000",
            **{
                f"SCORER_{kind.upper()}_TOPIC": f"{self.name}-{kind}"
                for kind in ("scores", "alerts", "labels", "quality")
            },
        }
        self.settings = Settings.load(environ=self.environ)
        s = self.settings
        self.sources = (s.scores_topic, s.alerts_topic, s.labels_topic)
        new = [NewTopic(topic, self.partitions, 1) for topic in self.sources]
        new.append(NewTopic(s.quality_topic, 1, 1, config={"cleanup.policy": "compact"}))
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for each in admin.create_topics(new).values():
            each.result(30)
        self.producer = Producer({"bootstrap.servers": self.bootstrap, "compression.type": "lz4"})

    def start(self, *module: str, **environ: str) -> Monitor:
        own = own_environ()
        log = self.folder / f"monitor-{len(self.monitors)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *(module or ("stream_scorer", "monitor"))],
                stderr=output,
                env={**own, **self.environ, "SCORER_MONITOR_PORT": "0", **environ},
            )
        self.monitors.append(Monitor(process, log))
        return self.monitors[-1]

    def score(
        self,
        number: int,
        *,
        logit: float = 0.0,
        model: str = MODEL,
        offset: int | None = None,
        alert: bool = False,
        time_ms: int | None = None,
    ) -> None:
        """Write a transaction's score, and its alert."""
        time_ms = BEGIN_MS + number * 1000 if time_ms is None else time_ms
        value: Mapping[str, object] = {
            "transaction_id": f"t{number}",
            "probability": 0.5,
            "logit": logit,
            "model": {"name": "fraud", "version": "1", "sha256": model},
            "source": {
                "topic": "in",
                "partition": 0,
                "offset": number if offset is None else offset,
                "timestamp_ms": time_ms,
            },
        }
        self.write(self.settings.scores_topic, f"t{number}", value, time_ms + 5)
        if alert:
            self.write(self.settings.alerts_topic, f"t{number}", value, time_ms + 7)

    def label(self, number: int, label: int | None, *, time_ms: int | None = None) -> None:
        """Write a label."""
        time_ms = BEGIN_MS + number * 1000 + 90_000 if time_ms is None else time_ms
        value = {"transaction_id": f"t{number}", "label": label}
        self.write(self.settings.labels_topic, f"t{number}", value, time_ms)

    def write(self, topic: str, key: str, value: object, time_ms: int) -> None:
        text = value if value is None or isinstance(value, bytes) else json.dumps(value)
        while True:
            try:
                self.producer.produce(topic, text, key, timestamp=time_ms)
            except BufferError:
                self.producer.poll(0.1)
            else:
                return

    def flush(self) -> None:
        assert self.producer.flush(60) == 0

    def events(self) -> Iterator[Event]:
        """Read what the topics hold."""
        decoder = Decoder()
        _, alerts, labels = self.sources
        for topic in self.sources:
            with closing(TopicReader(self.settings, topic)) as reader:
                for m in reader.held():
                    time_ms = m.timestamp()[1]
                    try:
                        if topic == labels:
                            place = {"partition": m.partition() or 0, "offset": m.offset() or 0}
                            yield decoder.label(m.value(), time_ms=time_ms, **place)
                        else:
                            yield decoder.score(m.value(), time_ms=time_ms, alert=topic == alerts)
                    except NotOurs:
                        continue

    def last_read(self) -> dict[tuple[str, int], int]:
        """Return the offset behind the last record of each partition that has one."""
        last: dict[tuple[str, int], int] = {}
        for topic in self.sources:
            with closing(TopicReader(self.settings, topic)) as reader:
                for m in reader.held():
                    place = (topic, m.partition() or 0)
                    last[place] = max(last.get(place, 0), (m.offset() or 0) + 1)
        return last

    def committed(self) -> dict[tuple[str, int], int]:
        """Return the offsets that the monitor's group has committed."""
        places = [TopicPartition(t, n) for t in self.sources for n in range(self.partitions)]
        with closing(clients.consumer(self.settings, {"group.id": f"{self.name}-monitor"})) as asks:
            found = asks.committed(places, timeout=30)
        return {(each.topic, each.partition): each.offset for each in found if each.offset >= 0}

    def expected(self) -> Figures:
        """Compute all figures anew from what the topics hold."""
        return as_figures(
            record(window, of_window(window, counts, top_k=TOP_K))
            for window, counts in expected(list(self.events())).items()
        )

    def told(self) -> Figures:
        """Return the newest figures of each window on their topic."""
        with closing(TopicReader(self.settings, self.settings.quality_topic)) as reader:
            return as_figures((m.key() or b"", m.value() or b"") for m in reader.held())

    def wait_figures(self, *, timeout_s: float = WAIT_S) -> Figures:
        """Wait until the figures told are those computed anew, to the last digit; return them."""
        self.flush()
        wanted = self.expected()
        last: list[Figures] = []

        def same() -> bool:
            for each in self.monitors:
                assert each.process.poll() in {None, 0, -signal.SIGKILL}, each.text()
            last[:] = [self.told()]
            return last[0] == wanted

        try:
            wait_for("the figures", same, timeout_s=timeout_s)
        except TimeoutError:
            assert last[0] == wanted
        return wanted


def as_figures(records: Iterable[tuple[bytes, bytes]]) -> Figures:
    return {key.decode(): json.loads(value) for key, value in records}


@contextmanager
def watched(bootstrap: str, folder: Path, *, partitions: int = 2) -> Iterator[Watched]:
    """Give topics of their own; no monitor outlives them."""
    found = Watched(bootstrap, folder, partitions)
    try:
        yield found
    finally:
        for each in found.monitors:
            if each.process.poll() is None:
                each.kill()
