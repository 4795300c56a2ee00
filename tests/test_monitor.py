"""The monitor's parts without faust: what it reads, passes on, tells and translates."""

import asyncio
import json
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from prometheus_client import CollectorRegistry, generate_latest

from stream_scorer.cli import cli
from stream_scorer.config import Settings
from stream_scorer.errors import BadInput, KafkaTrouble
from stream_scorer.monitor.board import Board
from stream_scorer.monitor.faust_settings import broker_urls, credentials, session_s
from stream_scorer.monitor.forwarding import PACK, Forwarder, unpack
from stream_scorer.monitor.joined import Event, Label, Pack, Passed, Seen
from stream_scorer.monitor.ledger import Ledger
from stream_scorer.monitor.places import described, topics
from stream_scorer.monitor.reading import LONGEST_ID, Decoder, NotOurs
from tests.test_monitor_ledger import MODEL, label, score

SCORE: dict[str, Any] = {
    "schema_version": 1,
    "transaction_id": "t-1",
    "probability": 0.9,
    "logit": 2.2,
    "model": {"version": "1", "sha256": MODEL},
    "source": {"topic": "in", "partition": 2, "offset": 7, "timestamp_ms": 1000},
}


def read(value: object, *, time_ms: int = 2000, alert: bool = False) -> Event:
    return Decoder().score(json.dumps(value).encode(), time_ms=time_ms, alert=alert)


def test_score_and_alert_are_the_same_but_for_the_alerts_time() -> None:
    assert read(SCORE) == Event("t-1", said=Seen(MODEL, 140, 1000, "in", 2, 7, None))
    alert = SCORE | {"alert_id": "x", "threshold": 0.8, "features": {"V1": 1}}
    assert read(alert, alert=True) == Event("t-1", said=Seen(MODEL, 140, 1000, "in", 2, 7, 2000))


@pytest.mark.parametrize("timestamp_ms", [-1, 0, 2000 + 86_400_001, 2**60])
def test_time_that_cannot_be_is_none(timestamp_ms: int) -> None:
    event = read(SCORE | {"source": SCORE["source"] | {"timestamp_ms": timestamp_ms}})
    assert event.said is not None
    assert event.said.time_ms == 0


@pytest.mark.parametrize(
    "value",
    [
        b"",
        None,
        b"{",
        b"[]",
        json.dumps({k: v for k, v in SCORE.items() if k != "logit"}).encode(),
        json.dumps(SCORE | {"logit": "2"}).encode(),
        json.dumps(SCORE | {"model": {"version": "1", "sha256": "w/all/0"}}).encode(),
        json.dumps(SCORE | {"transaction_id": "x" * (LONGEST_ID + 1)}).encode(),
        json.dumps(SCORE | {"source": SCORE["source"] | {"topic": "x" * 250}}).encode(),
        b"\xff" * 10,
        b"[" * 100_000,
    ],
)
def test_what_is_no_score_is_left_out(value: bytes | None) -> None:
    with pytest.raises(NotOurs):
        Decoder().score(value, time_ms=0, alert=False)


@pytest.mark.parametrize(("value", "fraud"), [(1, True), (0, False), (None, None)])
def test_label_says_fraud_genuine_or_that_nobody_knows_any_more(
    value: int | None,
    fraud: bool | None,  # noqa: FBT001
) -> None:
    text = json.dumps({"transaction_id": "t-1", "label": value, "verdict": "x"}).encode()
    found = Decoder().label(text, time_ms=5, partition=1, offset=2)
    assert found == Event("t-1", label=Label(fraud, 5, 1, 2))


@pytest.mark.parametrize("value", [None, b'{"transaction_id": "a", "label": 2}', b'{"label": 1}'])
def test_what_is_no_label_is_left_out(value: bytes | None) -> None:
    with pytest.raises(NotOurs):
        Decoder().label(value, time_ms=0, partition=0, offset=0)


