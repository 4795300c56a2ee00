"""The JSON that we publish: alert, score, disagreement, handover; without a clock in it."""

import hashlib

import msgspec

from stream_scorer.model import Model
from stream_scorer.reasons import Explanation
from stream_scorer.records import Matrix, Partition, Record

ALERT_SCHEMA = 1
SCORE_SCHEMA = 1
DISAGREEMENT_SCHEMA = 1
HANDOVER_SCHEMA = 1
encode = msgspec.json.encode


def alert(  # noqa: PLR0913 - what an alert says
    record: Record,
    *,
    transaction_id: str,
    cluster_id: str,
    model: Model,
    threshold: float,
    logit: float,
    probability: float,
    why: Explanation,
    row: Matrix,
) -> bytes:
    """Return an alert's value; `row` is float64 (features,), raw, in the model's order."""
    unexplained = {"unexplained": why.unexplained} if why.unexplained else {}
    place = f"{record.topic()}\n{record.partition()}\n{record.offset()}"
    identity = f"{cluster_id}\n{place}\n{model.sha256}"
    return encode(
        {
            "schema_version": ALERT_SCHEMA,
            "alert_id": hashlib.sha256(identity.encode()).hexdigest()[:32],
            "transaction_id": transaction_id,
            "decision": "alert",
            "probability": probability,
            "logit": logit,
            "threshold": threshold,
            "model": named(model),
            "reasons": why.reasons,
            "source": source(record),
            "features": dict(zip(model.feature_names, row.tolist(), strict=True)),
            **unexplained,
        }
    )


def score(
    record: Record, *, transaction_id: str, model: Model, logit: float, probability: float
) -> bytes:
    """Return the value of one score, for those who want all of them."""
    return encode(
        {
            "schema_version": SCORE_SCHEMA,
            "transaction_id": transaction_id,
            "probability": probability,
            "logit": logit,
            "model": {"version": model.version, "sha256": model.sha256},
            "source": source(record),
        }
    )


def disagreement(
    record: Record,
    *,
    transaction_id: str,
    threshold: float,
    champion: tuple[Model, float],
    challenger: tuple[Model, float],
) -> bytes:
    """Return what two models said of a record that one alerts on; each with its probability."""
    return encode(
        {
            "schema_version": DISAGREEMENT_SCHEMA,
            "transaction_id": transaction_id,
            "threshold": threshold,
            **{
                who: {**named(model), "probability": probability}
                for who, (model, probability) in (
                    ("champion", champion),
                    ("challenger", challenger),
                )
            },
            "source": source(record),
        }
    )


def handover(model: Model, *, group: str, partition: Partition, first_offset: int) -> bytes:
    """Return: from this offset on, this model scored the partition for the group."""
    topic, number = partition
    return encode(
        {
            "schema_version": HANDOVER_SCHEMA,
            "group": group,
            "topic": topic,
            "partition": number,
            "first_offset": first_offset,
            "model": named(model),
        }
    )


def handover_key(*, group: str, partition: Partition, first_offset: int) -> bytes:
    """Return a key that a compacted topic keeps beside the others: one for each place."""
    topic, number = partition
    return f"handover/{group}/{topic}/{number}/{first_offset}".encode()


def named(model: Model) -> dict[str, str]:
    """Return a model's identity as every value gives it."""
    return {"name": model.name, "version": model.version, "sha256": model.sha256}


def source(record: Record) -> dict[str, object]:
    """Return where a record stands and when it was sent, in milliseconds."""
    return {
        "topic": record.topic(),
        "partition": record.partition(),
        "offset": record.offset(),
        "timestamp_ms": record.timestamp()[1],
    }
