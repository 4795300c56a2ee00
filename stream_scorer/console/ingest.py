"""Records of Kafka -> rows, in the transaction that also notes how far was read."""

import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import msgspec
from confluent_kafka import Message
from sqlalchemy import Connection, delete, select

from stream_scorer.codecs.alerts import as_json
from stream_scorer.config import Settings
from stream_scorer.console import labels, schema
from stream_scorer.console.upserts import insert_new, insert_or_update
from stream_scorer.dead_letters import letters
from stream_scorer.dead_letters.letters import Letter

# Bytes of a dead letter's key that are kept.
KEY_SHOWN = 200
# What a page can show of one alert; a scorer gives three reasons, and a model has some features.
MOST_REASONS, MOST_FEATURES = 20, 2000
# Milliseconds by which a transaction's time may be ahead of its alert's: clocks differ.
LARGEST_LEAD_MS = 86_400_000
# PostgreSQL holds no text with this in it, and nobody can see or type it.
NO_IDS: Mapping[str, str] = {}
NO_NUL = r"\A[^\x00]*\Z"
Short = Annotated[str, msgspec.Meta(max_length=200, pattern=NO_NUL)]
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=500, pattern=NO_NUL)]
Moment = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]  # milliseconds since 1970


class NotOurs(Exception):
    """A record that is not what its topic holds; says why."""


class ReasonValue(msgspec.Struct, gc=False):
    """One reason of an alert."""

    feature: Short
    value: float
    baseline: float
    effect: float
    text: str = ""


class ModelValue(msgspec.Struct, gc=False):
    """Which model alerted."""

    name: Short
    version: Short
    sha256: Annotated[str, msgspec.Meta(max_length=64, pattern=NO_NUL)]


class SourceValue(msgspec.Struct, gc=False):
    """Where the transaction stands."""

    topic: Annotated[str, msgspec.Meta(max_length=249, pattern=NO_NUL)]
    partition: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    offset: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    timestamp_ms: Moment


class AlertValue(msgspec.Struct, gc=False):
    """An alert as `run` publishes it."""

    alert_id: Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=NO_NUL)]
    transaction_id: Id
    probability: Annotated[float, msgspec.Meta(ge=0, le=1)]
    model: ModelValue
    source: SourceValue
    reasons: Annotated[list[ReasonValue], msgspec.Meta(max_length=MOST_REASONS)] = []
    features: Annotated[dict[str, float], msgspec.Meta(max_length=MOST_FEATURES)] = {}


class LabelValue(msgspec.Struct, gc=False):
    """A label, by whomever."""

    transaction_id: Id
    label: Annotated[int, msgspec.Meta(ge=0, le=1)] | None
    label_id: Annotated[str, msgspec.Meta(max_length=36, pattern=NO_NUL)] = ""
    actor: Annotated[str, msgspec.Meta(max_length=100, pattern=NO_NUL)] = ""
    verdict: Annotated[str, msgspec.Meta(max_length=20)] = ""


class QualityValue(msgspec.Struct, gc=False):
    """The figures of a window, as `monitor` publishes them."""

    window: Annotated[str, msgspec.Meta(max_length=20, pattern=NO_NUL)]
    start_ms: Moment


decode_alert = msgspec.json.Decoder(AlertValue).decode
decode_label = msgspec.json.Decoder(LabelValue).decode
decode_quality = msgspec.json.Decoder(QualityValue).decode
Take = Callable[[Connection, Message], None]


def takers(settings: Settings) -> dict[str, Take]:
    """Return what takes the records of each topic."""
    return {
        settings.alerts_topic: take_alert,
        settings.labels_topic: take_label,
        settings.dead_letters_topic: take_dead_letter,
        settings.quality_topic: take_quality,
    }


