"""Records as Kafka's client gives them, and the events in them."""

import json
from typing import Any

from confluent_kafka import Message

TOPIC = "transactions"
P0 = (TOPIC, 0)


def event(**changes: Any) -> bytes:
    """Return a genuine-looking event of the tiny model; V1=3 makes it alert."""
    return json.dumps({"Time": 1.0, "V1": 0.0, "Amount": 20.0, **changes}).encode()


def record(offset: int, value: bytes | None, **rest: Any) -> Message:
    """Return a record of partition 0 with a timestamp."""
    defaults: dict[str, Any] = {
        "topic": TOPIC,
        "partition": 0,
        "timestamp": (1, 1_700_000_000_000),
    }
    return Message(**{**defaults, "offset": offset, "value": value, **rest})


GOOD = event()
FRAUD = event(V1=3.0)
