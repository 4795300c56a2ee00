"""`stream-scorer check`: settings, model, broker, topics and rights, without joining the group."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (
    AclOperation,
    AdminClient,
    ClusterMetadata,
    ConfigResource,
    ResourceType,
)
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stream_scorer import clients
from stream_scorer.challenger import Challenger
from stream_scorer.codecs import decoder_maker
from stream_scorer.config import Settings
from stream_scorer.control import ControlTopic, find
from stream_scorer.errors import ScorerError
from stream_scorer.flags import RUN_SETTINGS, settings_options
from stream_scorer.model import Model, warm_up
from stream_scorer.policy import Policy
from stream_scorer.records import DLQ_HEADROOM_BYTES
from stream_scorer.registry import connect

ANSWER_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    what: str
    good: bool
    text: str  # what was found, or what is wrong and what to do


@click.command()
@click.option("--json", "as_json", is_flag=True, help="The findings as JSON.")
@settings_options(*RUN_SETTINGS)
def check(*, as_json: bool, settings: Settings) -> int:
    """Look whether `run` would work: settings, model, broker, topics, rights.

    \b
    Example: SCORER_KAFKA_BOOTSTRAP_SERVERS=broker:9092 stream-scorer check

    Nothing is changed and the group is not joined. Exits 0 only if all is good.
    """
    findings = list(look(settings))
    if as_json:
        rows = [{"what": f.what, "good": f.good, "text": f.text} for f in findings]
        click.echo(json.dumps({"settings": settings.shown(), "findings": rows}, indent=2))
    else:
        table = Table(box=None, show_header=False)
        for name, value in settings.shown().items():
            table.add_row("  ", name, Text(str(value)))
        for finding in findings:
            mark = Text("ok", "green") if finding.good else Text("NO", "bold red")
            table.add_row(mark, Text(finding.what), Text(finding.text))
        Console().print(table)
    wrong = sum(not finding.good for finding in findings)
    if not as_json:
        click.echo(f"To mend: {wrong}" if wrong else "All good. Next: stream-scorer run")
    return 1 if wrong else 0


def look(settings: Settings) -> Iterator[Finding]:
    """Yield what is found, in the order in which it matters."""
    yield attempt("model", lambda: describe_model(settings))
    if settings.challenger:
        yield attempt("challenger", lambda: describe_challenger(settings))
    if settings.registry_url:
        yield attempt("schema registry", lambda: reach_registry(settings))
    yield attempt("Kafka settings", lambda: try_clients(settings))
    try:
        metadata = clients.describe_cluster(settings)
    except ScorerError as exc:
        yield Finding("broker", good=False, text=str(exc))
        return
    brokers = len(metadata.brokers)
    yield Finding("broker", good=True, text=f"{clients.bootstrap(settings)}, {brokers} brokers")
    there = []
    for name in [settings.transactions_topic, *settings.outputs]:
        finding = attempt(f"topic {name}", partial(describe, metadata, name, settings))
        yield finding
        there += [name] if finding.good else []
    admin = clients.admin(settings)
    if settings.transactions_topic in there:
        yield attempt("consumer", lambda: reach_as_consumer(settings))
    if settings.alerts_topic in there:
        yield attempt("producer", lambda: reach_as_producer(settings))
    yield from look_at_topics(admin, settings, there)
    yield attempt("right on the group", lambda: group_right(admin, settings.group_id))


def look_at_topics(admin: AdminClient, settings: Settings, there: list[str]) -> Iterator[Finding]:
    """Yield what is found of the settings of, and the rights on, the topics that are there."""
    if settings.control_topic in there:
        yield attempt("control topic", lambda: require_compaction(admin, settings.control_topic))
        yield attempt("model asked for", lambda: describe_request(settings))
    for name in (settings.alerts_topic, settings.scores_topic, settings.dead_letters_topic):
        if name in there:
            yield attempt(f"cleanup of {name}", partial(refuse_compaction, admin, name))
    yield attempt("largest record", lambda: compare_sizes(admin, settings, there))
    wanted = {settings.transactions_topic: AclOperation.READ} | dict.fromkeys(
        settings.outputs, AclOperation.WRITE
    )
    for name in there:
        yield attempt(f"right on {name}", partial(topic_right, admin, name, wanted[name]))
    if settings.control_topic in there:  # it is written to, and read
        right = partial(topic_right, admin, settings.control_topic, AclOperation.READ)
        yield attempt(f"right to read {settings.control_topic}", right)


def attempt(what: str, step: Callable[[], str]) -> Finding:
    """Turn a step's result, or its error, into a finding."""
    try:
        return Finding(what, good=True, text=step())
    except ScorerError as exc:
        return Finding(what, good=False, text=str(exc))
    except KafkaException as exc:
        error = exc.args[0]
        return Finding(what, good=False, text=f"{error.name()}: {error.str()}")


def reach_registry(settings: Settings) -> str:
    """Ask the registry for a schema that it need not have."""
    decoder_maker(settings)
    connect(settings).schema(1)
    return f"{settings.registry_url} answers"


def try_clients(settings: Settings) -> str:
    """Make the clients that `run` makes; they need no broker for that."""
    clients.consumer(settings).close()
    clients.producer(settings)
    return "taken by librdkafka"


def reach_as_consumer(settings: Settings) -> str:
    """Reach the transactions with the consumer's own settings."""
    consumer = clients.consumer(settings)
    try:
        clients.reach(consumer, settings.transactions_topic, "consumer")
    finally:
        consumer.close()
    return f"reaches {settings.transactions_topic}"


