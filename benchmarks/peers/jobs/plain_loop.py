"""The loop that everybody writes first: `consume`, `json.loads`, one batch through the model."""

import json
import time

from alike import ALERTS, BOOTSTRAP, COMMIT_S, GROUP, SOURCE, score
from confluent_kafka import Consumer, Producer

consumer = Consumer(
    {
        "bootstrap.servers": BOOTSTRAP,
        "group.id": GROUP,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
)
producer = Producer({"bootstrap.servers": BOOTSTRAP, "acks": "all", "linger.ms": 0})
consumer.subscribe([SOURCE])
committed = time.monotonic()
while True:
    events = []
    # One is waited for, the rest is what is there: `consume(500, timeout)` waits for all 500.
    first = consumer.poll(COMMIT_S)
    batch = [first, *consumer.consume(499, 0)] if first is not None else []
    for message in batch:
        try:
            events.append(json.loads(message.value()))
        except ValueError:
            continue
    for each in score(events):
        producer.produce(ALERTS, json.dumps(each), each["transaction_id"])
    producer.poll(0)
    if batch and time.monotonic() - committed > COMMIT_S:
        producer.flush()
        consumer.commit(asynchronous=False)
        committed = time.monotonic()