class Source:
    def __init__(self, log: list[str]) -> None:
        self._log = log

    def ack(self) -> None:
        self._log.append("ack")


def test_events_are_acknowledged_after_their_pack_and_not_before() -> None:
    log: list[str] = []
    sent: list[bytes] = []

    async def send(value: bytes) -> None:
        log.append("send")
        await asyncio.sleep(0)
        sent.append(value)
        log.append("sent")

    async def feed() -> None:
        forwarder = Forwarder("scores", send)
        for number in range(PACK):
            await forwarder.take(Source(log), Passed(0, number, score(number)))
        await forwarder.take(Source(log), Passed(1, 7, label(3, fraud=True)))
        await forwarder.flush()
        await forwarder.flush()  # nothing waits: nothing is sent

    asyncio.run(feed())
    assert log == ["send", "sent", *["ack"] * PACK, "send", "sent", "ack"]
    assert unpack(sent[1]) == Pack("scores", [Passed(1, 7, label(3, fraud=True))])


def test_pack_of_long_ids_fits_into_a_topic_of_the_default_size() -> None:
    sent: list[bytes] = []

    async def send(value: bytes) -> None:
        sent.append(value)

    async def feed() -> None:
        forwarder = Forwarder("scores", send)
        for number in range(PACK):
            event = Event("\0" * LONGEST_ID, said=score(number).said)
            await forwarder.take(Source([]), Passed(0, number, event))
        await forwarder.flush()

    asyncio.run(feed())
    assert max(map(len, sent)) < 1_000_000
    assert sum(len(unpack(value).passed) for value in sent) == PACK


def test_pack_that_is_not_sent_is_not_acknowledged() -> None:
    log: list[str] = []

    async def send(_: bytes) -> None:
        raise ConnectionError

    async def feed() -> None:
        forwarder = Forwarder("scores", send)
        await forwarder.take(Source(log), Passed(0, 1, score(1)))
        with pytest.raises(ConnectionError):
            await forwarder.flush()

    asyncio.run(feed())
    assert not log


def test_figures_are_told_once_as_the_same_bytes_and_shown() -> None:
    registry = CollectorRegistry()
    board = Board(registry, top_k=100)
    ledger = Ledger(1000)
    ledger.take([score(1, rank=140, alert_ms=1_700_000_000_100), label(1, fraud=True)])
    told = board.look(ledger)
    assert [key.decode().split("/")[0] for key, _ in told] == ["all", "day", "hour"]
    assert board.look(ledger) == []
    again = Ledger(1000)
    again.take([label(1, fraud=True), score(1, rank=140, alert_ms=1_700_000_000_100)])
    assert Board(CollectorRegistry(), top_k=100).look(again) == told
    value = json.loads(told[1][1])
    assert (value["window"], value["start_ms"]) == ("day", 1_699_920_000_000)
    assert (value["precision"], value["top_k"]["precision"]) == (1.0, 1.0)
    shown = generate_latest(registry).decode()
    assert f'monitor_precision{{model="{MODEL}",window="all"}} 1.0\n' in shown
    assert f'monitor_label_delay_seconds{{model="{MODEL}",window="hour"}} 5.0\n' in shown
    board.look(None)  # another instance has taken over
    assert "monitor_precision{" not in generate_latest(registry).decode()


def test_newest_hour_is_shown() -> None:
    registry = CollectorRegistry()
    board, ledger = Board(registry, top_k=100), Ledger(1000)
    for number, hours in enumerate([5, 5, 7, 6]):
        ledger.take([score(number, time_ms=1_700_000_000_000 + hours * 3_600_000)])
    board.look(ledger)
    shown = generate_latest(registry).decode()
    assert f'monitor_scored{{model="{MODEL}",window="hour"}} 1.0\n' in shown
    assert f'monitor_scored{{model="{MODEL}",window="all"}} 4.0\n' in shown


def of(**kafka: str) -> Settings:
    names = {f"SCORER_KAFKA_{key.upper()}": value for key, value in kafka.items()}
    return Settings.load(environ={"SCORER_SCORES_TOPIC": "fraud-scores", **names})


