"""A dead letter as a Kafka record: the original, byte for byte, and headers that say why; and back.

No other module knows the names of the `dlq.` headers.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from stream_scorer.records import DeadLetter, Headers, Record, UnreadableBatch, place_text
from stream_scorer.screening import read_headers

DLQ_VERSION = "1"
PREFIX = "dlq."
ID = f"{PREFIX}id"
# Milliseconds. Kafka 4 refuses a timestamp more than an hour ahead of its clock, which may be
# minutes behind ours.
FUTURE_LIMIT_MS = 3_000_000
# Of a record that is too large: enough to see what it is.
TRUNCATED_BYTES = 65_536
# What a header takes at most beside its key and value: their lengths.
LENGTHS_BYTES = 10
NEEDED = ("version", "id", "source.topic", "source.partition", "source.offset", "code", "failed_at")
NUMBER = re.compile(r"\d{1,18}", re.ASCII)  # below 2^63
SIGNED = re.compile(r"-?\d{1,18}", re.ASCII)
ATTEMPT = re.compile(rb"[1-9][0-9]{0,2}")


@dataclass(frozen=True, slots=True)
class Letter:
    """What the headers of a dead letter say."""

    id: str  # topic/partition/offset of the record that could not be scored
    topic: str
    partition: int
    timestamp_ms: int  # the record's own; -1: it has none
    code: str
    reason: str
    failed_at_ms: int
    attempt: int  # the how many-th it was to score the record
    payload: str  # full, or what else the value is
    payload_sha256: str  # of the record's value, "" of a null one too

    def flaw(self, value: bytes | None) -> str:
        """Say why `value`, the dead letter's, is not that of the record; nothing if it is."""
        if self.payload != "full":
            return f"dlq.payload is {self.payload!r}: not the whole record is there"
        if hashlib.sha256(value or b"").hexdigest() != self.payload_sha256:
            return "its value is not the one of dlq.payload_sha256"
        return ""


@dataclass(frozen=True, slots=True)
class Written:
    """A dead letter as it is written: the record's key and value, its headers and ours."""

    key: bytes | None
    value: bytes | None
    headers: Headers


def written(
    letter: DeadLetter, *, group: str, app: str, sha256: str, now_ms: int, largest: int | None
) -> Written:
    """Return the record as it is, with headers of ours.

    If its key, value and headers have more than `largest` bytes (None: any number is taken), the
    value is cut, and a key or headers of more than TRUNCATED_BYTES are left out.

    Of a batch that cannot be unpacked there are no bytes: `dlq.payload` is "omitted",
    `dlq.payload_bytes` the size of the compressed batch, and `dlq.source.last_offset` its last one.

    A forged `dlq.` header of its own is dropped. Only `dlq.attempt`, which `redrive` puts on a
    record, is carried on: a number from 1 to 999, anything else counts as 1.
    """
    record, reject = letter.record, letter.reject
    key, value = record.key(), record.value()
    own = original(letter.headers or [])
    of_headers = sum(len(name.encode()) + len(text or b"") + LENGTHS_BYTES for name, text in own)
    full = largest is None or len(key or b"") + len(value or b"") + of_headers <= largest
    ours = {
        "version": DLQ_VERSION,
        "id": place_text(record),
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
        "attempt": str(attempt(letter.headers or ())),
        "payload": "full" if full else "truncated",
        "payload_sha256": hashlib.sha256(value or b"").hexdigest(),
        "payload_bytes": str(len(value or b"")),
    }
    if isinstance(record, UnreadableBatch):
        ours |= {
            "payload": "omitted",
            "payload_bytes": str(record.compressed_bytes),
            "source.last_offset": str(record.end - 1),
        }
    if full:
        return Written(key, value, own + prefixed(ours))
    return Written(
        None if key is not None and len(key) > TRUNCATED_BYTES else key,
        None if value is None else value[:TRUNCATED_BYTES],
        ([] if of_headers > TRUNCATED_BYTES else own) + prefixed(ours),
    )


def timestamp(original_ms: int, *, now_ms: int) -> int:
    """Return a record's own timestamp in ms, or 0 (now) where a broker would refuse it."""
    return original_ms if 0 < original_ms < now_ms + FUTURE_LIMIT_MS else 0


def attempt(found: Iterable[tuple[str, bytes | None]]) -> int:
    """Return the how many-th attempt a record's headers say it is; 1 if they say nothing sound."""
    said = dict(found).get(PREFIX + "attempt") or b""
    return int(said) if ATTEMPT.fullmatch(said) else 1


def original(found: Headers) -> Headers:
    """Return the headers that are not ours."""
    return [(key, value) for key, value in found if not key.startswith(PREFIX)]


def read(message: Record) -> tuple[Headers, Letter | str]:
    """Return a record's headers and what they say of it, or why it is no dead letter of ours."""
    headers_by_record, rejects = read_headers([message])
    if rejects:
        return [], "a header key is not UTF-8"
    found = headers_by_record.get(0, [])
    ours = {
        key.removeprefix(PREFIX): (value or b"").decode(errors="replace")
        for key, value in found
        if key.startswith(PREFIX)
    }
    return found, understand(ours, attempt(found))


def understand(ours: Mapping[str, str], attempt: int) -> Letter | str:
    """Return what our headers, by name without the prefix, say; or what is wrong with them."""
    for name in NEEDED:
        if not ours.get(name):
            return f"lacks {PREFIX}{name}"
    if ours["version"] != DLQ_VERSION:
        return f"{PREFIX}version is {ours['version']!r}: want {DLQ_VERSION!r}"
    for name in ("source.partition", "source.offset", "failed_at"):
        if not NUMBER.fullmatch(ours[name]):
            return f"{PREFIX}{name} is {ours[name]!r}: want a number"
    place = f"{ours['source.topic']}/{ours['source.partition']}/{ours['source.offset']}"
    if ours["id"] != place:
        return f"{PREFIX}id is {ours['id']!r}, but its source is {place!r}"
    time_ms = ours.get("source.timestamp", "")
    return Letter(
        id=place,
        topic=ours["source.topic"],
        partition=int(ours["source.partition"]),
        timestamp_ms=int(time_ms) if SIGNED.fullmatch(time_ms) else -1,
        code=ours["code"],
        reason=ours.get("reason", ""),
        failed_at_ms=int(ours["failed_at"]),
        attempt=attempt,
        payload=ours.get("payload", ""),
        payload_sha256=ours.get("payload_sha256", ""),
    )


def redriven(found: Headers, letter: Letter) -> Headers:
    """Return the headers of the record that is fed in again: its own, and which attempt it is."""
    return original(found) + prefixed({"id": letter.id, "attempt": str(letter.attempt + 1)})


def prefixed(ours: Mapping[str, str]) -> Headers:
    """Return headers of ours, given by name without the prefix."""
    return [(PREFIX + name, text.encode()) for name, text in ours.items()]