def store(
    connection: Connection,
    messages: Sequence[Message],
    takes: dict[str, Take],
    topic_ids: Mapping[str, str] = NO_IDS,
) -> None:
    """Store a batch and how far it reaches; what is none of ours is noted, never a stop.

    A batch that comes again changes nothing. `topic_ids` are the cluster's, by name.
    """
    next_offsets: dict[tuple[str, int], int] = {}
    for message in messages:
        topic, partition, offset = place(message)
        try:
            takes[topic](connection, message)
        except (NotOurs, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            note(connection, message, str(exc))
        next_offsets[topic, partition] = offset + 1
    for (topic, partition), next_offset in sorted(next_offsets.items()):
        reached(connection, topic, partition, next_offset, topic_ids)


def note(connection: Connection, message: Message, problem: str) -> None:
    """Note a record that is none of ours, once."""
    topic, partition, offset = place(message)
    where = {"topic": topic, "partition": partition, "offset": offset}
    row = {**where, "problem": problem[:300].replace("\0", "")}
    insert_new(connection, schema.ingest_error, row, unique=list(where))


def pass_over(
    connection: Connection, message: Message, problem: str, topic_ids: Mapping[str, str]
) -> None:
    """Note a record that the database does not take, and go on behind it."""
    note(connection, message, problem)
    topic, partition, offset = place(message)
    reached(connection, topic, partition, offset + 1, topic_ids)


def reached(
    connection: Connection,
    topic: str,
    partition: int,
    next_offset: int,
    topic_ids: Mapping[str, str],
) -> None:
    """Note how far a partition is read, and of which topic of that name."""
    row = {
        "topic": topic,
        "partition": partition,
        "next_offset": next_offset,
        "topic_id": topic_ids.get(topic, ""),
    }
    insert_or_update(connection, schema.ingest, row, unique=("topic", "partition"))


def forget(connection: Connection, topic: str, topic_id: str) -> bool:
    """Forget how far a topic that was deleted was read, and what only it could show.

    Alerts and labels stay: people have worked with them. Tells whether there was something to
    forget: of several consoles, one does it.
    """
    ingest, letter, error = schema.ingest, schema.dead_letter, schema.ingest_error
    gone = delete(ingest).where(ingest.c.topic == topic, ingest.c.topic_id == topic_id)
    if not connection.execute(gone).rowcount:
        return False
    connection.execute(delete(letter).where(letter.c.topic == topic))
    connection.execute(delete(error).where(error.c.topic == topic))
    return True


def place(message: Message) -> tuple[str, int, int]:
    """Return where a record stands."""
    return message.topic() or "", message.partition() or 0, message.offset() or 0


def take_alert(connection: Connection, message: Message) -> None:
    """Store an alert once, with what is known of its transaction."""
    value = as_json(message.value()) or b""
    found = decode_alert(value)
    at = message.timestamp()[1]
    amount = found.features.get("Amount")
    reason = found.reasons[0] if found.reasons else None
    row = {
        "alert_id": found.alert_id,
        "transaction_id": found.transaction_id,
        "topic": found.source.topic,
        "partition": found.source.partition,
        "offset": found.source.offset,
        "timestamp_ms": believed(found.source.timestamp_ms, at),
        "alerted_at": at,
        "probability": found.probability,
        "amount": amount if amount is not None and math.isfinite(amount) else None,
        "reason": f"{reason.feature} {reason.value:.4g}" if reason else "",
        "model_name": found.model.name,
        "model_version": found.model.version,
        "model_sha256": found.model.sha256,
        "state": labels.OPEN,
        "version": 0,
        "body": value.decode().replace("\0", ""),
    }
    if not insert_new(connection, schema.alert, row, unique=["alert_id"]):
        return
    said = labels.history(connection, found.alert_id)
    if said:  # it is read anew: what people said of it is here
        labels.move(connection, labels.locked(connection, found.alert_id), said[0].verdict)
        return
    truth = connection.execute(
        select(schema.truth).where(schema.truth.c.transaction_id == found.transaction_id)
    ).one_or_none()
    if truth is not None:
        verdict = verdict_of(None if truth.label < 0 else truth.label)
        say(connection, found.alert_id, truth.label_id, verdict, truth.actor, truth.at)


def believed(time_ms: int, alerted_at: int) -> int:
    """Return a transaction's time, or its alert's where that is far from it: lists go by it."""
    return time_ms if 0 <= time_ms <= alerted_at + LARGEST_LEAD_MS else alerted_at


def take_label(connection: Connection, message: Message) -> None:
    """Keep a transaction's newest label, and give it to its alerts unless it came from here."""
    found = decode_label(message.value() or b"")
    topic, partition, offset = place(message)
    at = message.timestamp()[1]
    label_id = found.label_id or str(
        uuid.uuid5(uuid.NAMESPACE_URL, f"{topic}/{partition}/{offset}")
    )
    actor = found.actor or topic
    known = connection.execute(
        select(schema.truth.c.at).where(schema.truth.c.transaction_id == found.transaction_id)
    ).one_or_none()
    if known is not None and known.at > at:
        return
    row = {
        "transaction_id": found.transaction_id,
        "label": -1 if found.label is None else found.label,
        "label_id": label_id,
        "actor": actor,
        "at": at,
    }
    insert_or_update(connection, schema.truth, row, unique=["transaction_id"])
    verdict = verdict_of(found.label, found.verdict)
    alerts = connection.scalars(
        select(schema.alert.c.alert_id).where(schema.alert.c.transaction_id == found.transaction_id)
    ).all()
    for alert_id in alerts:
        say(connection, alert_id, label_id, verdict, actor, at)


def say(
    connection: Connection, alert_id: str, label_id: str, verdict: str, actor: str, at: int
) -> None:
    """Give an alert a label that came by the topic, unless it has it."""
    alert = labels.locked(connection, alert_id)
    row = {
        "label_id": label_id,
        "alert_id": alert_id,
        "transaction_id": alert.transaction_id,
        "verdict": verdict,
        "note": "",
        "actor": actor,
        "at": at,
    }
    if insert_new(connection, schema.label, row, unique=("label_id", "alert_id")):
        labels.move(connection, alert, verdict)


def verdict_of(label: int | None, said: str = "") -> str:
    """Return the verdict of a label on the topic."""
    if label is None:
        return labels.UNSURE if said == labels.UNSURE else labels.WITHDRAWN
    return labels.FRAUD if label else labels.GENUINE


def take_dead_letter(connection: Connection, message: Message) -> None:
    """Store where a dead letter stands and what it says; its bytes stay in Kafka."""
    _, letter = letters.read(message)
    if not isinstance(letter, Letter):
        raise NotOurs(letter)
    if "\0" in letter.id or letter.partition >= 2**31:
        raise NotOurs("its source is no place in Kafka")
    topic, partition, offset = place(message)
    key = message.key()
    row = {
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "source": letter.id[:300],
        "code": letter.code[:50].replace("\0", ""),
        "reason": letter.reason[:500].replace("\0", ""),
        "key": None if key is None else bytes(key)[:KEY_SHOWN],
        "size": len(message.value() or b""),
        "failed_at": letter.failed_at_ms,
    }
    insert_new(connection, schema.dead_letter, row, unique=("topic", "partition", "offset"))


def take_quality(connection: Connection, message: Message) -> None:
    """Keep the newest figures of each window; a record without a value takes them away."""
    key = (message.key() or b"").decode()
    value = message.value()
    if not 0 < len(key) <= 300 or "\0" in key:  # noqa: PLR2004 - the column's width
        raise NotOurs(f"its key has {len(key)} characters, or one that is none")
    if value is None:
        connection.execute(delete(schema.quality).where(schema.quality.c.key == key))
        return
    found = decode_quality(value)
    row = {
        "key": key,
        "window": found.window,
        "begins_at": found.start_ms,
        "body": value.decode(),
        "seen_at": message.timestamp()[1],
    }
    insert_or_update(connection, schema.quality, row, unique=["key"])
