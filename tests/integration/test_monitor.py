"""`stream-scorer monitor` on a real Kafka: figures as computed anew, whatever happens."""

import random
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AclOperation, AdminClient, NewTopic, ResourceType

from stream_scorer.local_kafka import free_ports, local_kafka
from tests.integration.monitored import BEGIN_MS, MODEL, OTHER, Monitor, Watched, watched
from tests.integration.secured import PASSWORD, secured_kafka
from tests.integration.stream import wait_for
from tests.integration.test_broker_restart import end

pytestmark = pytest.mark.integration

# More than may be waiting at once in a test: the topics are read side by side, not by time.
KEEP = {"SCORER_MONITOR_KEEP": "4000"}


@pytest.fixture
def topics(kafka: str, tmp_path: Path) -> Iterator[Watched]:
    with watched(kafka, tmp_path) as each:
        yield each


def feed(topics: Watched, numbers: range, *, seed: int = 1) -> None:
    """Write scores, alerts, labels before and behind them, corrections and repeats."""
    rng = random.Random(f"{seed}{numbers}")  # noqa: S311 - no secret
    for number in numbers:
        logit = rng.gauss(-1, 3)
        model = OTHER if number % 7 == 0 else MODEL
        if rng.random() < 0.1:
            topics.label(number, 1)  # comes first
        topics.score(number, logit=logit, model=model, alert=logit > 1.4)
        if rng.random() < 0.05:
            topics.score(number, logit=logit, model=model, alert=logit > 1.4)
        if rng.random() < 0.5:
            about = max(numbers.start, number - rng.randint(0, 50))
            topics.label(about, rng.choice([0, 0, 1, None]), time_ms=BEGIN_MS + number * 1000)
    topics.flush()


def test_figures_are_those_computed_anew_late_first_corrected_withdrawn_and_after_a_restart(
    topics: Watched,
) -> None:
    monitor = topics.start()
    for number in range(20):
        topics.score(number, logit=number / 4, alert=number >= 10)
    topics.label(30, 1)  # before its score
    for number, label in ((3, 1), (12, 0), (13, 1), (14, 1)):
        topics.label(number, label)
    topics.wait_figures()
    topics.score(30, logit=3.0, alert=True)
    topics.score(30, logit=3.0, alert=True)  # a repeat
    topics.label(12, 1, time_ms=BEGIN_MS + 900_000)  # a correction
    topics.label(13, 0, time_ms=BEGIN_MS + 1)  # older than the one that is known
    topics.label(14, None, time_ms=BEGIN_MS + 900_000)  # withdrawn
    for topic in topics.sources:
        for value in (None, b"", b"\xff\x00", b"{}", b"[" * 10_000):
            topics.write(topic, "t3", value, BEGIN_MS)
    figures = topics.wait_figures()[f"all/0/{MODEL}"]
    assert (figures["scored"], figures["alerts"], figures["alerts_unlabelled"]) == (21, 11, 8)
    assert (figures["caught"], figures["missed"], figures["false_alerts"]) == (3, 1, 0)
    assert (figures["precision"], figures["recall"]) == (1.0, 0.75)
    for topic in topics.sources:
        name = f'monitor_left_out_total{{topic="{topic}"}}'
        wait_for("what was left out", partial(shows, monitor, name, 5))
    assert monitor.metric(f'monitor_recall{{model="{MODEL}",window="all"}}') == 0.75
    assert (monitor.stop(), "new start" in monitor.text()) == (0, True)

    topics.label(12, 0, time_ms=BEGIN_MS + 901_000)
    topics.score(31, logit=3.0, model=OTHER)
    topics.start()
    again = topics.wait_figures()
    assert again[f"all/0/{MODEL}"]["precision"] == 2 / 3
    assert again[f"day/{BEGIN_MS // 86_400_000 * 86_400_000}/{OTHER}"]["scored"] == 1


def test_kill_in_the_middle_changes_no_figure_while_transactions_are_let_go(
    topics: Watched,
) -> None:
    step = 1500
    for begin in range(0, 4 * step, step):
        monitor = topics.start(**KEEP)
        feed(topics, range(begin, begin + step))
        if begin % (2 * step):
            topics.wait_figures()
        else:
            wait_for("progress", partial(reads, monitor, topics.settings.scores_topic))
        monitor.kill()
    last = topics.start(**KEEP)
    last.wait_owner()
    topics.score(4 * step, logit=0.0)  # with the next record, what was too much is let go
    figures = topics.wait_figures()
    each = [figures[f"all/0/{model}"] for model in (MODEL, OTHER)]
    assert sum(figure["scored"] for figure in each) == 4 * step + 1
    alerts = sum(figure["alerts"] for figure in each)
    wait_for(
        "what is held: of those that did not alert, 4,000 and 1 in 100",
        lambda: 4000 < last.metric("monitor_held") - alerts <= 4041,
    )


def test_another_instance_takes_over_with_the_same_figures(topics: Watched) -> None:
    first = topics.start(**KEEP)
    first.wait_owner()
    feed(topics, range(1500))
    second = topics.start(**KEEP)  # joins while the first is at work
    feed(topics, range(1500, 3000))
    topics.wait_figures()
    wait_for("one owner", lambda: owners(topics) == 1)
    owner, other = (first, second) if first.metric("monitor_owner") else (second, first)
    feed(topics, range(3000, 4500))
    owner.kill()
    feed(topics, range(4500, 6000))
    other.wait_owner()
    topics.wait_figures()
    third = topics.start(**KEEP)
    feed(topics, range(6000, 7500))
    assert other.stop() == 0
    third.wait_owner()
    figures = topics.wait_figures()
    assert figures[f"all/0/{MODEL}"]["scored"] + figures[f"all/0/{OTHER}"]["scored"] == 7500


