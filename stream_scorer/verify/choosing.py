"""Which alerts of the topic are verified: all, the latest, a sample, or those of one id."""

import hashlib
import heapq
from collections.abc import Iterable, Iterator

from confluent_kafka import Message

from stream_scorer.alerts import in_time


def latest(alerts: Iterable[Message], count: int) -> list[Message]:
    """Return the `count` latest, the newest last; no more than that are held."""
    return heapq.nlargest(count, alerts, key=in_time)[::-1]


def sample(alerts: Iterable[Message], count: int, *, seed: int) -> list[Message]:
    """Return `count` alerts drawn without replacement, each as likely as any other.

    Those whose place on the topic has the smallest hash under the seed: the order in which
    partitions are read does not matter, so a seed always draws the same. No more are held.
    """
    return heapq.nsmallest(count, alerts, key=lambda message: draw(message, seed))


def draw(message: Message, seed: int) -> bytes:
    """Return a place's number in the draw: 16 bytes."""
    text = f"{seed}/{message.partition()}/{message.offset()}"
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def with_id(alerts: Iterable[Message], alert_id: str) -> Iterator[Message]:
    """Yield what holds the id; the reader of it decides whether it is the alert's own."""
    wanted = alert_id.encode()
    return (message for message in alerts if wanted in (message.value() or b""))
