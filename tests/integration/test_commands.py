"""The commands as a person runs them, on a real Kafka and without one."""

import csv
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from producer.generate import csv_lines
from tests.environ import own_environ
from tests.integration.stream import Stream, fresh_stream

pytestmark = pytest.mark.integration

THRESHOLD = 0.800000011920929  # the float32 nearest to 0.8
QUICK_S = 15.0  # the promise for a start that cannot work


@pytest.fixture
def stream(kafka: str, tmp_path: Path) -> Iterator[Stream]:
    with fresh_stream(kafka, tmp_path) as each:
        yield each


def command(
    *arguments: str, stream: Stream | None = None, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run `stream-scorer` to its end."""
    own = own_environ()
    if stream is not None:
        own |= {
            "SCORER_KAFKA_BOOTSTRAP_SERVERS": stream.bootstrap,
            "SCORER_TRANSACTIONS_TOPIC": stream.settings.transactions_topic,
            "SCORER_ALERTS_TOPIC": stream.settings.alerts_topic,
            "SCORER_DEAD_LETTERS_TOPIC": stream.settings.dead_letters_topic,
            "SCORER_GROUP_ID": stream.settings.group_id,
        }
    return subprocess.run(
        [sys.executable, "-m", "stream_scorer", *arguments],
        env=own | {"SCORER_HTTP_PORT": "0"} | environ,
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"SCORER_ALERTS_TOPIC": "nowhere"}, "topic 'nowhere' does not exist.*create it"),
        ({"SCORER_KAFKA_BOOTSTRAP_SERVERS": closed_port()}, "does not answer.*BOOTSTRAP_SERVERS"),
        ({"SCORER_KAFKA_BOOTSTRAP_SERVERS": "no-such-host.invalid:9092"}, "does not answer"),
        (
            {
                "SCORER_KAFKA_SECURITY_PROTOCOL": "sasl_plaintext",
                "SCORER_KAFKA_SASL_MECHANISM": "PLAIN",
                "SCORER_KAFKA_SASL_USERNAME": "me",
                "SCORER_KAFKA_SASL_PASSWORD": "geheim",
            },
            "does not answer.*SASL",
        ),
        ({"SCORER_TRESHOLD": "1"}, "did you mean SCORER_THRESHOLD"),
        ({"SCORER_MODEL": "/nowhere.onnx"}, "'/nowhere.onnx'.*SCORER_MODEL"),
        ({"SCORER_MODEL": __file__}, "cannot be opened"),
        ({"SCORER_MODEL_SHA256": "0" * 64}, "want 0000"),
        ({"SCORER_CHALLENGER": "/nowhere.onnx"}, "'/nowhere.onnx'.*SCORER_CHALLENGER"),
        ({"SCORER_CONTROL_TOPIC": "nowhere"}, "topic 'nowhere' does not exist"),
    ],
    ids=[
        "topic",
        "address",
        "host",
        "password",
        "setting",
        "no-model",
        "no-onnx",
        "sha256",
        "challenger",
        "control",
    ],
)
def test_start_that_cannot_work_says_so_in_one_line(
    stream: Stream, environ: dict[str, str], says: str
) -> None:
    begun = time.monotonic()
    done = command("run", stream=stream, **environ)
    assert time.monotonic() - begun < QUICK_S
    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("stream-scorer: ")
    assert "geheim" not in done.stderr
    assert re.search(says, lines[0]), lines[0]


def test_file_and_stream_agree_to_the_last_bit(stream: Stream, tmp_path: Path) -> None:
    table = tmp_path / "some.csv"
    table.write_text("\n".join(csv_lines(3000, seed=5, fraud_rate=0.03)))
    scorer = stream.start()
    replayed = command("replay", str(table), "--json", stream=stream)
    assert replayed.returncode == 0, replayed.stderr
    stream.wait_committed(3000)
    assert scorer.stop() == 0
    out = tmp_path / "scored.csv"
    assert command("score", str(table), "-o", str(out)).returncode == 0
    with out.open() as file:
        rows = {row["transaction_id"]: row for row in csv.DictReader(file)}
    streamed = {(m.key() or b"").decode(): json.loads(m.value() or b"") for m in stream.scores()}
    assert rows.keys() == streamed.keys()
    assert {k: float(r["probability"]) for k, r in rows.items()} == {
        k: value["probability"] for k, value in streamed.items()
    }
    alerted = {(m.key() or b"").decode() for m in stream.alerts()}
    assert {k for k, row in rows.items() if row["decision"] == "fraud"} == alerted
    assert alerted


def test_alerts_are_shown_as_table_and_as_json(stream: Stream, tmp_path: Path) -> None:
    empty = command("alerts", stream=stream)
    assert (empty.returncode, "No alerts" in empty.stderr) == (0, True)
    table = tmp_path / "some.csv"
    table.write_text("\n".join(csv_lines(500, seed=5, fraud_rate=0.2)))
    scorer = stream.start()
    assert command("replay", str(table), "--json", stream=stream).returncode == 0
    stream.wait_committed(500)
    assert scorer.stop() == 0
    as_json = command("alerts", "--json", "--last", "3", stream=stream)
    alerts = [json.loads(line) for line in as_json.stdout.splitlines()]
    assert len(alerts) == 3
    assert all(alert["probability"] >= THRESHOLD for alert in alerts)
    shown = command("alerts", "--last", "3", stream=stream, COLUMNS="200").stdout
    assert all(alert["transaction_id"] in shown for alert in alerts)
    assert "V14" in shown


def test_check_is_good_where_run_would_work_and_names_what_is_missing(stream: Stream) -> None:
    good = command("check", "--json", stream=stream)
    assert good.returncode == 0, good.stdout
    findings = json.loads(good.stdout)["findings"]
    assert all(finding["good"] for finding in findings)
    bad = command("check", stream=stream, SCORER_DEAD_LETTERS_TOPIC="nowhere", COLUMNS="200")
    assert bad.returncode == 1
    assert "topic 'nowhere' does not exist" in bad.stdout
    secret = command("check", stream=stream, SCORER_KAFKA_SASL_PASSWORD="geheim")
    assert "geheim" not in secret.stdout + secret.stderr


@pytest.mark.parametrize(
    "environ",
    [{"SCORER_KAFKA_CONSUMER_NOSUCH_KEY": "x"}, {"SCORER_KAFKA_PRODUCER_LINGER_MS": "soon"}],
    ids=str,
)
def test_check_refuses_what_run_refuses(stream: Stream, environ: dict[str, str]) -> None:
    for name in ("check", "run"):
        assert command(name, stream=stream, **environ).returncode == 1


@pytest.mark.parametrize("topic", ["alerts_topic", "scores_topic", "dead_letters_topic"])
def test_check_refuses_a_compacted_topic_of_outcomes(stream: Stream, topic: str) -> None:
    name = getattr(stream.settings, topic)
    stream.set_topic(name, "cleanup.policy", "compact,delete")
    done = command(
        "check", stream=stream, COLUMNS="300", SCORER_SCORES_TOPIC=stream.settings.scores_topic
    )
    assert done.returncode == 1
    assert f"cleanup.policy of {name} is compact,delete: want delete" in done.stdout


@pytest.mark.parametrize("bytes_", ["1000", "1004095"])
def test_check_refuses_dead_letters_that_are_too_narrow(stream: Stream, bytes_: str) -> None:
    stream.set_topic(stream.settings.dead_letters_topic, "max.message.bytes", bytes_)
    done = command("check", stream=stream, COLUMNS="200")
    assert done.returncode == 1
    assert "max.message.bytes" in done.stdout