def reach_as_producer(settings: Settings) -> str:
    """Reach the alerts with the producer's own settings."""
    clients.reach(clients.producer(settings), settings.alerts_topic, "producer")
    return f"reaches {settings.alerts_topic}"


def describe_model(settings: Settings) -> str:
    """Load the model, which checks it; say what it is and what events must hold."""
    model = Model.load(settings.model, sha256=settings.model_sha256, setting="SCORER_MODEL")
    warm_up(model, settings.max_batch_rows)
    Policy.of(settings, model.feature_names)
    names = ", ".join(model.feature_names)
    return f"{model.name} {model.version} ({model.sha256[:12]}), golden rows hold; events: {names}"


def describe_request(settings: Settings) -> str:
    """Load the model that the control topic asks for, as `run` does; say what it is."""
    request = ControlTopic(settings).newest()[1]
    if request is None:
        return "none: SCORER_MODEL scores"
    path, sha256 = find(request, path=settings.model, pin=settings.model_sha256)
    model = Model.load(path, sha256=sha256)
    return f"{model.name} {model.version} ({model.sha256[:12]}) scores instead of SCORER_MODEL"


def describe_challenger(settings: Settings) -> str:
    """Load the challenger and fit it beside the model; say what it is."""
    champion = Model.load(settings.model, sha256=settings.model_sha256, setting="SCORER_MODEL")
    second = Challenger.beside(
        champion, Model.load(settings.challenger or Path(), setting="SCORER_CHALLENGER"), sample=0
    ).model
    warm_up(second, settings.max_batch_rows)
    return f"{second.name} {second.version} ({second.sha256[:12]}), golden rows hold"


def describe(metadata: ClusterMetadata, name: str, settings: Settings) -> str:
    """Say how many partitions a topic has; raise if it is not there."""
    count = clients.count_partitions(metadata, name, settings)
    copies = {len(each.replicas) for each in metadata.topics[name].partitions.values()}
    return f"{count} partitions, {min(copies)} copies"


def compare_sizes(admin: AdminClient, settings: Settings, there: list[str]) -> str:
    """Check that the topic of dead letters takes the largest that may be written to it."""
    pair = [settings.transactions_topic, settings.dead_letters_topic]
    if not set(pair) <= set(there):
        raise ScorerError("not known: a topic is missing")
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in pair]
    answers = admin.describe_configs(asked, request_timeout=ANSWER_TIMEOUT_S)
    try:
        largest = {r.name: int(f.result()["max.message.bytes"].value) for r, f in answers.items()}
    except KafkaException as exc:
        error = exc.args[0]
        if error.code() != KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise
        raise ScorerError("not known: want the right DESCRIBE_CONFIGS on both topics") from exc
    into, out = largest[pair[0]], largest[pair[1]]
    whole = settings.oversize == "whole"
    want = DLQ_HEADROOM_BYTES + (into if whole else settings.largest_record_bytes)
    if out < want:
        kept = f"{pair[0]} takes {into}" if whole else "so much of a record may be kept"
        raise ScorerError(
            f"max.message.bytes of {pair[1]} is {out}: want {want}, as {kept} and a dead letter "
            "carries headers beside the record"
        )
    return f"{into} bytes in, {out} in dead letters"


def require_compaction(admin: AdminClient, topic: str) -> str:
    """Check that the control topic keeps its newest request, however old."""
    policy = cleanup_policy(admin, topic)
    if policy != "compact":
        raise ScorerError(f"cleanup.policy of {topic} is {policy}: want compact, or requests go")
    return "compacted"


def refuse_compaction(admin: AdminClient, topic: str) -> str:
    """Check that every record of a topic stays, and that one without a key may be written."""
    try:
        policy = cleanup_policy(admin, topic)
    except KafkaException as exc:
        if exc.args[0].code() != KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise
        return "not known: the right DESCRIBE_CONFIGS on it is missing"
    if "compact" in policy:
        raise ScorerError(
            f"cleanup.policy of {topic} is {policy}: want delete; a compacted topic refuses "
            "records without a key, which stops run, and keeps only the newest of each key"
        )
    return policy


def cleanup_policy(admin: AdminClient, topic: str) -> str:
    """Return the cleanup.policy of a topic; raises KafkaException."""
    asked = ConfigResource(ResourceType.TOPIC, topic)
    (answer,) = admin.describe_configs([asked], request_timeout=ANSWER_TIMEOUT_S).values()
    return str(answer.result()["cleanup.policy"].value)


def topic_right(admin: AdminClient, name: str, wanted: AclOperation) -> str:
    """Check one right on one topic."""
    asked = TopicCollection([name])
    answer = admin.describe_topics(
        asked, include_authorized_operations=True, request_timeout=ANSWER_TIMEOUT_S
    )
    return has(answer[name].result().authorized_operations, wanted)


def group_right(admin: AdminClient, group: str) -> str:
    """Check that the group may be read; a new broker takes seconds to be ready for groups."""

    def ask() -> Any:  # noqa: ANN401 - a list, or None
        answer = admin.describe_consumer_groups(
            [group], include_authorized_operations=True, request_timeout=ANSWER_TIMEOUT_S
        )
        return answer[group].result().authorized_operations

    try:
        return has(clients.settled(ask, timeout_s=ANSWER_TIMEOUT_S), AclOperation.READ)
    except KafkaException as exc:
        if exc.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return f"{group} is new"
        raise


def has(operations: Any, wanted: AclOperation) -> str:  # noqa: ANN401 - a list, or None
    """Return a word for a right that is there; raise ScorerError if it is not."""
    if operations is None or wanted in operations:
        return wanted.name
    raise ScorerError(f"{wanted.name} is not granted")
