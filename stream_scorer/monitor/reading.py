"""Records of the three topics -> events; what is none of ours is left out and counted."""

import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

from stream_scorer.codecs.alerts import as_json
from stream_scorer.monitor.counts import rank_of
from stream_scorer.monitor.joined import Event, Label, Seen
from stream_scorer.what_if.from_topics import LabelValue, ScoreValue, one_line

# A transaction that is further ahead of the record that scores it has a time not to be believed.
LARGEST_LEAD_MS = 86_400_000
# The scorer's own ids are shorter; a label's comes from anybody.
LONGEST_ID, LONGEST_TOPIC = 512, 249
T = TypeVar("T")
SHA256 = re.compile(r"[0-9a-f]{64}")


class RankedValue(ScoreValue, gc=False):
    """A score or an alert as `run` publishes it: what `what-if` reads, and the log-odds."""

    logit: float


class NotOurs(Exception):
    """A record that is no score, alert or label; says why."""


class Decoder:
    """Reads one kind of record; an alert is a score that says that it alerted."""

    def __init__(self) -> None:
        self._ranked = msgspec.json.Decoder(RankedValue).decode
        self._label = msgspec.json.Decoder(LabelValue).decode

    def score(self, value: bytes | None, *, time_ms: int, alert: bool) -> Event:
        """Return the event of a score or an alert; `time_ms` is the record's own.

        Raises NotOurs.
        """
        found = decoded(self._ranked, as_json(value) if alert else value)
        if not SHA256.fullmatch(found.model.sha256):
            raise NotOurs("model.sha256 is none")
        source = found.source
        if len(source.topic) > LONGEST_TOPIC:
            raise NotOurs(f"source.topic has {len(source.topic)} characters")
        believed = 0 < source.timestamp_ms <= time_ms + LARGEST_LEAD_MS
        return Event(
            checked(found.transaction_id),
            said=Seen(
                sha256=found.model.sha256,
                rank=rank_of(found.logit),
                time_ms=source.timestamp_ms if believed else 0,
                topic=source.topic,
                partition=source.partition,
                offset=source.offset,
                alert_ms=time_ms if alert else None,
            ),
        )

    def label(self, value: bytes | None, *, time_ms: int, partition: int, offset: int) -> Event:
        """Return the event of a label, whose record stands there; raise NotOurs."""
        found = decoded(self._label, value)
        fraud = None if found.label is None else bool(found.label)
        return Event(checked(found.transaction_id), label=Label(fraud, time_ms, partition, offset))


def decoded(decode: Callable[[bytes], T], value: bytes | None) -> T:
    """Return a value as the decoder reads it; raise NotOurs."""
    try:
        return decode(value or b"")
    except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
        raise NotOurs(one_line(exc)) from exc


def checked(transaction_id: str) -> str:
    """Return the id; raise NotOurs if it is too long to be kept."""
    if len(transaction_id) > LONGEST_ID:
        raise NotOurs(f"the id has {len(transaction_id)} characters: want {LONGEST_ID} at most")
    return transaction_id