def shows(monitor: Monitor, name: str, value: float) -> bool:
    return monitor.metric(name) == value


def reads(monitor: Monitor, topic: str) -> bool:
    name = f'monitor_records_total{{topic="{topic}"}}'
    return "metrics" in monitor.text() and monitor.metric(name) > 0


def owners(topics: Watched) -> int:
    running = [each for each in topics.monitors if each.process.poll() is None]
    return sum(each.metric("monitor_owner") == 1 for each in running)


def test_broker_that_ends_and_comes_back_changes_no_figure(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    data = tmp_path / "kafka"
    with ExitStack() as whole:
        broker = ExitStack()
        whole.callback(lambda: broker.close())  # noqa: PLW0108 - the one of then
        cluster = broker.enter_context(local_kafka(data=data, port=port))
        topics = whole.enter_context(watched(cluster.bootstrap, tmp_path))
        monitor = topics.start(**KEEP)
        monitor.wait_owner()
        feed(topics, range(2000))
        end(cluster, signal.SIGKILL)
        broker.close()
        broker = ExitStack()
        broker.enter_context(local_kafka(data=data, port=port))
        feed(topics, range(2000, 3000))
        figures = topics.wait_figures()
        assert figures[f"all/0/{MODEL}"]["scored"] + figures[f"all/0/{OTHER}"]["scored"] == 3000
        assert monitor.stop() == 0


def test_what_an_exactly_once_scorer_has_aborted_is_in_no_figure(topics: Watched) -> None:
    topics.start()
    client = {"bootstrap.servers": topics.bootstrap, "transactional.id": topics.name}
    topics.producer = producer = Producer(client)
    producer.init_transactions(30)
    for number in range(6):
        producer.begin_transaction()
        topics.score(number, alert=True)
        topics.label(number, 1)
        topics.flush()
        end_transaction = producer.commit_transaction if number % 2 else producer.abort_transaction
        end_transaction(30)
    figures = topics.wait_figures()[f"all/0/{MODEL}"]
    assert (figures["scored"], figures["caught"]) == (3, 3)
    # The marks that end transactions take offsets, too: what is committed gets beyond them.
    wait_for("commits", lambda: topics.committed() == topics.last_read())


def test_monitor_gets_in_by_tls_and_scram_with_the_rights_of_the_readme_and_no_other(
    tmp_path: Path,
) -> None:
    with secured_kafka(tmp_path) as broker, watched(broker.bootstrap, tmp_path) as topics:
        topic, group = ResourceType.TOPIC, ResourceType.GROUP
        own = [f"{topics.name}-monitor-{each}" for each in ("events", "joined-changelog")]
        quality = topics.settings.quality_topic
        broker.grant(
            *((topic, name, AclOperation.READ) for name in (*topics.sources, *own)),
            *((topic, name, AclOperation.WRITE) for name in (quality, *own)),
            *((topic, name, AclOperation.CREATE) for name in own),
            (topic, quality, AclOperation.DESCRIBE_CONFIGS),
            (group, f"{topics.name}-monitor", AclOperation.READ),
        )
        topics.score(1, alert=True)
        topics.label(1, 1)
        monitor = topics.start(**broker.sasl())
        topics.wait_figures()
        wrong = topics.start(**broker.sasl(password="not-it"))
        assert wrong.process.wait(30) == 1
        assert len(wrong.text().splitlines()) == 1, wrong.text()
        assert monitor.stop() == 0
        assert PASSWORD not in monitor.text()


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"SCORER_SCORES_TOPIC": ""}, "SCORER_SCORES_TOPIC is empty"),
        ({"SCORER_LABELS_TOPIC": "nowhere"}, "topic 'nowhere' does not exist"),
        ({"SCORER_QUALITY_TOPIC": "{labels}-2"}, "cleanup.policy=delete: want compact"),
        ({"SCORER_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"}, "sasl.mechanism is GSSAPI"),
        ({"SCORER_HTTP_HOST": "192.0.2.1"}, "SCORER_HTTP_HOST and SCORER_MONITOR_PORT"),
    ],
)
def test_start_that_cannot_work_ends_in_one_line(
    topics: Watched, environ: dict[str, str], says: str
) -> None:
    other = f"{topics.settings.labels_topic}-2"
    admin = AdminClient({"bootstrap.servers": topics.bootstrap})
    admin.create_topics([NewTopic(other, 1, 1)])[other].result(30)
    named = {k: v.format(labels=topics.settings.labels_topic) for k, v in environ.items()}
    monitor = topics.start(**named)
    assert monitor.process.wait(30) == 1
    (line,) = monitor.text().splitlines()
    assert says in line


@pytest.mark.parametrize(
    ("bug", "says"),
    [
        ("agent-hangs", "has records from offset 0 on and has given none for"),
        ("loop-hangs", "hangs: the loop turned"),
        ("agent-raises", "ZeroDivisionError: an agent of ours"),
    ],
)
def test_monitor_that_gets_no_further_ends_with_a_line(
    topics: Watched, bug: str, says: str
) -> None:
    monitor = topics.start("tests.integration.stuck_monitor", bug)
    topics.score(1)
    topics.flush()
    assert monitor.process.wait(90) == 1
    assert says in monitor.text()
