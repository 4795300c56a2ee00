"""Every alert of deploy/prometheus/rules.yml fires by the fault that it is for, on a real Kafka.

The rules are deploy's own with their times divided by HURRY; thresholds stay as they are.
"""

import contextlib
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest
import trustme
import yaml
from confluent_kafka import Producer

from producer.figures import COLUMNS
from producer.generate import generate
from stream_scorer.config import SHIPPED_MODEL
from stream_scorer.local_kafka import free_ports
from tests.bundles import write_bundle
from tests.compose import DEPLOY
from tests.faults.cluster import Cluster, cluster
from tests.integration.monitored import Watched
from tests.integration.stream import Scorer, Stream, beside, fresh_stream, wait_for
from tests.integration.test_stream import events
from tests.integration.watched import Watch, answers, watching
from tests.test_deploy import RULES, alerts

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

HURRY = 30
ALERTS = sorted(rule["alert"] for rule in alerts())
# Of one piece of work with all of its scorers: the others' faults would hide it, or it theirs.
LAST = {"ScorerSilent", "MonitorWithoutOwner", "MonitorDown", "ScorerDown"}
SECONDS = {"s": 1, "m": 60, "h": 3600}
MONITOR_SESSION_MS = "45000"


def hurried(rules: str) -> str:
    """Return rules whose times are divided; no less than 4 s, as scrapes are a second apart."""

    def shorter(found: re.Match[str]) -> str:
        seconds = int(found["n"]) * SECONDS[found["unit"]] / HURRY
        return f"{found['before']}{max(4, round(seconds))}s"

    return re.sub(r"(?P<before>\[|for: |interval: )(?P<n>\d+)(?P<unit>[smh])\b", shorter, rules)


def transactions(
    *, frauds: float = 0.0, times: float = 1.0, bad: int = 0
) -> Iterator[tuple[str, bytes]]:
    """Yield keys and values without end: amounts `times` their size, every `bad`-th one no JSON."""
    rows = np.concatenate(list(generate(20_000, seed=1, fraud_rate=frauds)))[:, : len(COLUMNS) - 1]
    rows[:, COLUMNS.index("Amount")] *= times
    for start in count(0, len(rows)):
        for i, (key, value) in enumerate(events(rows, start)):
            yield key, b"{" if bad and i % bad == 0 else value


@contextmanager
def sending(stream: Stream, waiting: Iterator[tuple[str, bytes]], rate: float) -> Iterator[None]:
    """Send so many events a second, one after the other, until the block ends."""
    producer = Producer({"bootstrap.servers": stream.bootstrap, "linger.ms": 20})

    def send(done: threading.Event) -> None:
        begun = time.monotonic()
        for i, (key, value) in enumerate(waiting):
            if done.wait(max(0.0, begun + i / rate - time.monotonic())):
                return
            producer.produce(stream.settings.transactions_topic, value, key)
            producer.poll(0)

    with beside(send):
        yield
    producer.flush(10)


