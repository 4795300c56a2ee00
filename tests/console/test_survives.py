"""The console survives what the scorer survives: a broker that goes, a kill, a second console."""

import json
import uuid
from collections import Counter
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from sqlalchemy import func, select

from stream_scorer.config import Settings
from stream_scorer.console import labels, schema
from stream_scorer.console.database import Database
from stream_scorer.console.people import Person, Role
from stream_scorer.local_kafka import free_ports, local_kafka
from stream_scorer.topics import TopicReader
from tests.console.running import running
from tests.console.test_flow import alert
from tests.integration.stream import wait_for

pytestmark = pytest.mark.integration
ANA = Person(1, "ana", Role.ANALYST, "", "", "127.0.0.1", 0)
ALERTS = 200


class Topics:
    """Topics of a test's own, with alerts on them."""

    def __init__(self, bootstrap: str) -> None:
        name = uuid.uuid4().hex[:8]
        self.bootstrap = bootstrap
        self.environ = {
            "SCORER_KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "SCORER_GROUP_ID": name,
            "SCORER_TRANSACTIONS_TOPIC": f"{name}-in",
            "SCORER_ALERTS_TOPIC": f"{name}-alerts",
            "SCORER_LABELS_TOPIC": f"{name}-labels",
            "SCORER_DEAD_LETTERS_TOPIC": f"{name}-dlq",
            "SCORER_QUALITY_TOPIC": f"{name}-quality",
        }
        self.settings = Settings.load(environ=self.environ)
        names = [topic for key, topic in self.environ.items() if key.endswith("_TOPIC")]
        admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        for each in admin.create_topics([NewTopic(topic, 2, 1) for topic in names]).values():
            each.result(30)

    def send(self, numbers: range) -> None:
        producer = Producer({"bootstrap.servers": self.bootstrap, "log_level": 0})
        for number in numbers:
            value = json.dumps(alert(number)).encode()
            producer.produce(self.settings.alerts_topic, value, f"t{number}".encode())
        assert producer.flush(30) == 0

    def make_anew(self, topic: str) -> None:
        """Delete a topic and make another of its name."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        admin.delete_topics([topic])[topic].result(30)

        def made() -> bool:
            try:
                admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(30)
            except KafkaException:  # the old one is not gone yet
                return False
            return True

        wait_for(f"{topic} anew", made)

    def labels(self) -> Counter[str]:
        """Return how often each label id is on the topic."""
        reader = TopicReader(self.settings, self.settings.labels_topic)
        found = Counter(json.loads(each.value() or b"")["label_id"] for each in reader.held())
        reader.close()
        return found


@pytest.fixture
def topics(kafka: str) -> Topics:
    return Topics(kafka)


def alerts_of(database: Database) -> int:
    with database.reading() as connection:
        return connection.scalars(select(func.count()).select_from(schema.alert)).one()


def has_more(database: Database, than: int) -> bool:
    return alerts_of(database) > than


def mark(database: Database, number: int) -> None:
    with database.writing() as connection:
        labels.mark(
            connection, ANA, alert_id=f"a{number}", verdict="fraud", version=0, now=1000 + number
        )


def waiting(database: Database) -> int:
    with database.reading() as connection:
        return len(
            connection.execute(
                select(schema.outbox.c.id).where(schema.outbox.c.sent_at.is_(None))
            ).all()
        )


def test_labels_wait_while_the_broker_is_away_and_reach_it_once(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    data = tmp_path / "kafka"
    with ExitStack() as whole:
        broker = ExitStack()
        whole.callback(lambda: broker.close())  # noqa: PLW0108 - the one of then
        cluster = broker.enter_context(local_kafka(data=data, port=port))
        topics = Topics(cluster.bootstrap)
        topics.send(range(1, 11))
        url = f"sqlite:///{tmp_path}/console.db"
        console = whole.enter_context(running(tmp_path, url, topics.environ))
        console.add("viewer", Role.VIEWER)
        wait_for("the alerts", lambda: alerts_of(console.database) == 10)
        broker.close()
        wait_for("that it is told", lambda: "does not answer" in console.log.read_text())
        for number in range(1, 6):
            mark(console.database, number)
        viewer = console.signed_in("viewer")
        wait_for("the page", lambda: "does not answer" in viewer.get("/live").text)
        assert waiting(console.database) == 5
        broker = ExitStack()
        broker.enter_context(local_kafka(data=data, port=port))
        wait_for("the labels", lambda: waiting(console.database) == 0)
        assert set(topics.labels().values()) == {1}
        topics.send(range(11, 21))
        wait_for("what came since", lambda: alerts_of(console.database) == 20)


def test_console_that_is_killed_goes_on_where_it_was(topics: Topics, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/console.db"
    for begun in range(0, 3 * ALERTS, ALERTS):
        topics.send(range(begun, begun + ALERTS))
        with running(tmp_path, url, topics.environ) as console:
            wait_for("some alerts", partial(has_more, console.database, begun))
            mark(console.database, begun)
            console.kill()
    with running(tmp_path, url, topics.environ) as console:
        wait_for("all alerts", lambda: alerts_of(console.database) == 3 * ALERTS)
        wait_for("all labels", lambda: waiting(console.database) == 0)
        with console.database.reading() as connection:
            state = schema.alert.c.state
            found = connection.scalars(select(func.count()).where(state == "fraud")).one()
    assert found == 3
    assert len(topics.labels()) == 3


def test_topic_made_anew_while_the_console_is_stopped_is_read_from_its_beginning(
    topics: Topics, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/console.db"
    topics.send(range(10))
    with running(tmp_path, url, topics.environ) as console:
        wait_for("the alerts", lambda: alerts_of(console.database) == 10)
    topics.make_anew(topics.settings.alerts_topic)
    topics.send(range(10, 30))
    with running(tmp_path, url, topics.environ) as console:
        wait_for("the new topic's", lambda: alerts_of(console.database) == 30)
        topics.make_anew(topics.settings.alerts_topic)
        topics.send(range(30, 70))  # more than there were: no offset is out of range
        wait_for("the newest topic's", lambda: alerts_of(console.database) == 70)


@pytest.fixture
def shared(server: str) -> str:
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return server.replace("/postgres?", f"/{name}?")


def test_two_consoles_on_one_database_double_and_lose_nothing(
    topics: Topics, shared: str, tmp_path: Path
) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    topics.send(range(ALERTS))
    with (
        running(folders[0], shared, topics.environ) as one,
        running(folders[1], shared, topics.environ) as two,
    ):
        wait_for("the alerts", lambda: alerts_of(one.database) == ALERTS)
        for number in range(0, 40, 2):
            mark(one.database, number)
            mark(two.database, number + 1)
        topics.send(range(ALERTS, 2 * ALERTS))
        wait_for("all alerts", lambda: alerts_of(two.database) == 2 * ALERTS)
        wait_for("all labels", lambda: waiting(two.database) == 0)
    found = topics.labels()
    assert (len(found), set(found.values())) == (40, {1})
