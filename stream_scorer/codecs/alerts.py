"""Alerts in Avro: the same fields as in JSON, and back again to the same JSON, byte for byte."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, overload

import msgspec

from stream_scorer.config import Settings
from stream_scorer.errors import BadInput
from stream_scorer.registry import MISSING_EXTRA


def record(name: str, /, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return a record's schema."""
    return {
        "type": "record",
        "name": name,
        "namespace": "stream_scorer",
        "fields": [{"name": field, "type": kind} for field, kind in fields.items()],
    }


def with_unexplained(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with what was added since: behind the others, so that both can be told."""
    added = {
        "name": "unexplained",
        "type": {"type": "array", "items": "string"},
        "default": [],
    }
    return {**schema, "fields": [*schema["fields"], added]}


# The schema before `unexplained`: what an earlier release wrote is read by it.
EARLIER = json.dumps(
    record(
        "Alert",
        schema_version="int",
        alert_id="string",
        transaction_id="string",
        decision="string",
        probability="double",
        logit="double",
        threshold="double",
        model=record("Model", name="string", version="string", sha256="string"),
        reasons={
            "type": "array",
            "items": record(
                "Reason",
                feature="string",
                value="double",
                baseline="double",
                effect="double",
                text="string",
            ),
        },
        source=record(
            "Source", topic="string", partition="int", offset="long", timestamp_ms="long"
        ),
        features={"type": "map", "values": "double"},
    )
)
# Registered under `<topic of the alerts>-value`; the fields are those of values.alert.
ALERT = json.dumps(with_unexplained(json.loads(EARLIER)))


@cache
def parsed(schema: str = ALERT) -> Any:  # noqa: ANN401 - fastavro's
    """Return a schema as fastavro wants it; raise BadInput where that is not installed."""
    try:
        from fastavro import parse_schema
    except ImportError as exc:
        raise BadInput(MISSING_EXTRA) from exc
    return parse_schema(json.loads(schema))


def require_reader(settings: Settings) -> None:
    """Raise BadInput where alerts are in Avro and what reads it is not installed."""
    if settings.alerts_format == "avro":
        parsed()


def to_avro(value: bytes, *, schema_id: int) -> bytes:
    """Return an alert's JSON as Avro in the registry's wire format."""
    schema = parsed()
    from stream_scorer.codecs.avro import write_record

    return write_record(schema_id, schema, {"unexplained": [], **msgspec.json.decode(value)})


@overload
def as_json(value: bytes) -> bytes: ...
@overload
def as_json(value: None) -> None: ...
def as_json(value: bytes | None) -> bytes | None:
    """Return an alert as JSON, whichever it is written in; what is neither stays as it is."""
    if value is None or value[:1] != b"\0":
        return value
    from_avro = read_avro(value)
    return value if from_avro is None else msgspec.json.encode(from_avro)


def read_avro(value: bytes) -> Mapping[str, Any] | None:
    """Return an alert of this release's schema or the one before, None if the bytes are none."""
    from stream_scorer.codecs.avro import UNREADABLE, read_record

    for schema in (ALERT, EARLIER):
        try:
            alert = dict(read_record(parsed(schema), value))
        except BadInput:  # who is told to expect Avro has been asked for it at the start
            return None
        except UNREADABLE:
            continue
        if not alert.get("unexplained"):
            alert.pop("unexplained", None)
        return alert
    return None