class Faults:
    """What goes wrong, one method each; all of it may go wrong at once."""

    def __init__(self, made: Cluster, folder: Path, stack: ExitStack) -> None:
        """Break scorers on this cluster, with files in this folder."""
        self.made, self.folder, self.stack = made, folder, stack
        names = ("small", "stuck", "cut", "undone", "refused", "looping", "owner", "second")
        self.port = dict(zip(names, free_ports(len(names)), strict=True))
        self.scorers: list[Scorer] = []
        self.feeds = stack.enter_context(ExitStack())  # all that is sent, until it is closed

    def stream(self, name: str) -> Stream:
        """Return topics of their own; their scorers write their logs into a folder of its own."""
        folder = self.folder / name
        folder.mkdir()
        made = fresh_stream(self.made.bootstrap, folder, partitions=2)
        return self.stack.enter_context(made)

    def start(self, stream: Stream, name: str, *command: str, **environ: str) -> Scorer:
        """Start a scorer that is scraped."""
        port = str(self.port[name])
        self.scorers.append(stream.start(*command, SCORER_HTTP_PORT=port, **environ))
        return self.scorers[-1]

    def too_small(self) -> Watched:
        """Let a record a commit keep no step with its traffic, of which half is no JSON.

        The rest differs from training, a third of it alerts, and every alert is a false one.
        """
        stream = self.stream("small")
        self.start(
            *(stream, "small"),
            SCORER_MAX_BATCH_ROWS="1",
            SCORER_COMMIT_INTERVAL_MS="1",
            SCORER_DEAD_LETTERS_IN_A_ROW="0",
            SCORER_DEAD_LETTERS_RATIO="1",
            SCORER_DRIFT_WINDOW_S="120",  # at its pace 2,000 rows and more
        )
        waiting = transactions(frauds=0.3, times=50.0, bad=2)
        self.feeds.enter_context(sending(stream, waiting, 1000))
        return self.monitored(stream)

    def monitored(self, stream: Stream) -> Watched:
        """Let a monitor and a spare one join its scores with labels that deny fraud."""
        folder = self.folder / "monitors"
        folder.mkdir()
        watched = Watched(stream.bootstrap, folder)
        topics = {
            "SCORER_SCORES_TOPIC": stream.settings.scores_topic,
            "SCORER_ALERTS_TOPIC": stream.settings.alerts_topic,
            "SCORER_KAFKA_CONSUMER_SESSION_TIMEOUT_MS": MONITOR_SESSION_MS,
        }
        for name in ("owner", "second"):
            watched.start(**topics, SCORER_MONITOR_PORT=str(self.port[name]))
            if name == "owner":
                watched.monitors[0].wait_owner()
        now_ms = int(time.time() * 1000)
        for number in range(20_000):
            watched.label(number, 0, time_ms=now_ms)
        watched.flush()
        for each in watched.monitors:
            self.stack.callback(each.kill)
        return watched

    def stuck_partition(self) -> None:
        """Leave a transaction open in one of two partitions; this scorer has another model."""
        stream = self.stream("stuck")
        other = write_bundle(self.folder / "other.onnx")
        self.start(stream, "stuck", SCORER_MODEL=str(other))
        forgetful = Producer(
            {
                "bootstrap.servers": stream.bootstrap,
                "transactional.id": stream.settings.group_id,
                "transaction.timeout.ms": 600_000,
            }
        )
        forgetful.init_transactions(30)
        forgetful.begin_transaction()
        forgetful.produce(stream.settings.transactions_topic, b"{}", partition=0)
        assert forgetful.flush(30) == 0
        self.stack.callback(forgetful.abort_transaction, 30)
        self.feeds.enter_context(sending(stream, transactions(), 30))

    def cut_off(self) -> None:
        """Take away the network in the middle of a backlog."""
        straight = self.stream("cut")
        straight.send(islice(transactions(), 20_000))
        scorer = self.start(
            *(straight, "cut"),
            SCORER_KAFKA_BOOTSTRAP_SERVERS=self.made.proxied,
            SCORER_MAX_BATCH_ROWS="1",
            SCORER_COMMIT_INTERVAL_MS="1",
        )
        scorer.wait_assigned()
        wait_for("some progress", lambda: scorer.metric("scorer_records_total") > 100)
        wait_for("its lag", lambda: scorer.metric(lag_of(straight)) > 0)
        self.made.proxy.blackhole()

    def undone(self) -> None:
        """Abort every third transaction."""
        stream = self.stream("undone")
        buggy = ("tests.faults.buggy", "every-third-aborted")
        self.start(stream, "undone", *buggy, SCORER_GUARANTEE="exactly-once")
        self.feeds.enter_context(sending(stream, transactions(), 30))

    def refused(self, watch: Watch) -> None:
        """Overwrite its model's file with none; and let its certificate end in a week."""
        stream = self.stream("refused")
        model = Path(shutil.copy(SHIPPED_MODEL, self.folder / "mine.onnx"))
        scorer = self.start(
            *(stream, "refused"),
            SCORER_MODEL=str(model),
            SCORER_HTTP_CERTIFICATE=str(certificate(self.folder, days=7)),
        )
        changes = f'scorer_model_changes_total{{instance="127.0.0.1:{self.port["refused"]}"}}'
        wait_for("a scrape", lambda: bool(watch.ask(changes)))
        model.write_bytes(b"no model")
        scorer.process.send_signal(signal.SIGHUP)

    def looping(self) -> None:
        """Kill it again and again, and then start it no more."""
        stream = self.stream("looping")
        url = f"http://127.0.0.1:{self.port['looping']}/metrics"
        for _ in range(6):
            scorer = self.start(stream, "looping")
            wait_for("its metrics", lambda: answers(url))
            time.sleep(2)  # two scrapes
            scorer.kill()


