"""Sends one record whose header key is not UTF-8, which librdkafka's Python client cannot.

A process of its own: `python -m tests.integration.bad_header BOOTSTRAP TOPIC KEY < value`.
"""

import sys

from kafka import KafkaProducer


class BadKey(str):
    """A header key whose bytes are not UTF-8."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return b"\xff\xfe"


if __name__ == "__main__":
    bootstrap, topic, key = sys.argv[1:]
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    value = sys.stdin.buffer.read()
    producer.send(topic, value, headers=[(BadKey("k"), b"v")], key=key.encode()).get(30)
    producer.close()
