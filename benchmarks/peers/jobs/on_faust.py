"""faust-streaming: an agent that takes what has come, at most 512 events."""

import os
import sys
from typing import Any

import faust
import orjson
from alike import ALERTS, BOOTSTRAP, COMMIT_S, GROUP, SOURCE, score

app = faust.App(
    GROUP,
    broker=f"kafka://{BOOTSTRAP}",
    store="memory://",
    broker_commit_interval=COMMIT_S,
    consumer_auto_offset_reset="earliest",
    producer_linger=0,
    topic_disable_leader=True,
    topic_allow_declare=False,
    web_enabled=False,
)
source = app.topic(SOURCE, value_serializer="raw")
alerts = app.topic(ALERTS, value_serializer="raw", key_serializer="raw")
AT_ONCE = int(os.environ["PEER_AT_ONCE"])


def decoded(values: list[bytes]) -> list[dict[str, Any]]:
    """Return the events that are JSON."""
    events = []
    for value in values:
        try:
            events.append(orjson.loads(value))
        except ValueError:
            continue
    return events


@app.agent(source)
async def work(stream: Any) -> None:  # noqa: ANN401 - faust has no types
    """Score what comes."""
    batches = stream.take(AT_ONCE, within=0.01) if AT_ONCE > 1 else stream
    async for batch in batches:
        for found in score(decoded(batch if AT_ONCE > 1 else [batch])):
            await alerts.send(key=found["transaction_id"].encode(), value=orjson.dumps(found))


sys.argv[1:] = ["worker", "--loglevel", "warn"]
app.main()