def test_brokers_are_urls() -> None:
    urls = broker_urls(of(bootstrap_servers="one:9092, two:9093"))
    assert urls == ["kafka://one:9092", "kafka://two:9093"]


@pytest.mark.parametrize(
    ("kafka", "says"),
    [
        (
            {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"},
            "sasl.mechanism is OAUTHBEARER",
        ),
        ({"security_protocol": "SASL_PLAINTEXT"}, "sasl.mechanism is GSSAPI"),
        ({"ssl_keystore_location": "x"}, "SCORER_KAFKA_SSL_KEYSTORE_LOCATION"),
        ({"ssl_ca_pem": "x"}, "SCORER_KAFKA_SSL_CA_PEM"),
        ({"consumer_sasl_username": "x"}, "sasl.username of one side only"),
        ({"security_protocol": "SSL", "ssl_ca_location": "/nowhere.pem"}, "No such file"),
    ],
)
def test_what_the_client_cannot_do_is_refused(kafka: dict[str, str], says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        credentials(of(**kafka))
    assert len(str(caught.value).splitlines()) == 1


def test_session_time_out_is_the_scorers() -> None:
    assert session_s(of()) == 15.0
    assert session_s(of(consumer_session_timeout_ms="6000")) == 6.0
    with pytest.raises(BadInput, match=r"session\.timeout\.ms is 'soon'"):
        session_s(of(session_timeout_ms="soon"))


def test_scram_over_tls_is_translated_and_hosts_are_checked() -> None:
    found = credentials(
        of(
            security_protocol="SASL_SSL",
            sasl_mechanism="SCRAM-SHA-512",
            sasl_username="me",
            sasl_password="secret",
        )
    )["broker_credentials"]
    assert (found.username, found.password, found.mechanism.value) == (
        "me",
        "secret",
        "SCRAM-SHA-512",
    )
    assert found.protocol.value == "SASL_SSL"
    assert found.ssl_context.check_hostname


def test_without_scores_there_is_no_monitor() -> None:
    with pytest.raises(BadInput, match="SCORER_SCORES_TOPIC is empty"):
        topics(Settings())


class Cluster:
    """An admin client whose broker hears of a topic only after it was asked some times."""

    def __init__(self, answers: list[int | str]) -> None:
        self.left = answers

    def describe_topics(
        self, asked: TopicCollection, *, request_timeout: float
    ) -> dict[str, "Future[str]"]:
        answer: Future[str] = Future()
        match self.left.pop(0):
            case int(code):
                answer.set_exception(KafkaException(KafkaError(code)))
            case told:
                answer.set_result(told)
        return {"events": answer}


UNKNOWN = KafkaError.UNKNOWN_TOPIC_OR_PART


def test_topic_made_just_now_is_asked_for_until_the_broker_has_heard_of_it() -> None:
    cluster: Any = Cluster([UNKNOWN, UNKNOWN, "described"])
    told: Any = described(cluster, "events")
    assert told == "described"


def test_topic_that_may_not_be_described_is_named() -> None:
    cluster: Any = Cluster([UNKNOWN, KafkaError.TOPIC_AUTHORIZATION_FAILED, "described"])
    with pytest.raises(KafkaTrouble, match="'events' is not described by the cluster"):
        described(cluster, "events")


def test_monitor_refuses_what_would_tell_a_secret(tmp_path: Path) -> None:
    config = tmp_path / "scorer.toml"
    config.write_text(
        'scores_topic = "s"\n[kafka]\n"bootstrap.servers" = "far:1"\n'
        '"security.protocol" = "sasl_plaintext"\n"sasl.mechanism" = "PLAIN"\n'
    )
    done = CliRunner().invoke(cli, ["monitor", "--config", str(config)])
    assert isinstance(done.exception, BadInput)
    assert "sends the secret in the clear" in str(done.exception)