def lag_of(stream: Stream) -> str:
    """Return the name of one partition's lag."""
    return f'scorer_lag_records{{partition="0",topic="{stream.settings.transactions_topic}"}}'


def certificate(folder: Path, *, days: int) -> Path:
    """Make a key with a certificate that ends in so many days."""
    made = folder / "both.pem"
    ends = datetime.now(UTC) + timedelta(days=days)
    issued = trustme.CA().issue_cert("localhost", not_after=ends)
    issued.private_key_and_cert_chain_pem.write_to_path(made)
    return made


def configuration(port: dict[str, int]) -> str:
    """Return what Prometheus scrapes: one of the scorers over TLS, all under deploy's job names."""

    def job(name: str, *of: str, **more: object) -> dict[str, object]:
        targets = [f"127.0.0.1:{port[each]}" for each in of]
        return {"job_name": name, "static_configs": [{"targets": targets}], **more}

    over_tls: dict[str, object] = {
        "scheme": "https",
        "tls_config": {"insecure_skip_verify": True},
        "relabel_configs": [{"target_label": "job", "replacement": "scorer"}],
    }
    scorers = [name for name in port if name not in {"refused", "owner", "second"}]
    return yaml.safe_dump(
        {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yml"],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": ["ALERTMANAGER"]}]}]},
            "scrape_configs": [
                job("scorer", *scorers),
                job("scorer-tls", "refused", **over_tls),
                job("monitor", "owner", "second"),
            ],
        }
    )


class Seen:
    """The names of the alerts that have reached the Alertmanager so far."""

    def __init__(self, watch: Watch) -> None:
        """Nothing is seen yet."""
        self._watch = watch
        self.names: set[str] = set()

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look all the time until the block ends: some are soon over."""

        def look(done: threading.Event) -> None:
            while not done.wait(0.5):
                self.names |= self._watch.fired()

        with beside(look):
            yield

    def wait(self, wanted: set[str], timeout_s: float) -> None:
        """Return when all of these were there, or at the end: the tests say which were not."""
        with contextlib.suppress(TimeoutError):
            wait_for("alerts", lambda: wanted <= self.names, timeout_s=timeout_s)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[set[str]]:
    """Let everything go wrong; return what was alerted."""
    folder = tmp_path_factory.mktemp("alerts")
    with ExitStack() as stack:
        made = stack.enter_context(cluster())
        faults = Faults(made, folder, stack)
        alertmanager = (DEPLOY / "prometheus/alertmanager.yml").read_text()
        files = {
            "prometheus.yml": configuration(faults.port),
            "rules.yml": hurried(RULES),
            "alertmanager.yml": alertmanager,
        }
        watch = stack.enter_context(watching(folder, files))
        found = Seen(watch)
        stack.enter_context(found.looking())
        watched = faults.too_small()
        faults.stuck_partition()
        faults.undone()
        faults.refused(watch)
        faults.cut_off()
        faults.looping()
        found.wait(set(ALERTS) - LAST, 300)
        found.names -= LAST  # they were there before there was anything to scrape
        faults.feeds.close()
        faults.scorers[0].kill()  # it has a backlog
        found.wait({"ScorerSilent"}, 120)
        owner, second = watched.monitors
        owner.process.send_signal(signal.SIGSTOP)
        found.wait({"MonitorWithoutOwner"}, 60)
        owner.kill()
        second.kill()
        for each in faults.scorers:
            if each.process.poll() is None:
                each.kill()
        found.wait(LAST, 60)
        yield found.names


@pytest.mark.parametrize("alert", ALERTS)
def test_alert_fires_by_the_fault_that_it_is_for(alert: str, seen: set[str]) -> None:
    assert alert in seen


def test_times_of_the_rules_are_divided_and_nothing_else() -> None:
    assert hurried("for: 15m") == "for: 30s"
    assert hurried("rate(a[6h]) > 60 and b[2m] < 14 * 86400") == (
        "rate(a[720s]) > 60 and b[4s] < 14 * 86400"
    )
    assert sorted(each["alert"] for each in alerts(hurried(RULES))) == ALERTS
