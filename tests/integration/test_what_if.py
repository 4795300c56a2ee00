"""`stream-scorer what-if` on the topics of a real Kafka: the figures of the file, and bad input."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from producer.generate import csv_lines
from tests.integration.stream import Stream, fresh_stream, wait_for
from tests.integration.test_commands import command

pytestmark = pytest.mark.integration

ROWS = 1500
COSTS = ("--false-alert-cost", "5")


@pytest.fixture
def stream(kafka: str, tmp_path: Path) -> Iterator[Stream]:
    with fresh_stream(kafka, tmp_path, partitions=2) as each:
        yield each


def topics(stream: Stream) -> dict[str, str]:
    """Make the labels topic; return the settings that name it and that of the scores."""
    labels = f"{stream.settings.group_id}-labels"
    admin = AdminClient({"bootstrap.servers": stream.bootstrap})
    admin.create_topics([NewTopic(labels, stream.partitions, 1)])[labels].result(30)
    return {
        "SCORER_SCORES_TOPIC": stream.settings.scores_topic,
        "SCORER_LABELS_TOPIC": labels,
    }


def models(stdout: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(stdout)["models"]
    return found


def test_topics_give_what_the_file_gives_and_say_what_is_missing(
    stream: Stream, tmp_path: Path, tiny_path: Path
) -> None:
    named = topics(stream)

    def ask(*arguments: str, **environ: str) -> Any:
        return command("what-if", *arguments, stream=stream, **named, **environ)

    for environ, says in (
        ({}, "holds no scores"),
        ({"SCORER_SCORES_TOPIC": ""}, "SCORER_SCORES_TOPIC is empty"),
        ({"SCORER_LABELS_TOPIC": "nowhere"}, "'nowhere' does not exist"),
    ):
        done = command("what-if", stream=stream, **named | environ)
        (line,) = done.stderr.splitlines()
        assert (done.returncode, says in line) == (1, True), line

    table = tmp_path / "some.csv"
    table.write_text("\n".join(csv_lines(ROWS, seed=5, fraud_rate=0.05)))
    # Of late: what is older than a topic's retention may be deleted at any moment.
    begun = datetime.now(UTC) - timedelta(days=1)
    replay = ("replay", str(table), "--start-at", begun.isoformat(), "--json")
    first = stream.start()
    assert command(*replay, "--limit", "900", stream=stream).returncode == 0
    stream.wait_committed(900)
    unlabelled = ask()
    assert (unlabelled.returncode, "holds no labels" in unlabelled.stderr) == (1, True)
    # All of it, with the labels: what came before is scored twice and has the same ids.
    assert command(*replay, "--labels", stream=stream, **named).returncode == 0
    stream.wait_committed(900 + ROWS)
    assert first.stop() == 0

    (of_file,) = models(command("what-if", str(table), *COSTS, "--json").stdout)
    (of_topics,) = models(ask(*COSTS, "--json").stdout)
    assert of_topics["repeated"] == 900
    assert of_topics["days"] == pytest.approx(of_file["days"], rel=1e-6)
    assert len(of_topics["thresholds"]) == len(of_file["thresholds"]) > 10
    for ours, theirs in zip(of_topics["thresholds"], of_file["thresholds"], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-6)
    for key in ("frauds", "genuine", "unlabelled", "sha256"):
        assert of_topics[key] == of_file[key]

    group = f"{stream.settings.group_id}-second"
    second = stream.start(SCORER_MODEL=str(tiny_path), SCORER_GROUP_ID=group)
    second.wait_assigned()
    everything = 2 * (900 + ROWS)
    scores = stream.settings.scores_topic
    wait_for("the second model's scores", lambda: stream.written(scores) >= everything)
    assert second.stop() == 0
    both = models(ask("--json").stdout)
    assert {each["sha256"] for each in both} > {of_file["sha256"]}
    assert [each["frauds"] for each in both] == [of_file["frauds"]] * 2
    tiny = next(each["sha256"] for each in both if each["sha256"] != of_file["sha256"])
    chosen = models(ask("--json", "--against", tiny[:8]).stdout)
    assert [each["sha256"] for each in chosen] == [of_file["sha256"], tiny]

    for number in range(stream.partitions):
        place = TopicPartition(stream.settings.transactions_topic, number, -1)
        admin = AdminClient({"bootstrap.servers": stream.bootstrap})
        admin.delete_records([place])[place].result(30)
    gone = ask(COLUMNS="200")
    assert gone.returncode == 0, gone.stderr
    assert f"the Amount of {of_file['frauds']} of the frauds is not known" in gone.stdout
    cost = ask(*COSTS)
    assert (cost.returncode, "give a number" in cost.stderr) == (1, True), cost.stderr
    number = ask(*COSTS, "--missed-fraud-cost", "100")
    assert (number.returncode, "Best for" in number.stdout) == (0, True)
