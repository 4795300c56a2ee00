"""Quix Streams: a StreamingDataFrame, each event through the model by itself."""

from typing import Any

from alike import ALERTS, BOOTSTRAP, COMMIT_S, EXACTLY_ONCE, GROUP, SOURCE, score
from quixstreams import Application

app = Application(
    broker_address=BOOTSTRAP,
    consumer_group=GROUP,
    auto_offset_reset="earliest",
    commit_interval=COMMIT_S,
    processing_guarantee="exactly-once" if EXACTLY_ONCE else "at-least-once",
    producer_extra_config={"linger.ms": 0},
    on_consumer_error=lambda *_: True,  # what is no JSON is skipped
    auto_create_topics=False,
    loglevel="WARNING",
)


def alert(event: dict[str, Any]) -> dict[str, Any] | None:
    """Return the event's alert, if there is one."""
    found = score([event])
    return found[0] if found else None


events = app.dataframe(app.topic(SOURCE, value_deserializer="json"))
alerts = events.apply(alert).filter(lambda found: found is not None)
alerts.to_topic(
    app.topic(ALERTS, key_serializer="str", value_serializer="json"),
    key=lambda found: found["transaction_id"],
)
app.run()
