"""A dead letter as a Kafka record: the original, byte for byte, and headers that say why."""

import hashlib
from collections.abc import Mapping

from stream_scorer.records import DeadLetter, Headers

DLQ_VERSION = "1"
PREFIX = "dlq."
# Milliseconds. Kafka 4 refuses a timestamp more than an hour ahead of its clock, which may be
# minutes behind ours.
FUTURE_LIMIT_MS = 3_000_000


def headers(letter: DeadLetter, *, group: str, app: str, sha256: str, now_ms: int) -> Headers:
    """Return the record's own headers and ours; a forged `dlq.` header of its own is dropped."""
    record, reject = letter.record, letter.reject
    value = record.value()
    position = f"{record.topic()}/{record.partition()}/{record.offset()}"
    ours: Mapping[str, str] = {
        "version": DLQ_VERSION,
        "id": position,
        "source.topic": str(record.topic()),
        "source.partition": str(record.partition()),
        "source.offset": str(record.offset()),
        "source.timestamp": str(record.timestamp()[1]),
        "group": group,
        "stage": reject.stage,
        "code": reject.code,
        "reason": reject.reason.encode()[:256].decode(errors="ignore"),
        "failed_at": str(now_ms),
        "app": app,
        "model_sha256": sha256,
        "attempt": "1",
        "payload": "full",
        "payload_sha256": hashlib.sha256(value or b"").hexdigest(),
        "payload_bytes": str(len(value or b"")),
    }
    original = [(k, v) for k, v in letter.headers or () if not k.startswith(PREFIX)]
    return original + [(PREFIX + name, text.encode()) for name, text in ours.items()]


def timestamp(letter: DeadLetter, *, now_ms: int) -> int:
    """Return the original timestamp in ms, or 0 (now) where a broker would refuse it."""
    original = letter.record.timestamp()[1]
    return original if 0 < original < now_ms + FUTURE_LIMIT_MS else 0
