"""TLS, SASL and rights on a broker that asks for them: just enough serves, less is told."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka.admin import AclOperation, ResourceType

from producer.generate import generate
from stream_scorer.config import Settings
from stream_scorer.records import Headers
from tests.integration.secured import PASSWORD, Right, Secured, secured_kafka
from tests.integration.stream import Stream, fresh_stream, wait_for
from tests.integration.test_stream import events, ids

pytestmark = pytest.mark.integration

ROWS = np.concatenate(list(generate(2000, seed=21, fraud_rate=0.05)))[:, :-1]
PAN = "4111111111111111"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    with secured_kafka(tmp_path_factory.mktemp("certificates")) as each:
        yield each


@pytest.fixture
def stream(broker: Secured, tmp_path: Path) -> Iterator[Stream]:
    # Who ends without leaving its group is missed soon.
    soon = {"SCORER_KAFKA_CONSUMER_SESSION_TIMEOUT_MS": "6000"}
    with fresh_stream(broker.bootstrap, tmp_path, partitions=2, **soon) as each:
        yield each


def rights(settings: Settings, *, replica: str = "replica-0") -> dict[str, Right]:
    """Return what README.md grants a scorer, by what it is for."""
    topic, group, of_transactions = (
        ResourceType.TOPIC,
        ResourceType.GROUP,
        ResourceType.TRANSACTIONAL_ID,
    )
    s = settings
    return {
        "transactions": (topic, s.transactions_topic, AclOperation.READ),
        "group": (group, s.group_id, AclOperation.READ),
        "alerts": (topic, s.alerts_topic, AclOperation.WRITE),
        "scores": (topic, s.scores_topic, AclOperation.WRITE),
        "dead letters": (topic, s.dead_letters_topic, AclOperation.WRITE),
        "transactional id": (of_transactions, f"{s.group_id}-{replica}", AclOperation.WRITE),
    }


def command(
    stream: Stream, name: str, *arguments: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of the program as the scorer's user; a run that does not end is a failure."""
    return subprocess.run(
        [sys.executable, "-m", "stream_scorer", name, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={
            "COLUMNS": "500",  # nothing is wrapped
            **stream.names(),
            "SCORER_HTTP_PORT": "0",
            "SCORER_REPLICA": "replica-0",
            **environ,
        },
    )


@pytest.mark.parametrize("guarantee", ["at-least-once", "exactly-once"])
def test_the_rights_of_the_readme_are_enough(
    broker: Secured, stream: Stream, guarantee: str
) -> None:
    needed = rights(stream.settings)
    if guarantee == "at-least-once":
        del needed["transactional id"]
    broker.grant(*needed.values())
    sent = [*events(ROWS), *((f"bad-{i}", b"{") for i in range(20))]
    stream.send(sent)
    scorer = stream.start(SCORER_GUARANTEE=guarantee, **broker.sasl())
    stream.wait_committed(len(sent))
    assert scorer.stop() == 0
    assert len(stream.scores()) == len(ROWS)
    assert len(stream.dead_letters()) == 20
    assert stream.alerts()


@pytest.mark.parametrize(
    ("lacking", "says"),
    [
        ("transactions", "may not be seen by this user"),
        ("group", "Group authorization failed"),
        ("alerts", "may not be seen by this user"),
        ("dead letters", "may not be seen by this user"),
        ("transactional id", "Transactional Id authorization failed"),
    ],
)
def test_a_right_that_lacks_stops_the_scorer_in_one_line_and_nothing_is_committed(
    broker: Secured, stream: Stream, lacking: str, says: str
) -> None:
    needed = rights(stream.settings)
    del needed[lacking]
    broker.grant(*needed.values())
    stream.send([*events(ROWS[:50]), ("bad", b"{")])
    found = command(stream, "run", SCORER_GUARANTEE="exactly-once", **broker.sasl())
    assert found.returncode == 1
    assert says in found.stderr.splitlines()[-1]
    assert "Traceback" not in found.stderr
    assert stream.committed() == 0


@pytest.mark.parametrize("taken", ["transactions", "group", "alerts", "transactional id"])
def test_a_right_that_is_taken_meanwhile_loses_nothing_and_repeats_nothing(
    broker: Secured, stream: Stream, taken: str
) -> None:
    needed = rights(stream.settings)
    broker.grant(*needed.values())
    with stream.load(chain.from_iterable(events(ROWS, start=k * 2000) for k in count())) as sent:
        scorer = stream.start(SCORER_GUARANTEE="exactly-once", **broker.sasl())
        wait_for("some progress", lambda: stream.committed() > 0)
        broker.revoke(needed[taken])
        assert scorer.process.wait(60) == 1
        assert "uthorization failed" in scorer.text().splitlines()[-1]
    broker.grant(needed[taken])
    again = stream.start(
        SCORER_GUARANTEE="exactly-once", SCORER_REPLICA="replica-0", **broker.sasl()
    )
    stream.wait_committed(len(sent))
    assert again.stop() == 0
    assert ids(stream.scores()) == dict.fromkeys(sent, 1)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512", "OAUTHBEARER"])
def test_every_mechanism_lets_the_scorer_in(
    broker: Secured, stream: Stream, mechanism: str
) -> None:
    broker.grant(*rights(stream.settings).values())
    stream.send([*events(ROWS[:50])])
    scorer = stream.start(**broker.sasl(mechanism))
    stream.wait_committed(50)
    assert scorer.stop() == 0


def test_a_client_certificate_lets_the_scorer_in_and_none_does_not(
    broker: Secured, stream: Stream
) -> None:
    broker.grant(*rights(stream.settings).values())
    stream.send([*events(ROWS[:50])])
    tls = broker.client("MUTUAL", SCORER_KAFKA_SECURITY_PROTOCOL="SSL")
    refused = command(stream, "run", **tls)
    assert refused.returncode == 1
    assert "certificate" in refused.stderr.splitlines()[-1].lower()
    own = str(broker.folder / "client.pem")
    scorer = stream.start(
        **tls, SCORER_KAFKA_SSL_CERTIFICATE_LOCATION=own, SCORER_KAFKA_SSL_KEY_LOCATION=own
    )
    stream.wait_committed(50)
    assert scorer.stop() == 0


@pytest.mark.parametrize(
    ("listener", "changes", "says"),
    [
        ("EXPIRED", {}, "certificate"),
        ("OTHERHOST", {}, "certificate"),
        ("TLS", {"SCORER_KAFKA_SSL_CA_LOCATION": "stranger.pem"}, "certificate"),
        ("TLS", {"SCORER_KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"}, "another security.protocol"),
        ("SASL", {}, "another security.protocol"),
        ("CLEAR", {}, "another security.protocol"),
    ],
    ids=[
        "expired",
        "other host",
        "stranger's authority",
        "clear to TLS",
        "no SASL",
        "TLS to clear",
    ],
)
def test_what_is_wrong_with_tls_is_told_within_fifteen_seconds(
    broker: Secured, stream: Stream, listener: str, changes: dict[str, str], says: str
) -> None:
    changes = {
        name: str(broker.folder / value) if value.endswith(".pem") else value
        for name, value in changes.items()
    }
    tls = broker.client(listener, **{"SCORER_KAFKA_SECURITY_PROTOCOL": "SSL", **changes})
    for name in ("run", "check"):
        found = command(stream, name, **tls)
        assert found.returncode == 1
        assert says in (found.stdout + found.stderr).lower()
        assert "Traceback" not in found.stderr


def test_a_wrong_password_is_told_and_not_shown(broker: Secured, stream: Stream) -> None:
    for mechanism in ("PLAIN", "SCRAM-SHA-512"):
        found = command(stream, "run", **broker.sasl(mechanism, "wrong-geheim"))
        assert found.returncode == 1
        assert "uthentication failed" in found.stderr.splitlines()[-1]
        assert "geheim" not in found.stdout + found.stderr


def test_a_password_that_is_changed_meanwhile_is_told_and_loses_nothing(
    broker: Secured, stream: Stream
) -> None:
    broker.grant(*rights(stream.settings).values())
    stream.send([*events(ROWS[:500])])
    try:
        scorer = stream.start(**broker.sasl())
        stream.wait_committed(500)
        broker.set_password("another")
        stream.send([*events(ROWS[:500], start=500)])
        stream.wait_committed(1000)  # those who are in stay in
        assert scorer.stop() == 0
        refused = command(stream, "run", **broker.sasl())
        assert refused.returncode == 1
        assert "uthentication failed" in refused.stderr.splitlines()[-1]
        again = stream.start(**broker.sasl(password="another"))
        stream.send([*events(ROWS[:500], start=1000)])
        stream.wait_committed(1500)
        assert again.stop() == 0
    finally:
        broker.set_password(PASSWORD)
    assert len(ids(stream.scores())) == 1500


def test_no_secret_and_no_card_number_is_told_anywhere(broker: Secured, stream: Stream) -> None:
    broker.grant(*rights(stream.settings).values())
    value = next(iter(events(ROWS[:1])))[1]
    good = {**json.loads(value), "card": PAN}
    sent = [
        (PAN, json.dumps(good).encode()),
        (PAN, f'{{"card": {PAN}'.encode()),
        (PAN, json.dumps({**good, "V1": PAN}).encode()),
        (PAN, json.dumps({**good, "V1": None}).encode()),
        (PAN, json.dumps({PAN: 1, **good}).encode()),
        (PAN, None),
        (f"{PAN}\r\nforged line", b"\xff" + PAN.encode()),
    ]
    stream.send(sent)
    debug = {"SCORER_KAFKA_DEBUG": "security,broker,protocol,cgrp,msg", "SCORER_SINKS": "kafka,log"}
    scorer = stream.start(**debug, SCORER_DUPLICATE_KEYS="count", **broker.sasl())
    stream.wait_committed(len(sent))
    told = [scorer.text()]
    told.append(urllib.request.urlopen(scorer.metrics_url(), timeout=5).read().decode())
    told.append(str(scorer.process.args))
    assert scorer.stop() == 0
    for letter in stream.dead_letters():
        headers: Headers = letter.headers() or []  # type: ignore[assignment]
        told += [(text or b"").decode() for name, text in headers if name.startswith("dlq.")]
    for name, arguments in (("check", ()), ("check", ("--json",)), ("run", ("--threshold", "2"))):
        found = command(stream, name, *arguments, **broker.sasl())
        told += [found.stdout, found.stderr]
    crashed = command(stream, "run", **debug, **broker.sasl(password="wrong" + PASSWORD))
    told += [crashed.stdout, crashed.stderr]
    for text in told:
        assert PASSWORD not in text
        assert PAN not in text
    assert len(stream.dead_letters()) == 5
