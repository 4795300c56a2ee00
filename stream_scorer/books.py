"""Closing the books of a demo: every record sent is scored or dead-lettered, once."""

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from confluent_kafka import Message
from rich.table import Table

from stream_scorer.codecs.alerts import as_json
from stream_scorer.config import Settings
from stream_scorer.dead_letters import letters
from stream_scorer.records import Headers
from stream_scorer.topics import TopicReader

T = TypeVar("T")
Position = str  # topic/partition/offset of a transaction


@dataclass(frozen=True, slots=True)
class Books:
    """What went in, what came out, and how good the alerts were."""

    produced: int  # confirmed by Kafka to those who sent them
    scored: int  # distinct transactions
    dead_lettered: int  # distinct transactions
    lost: int
    repeated: int  # scores, dead letters and alerts beyond the first of a transaction
    alerts: int
    frauds: int  # true ones, by the labels
    caught: int  # true ones among the alerts
    latency_ms: Mapping[str, Sequence[float]]  # event to alert, by phase

    @property
    def closed(self) -> bool:
        """Tell whether nothing is lost, nothing repeated and nothing came from nowhere."""
        return self.produced == self.scored + self.dead_lettered and not self.lost + self.repeated


class ScoreSource(msgspec.Struct):
    """Where a score's transaction stands."""

    topic: str
    partition: int
    offset: int


class ScoreValue(msgspec.Struct):
    """The part of a score that the books need."""

    source: ScoreSource


class AlertValue(msgspec.Struct):
    """The part of an alert that the books need."""

    alert_id: str
    transaction_id: str


class LabelValue(msgspec.Struct):
    """The part of a label that the books need."""

    transaction_id: str
    label: int


def read_books(
    settings: Settings, *, produced: int, latency_ms: Mapping[str, Sequence[float]]
) -> Books:
    """Read all topics and close the books."""
    scores = [score_position(m) for m in held(settings, settings.scores_topic)]
    letters = [letter_position(m) for m in held(settings, settings.dead_letters_topic)]
    alerts = list(decoded(held(settings, settings.alerts_topic), AlertValue))
    labels = decoded(held(settings, settings.labels_topic), LabelValue)
    frauds = {each.transaction_id for each in labels if each.label == 1}
    done = {*scores, *letters}
    distinct_alerts = {each.alert_id for each in alerts}
    return Books(
        produced=produced,
        scored=len(set(scores)),
        dead_lettered=len(set(letters)),
        lost=produced - len(done),
        repeated=len(scores) + len(letters) - len(done) + len(alerts) - len(distinct_alerts),
        alerts=len(distinct_alerts),
        frauds=len(frauds),
        caught=len(frauds & {each.transaction_id for each in alerts}),
        latency_ms=latency_ms,
    )


def held(settings: Settings, topic: str) -> Iterator[Message]:
    """Yield what a topic holds now."""
    reader = TopicReader(settings, topic)
    yield from reader.held()
    reader.close()


def decoded(messages: Iterable[Message], kind: type[T]) -> Iterator[T]:
    """Yield the values of a topic, decoded."""
    decoder = msgspec.json.Decoder(kind)
    return (decoder.decode(as_json(message.value()) or b"") for message in messages)


def score_position(message: Message) -> Position:
    """Return where a score's transaction stands."""
    source = SCORE.decode(message.value() or b"").source
    return f"{source.topic}/{source.partition}/{source.offset}"


def letter_position(message: Message) -> Position:
    """Return where a dead letter's transaction stands."""
    headers: Headers = message.headers() or []  # type: ignore[assignment]
    return next((value or b"").decode() for key, value in headers if key == letters.ID)


SCORE = msgspec.json.Decoder(ScoreValue)


def as_tables(books: Books) -> Iterator[Table]:
    """Yield the report: the books, the alerts against the truth, the latencies."""
    sums = Table("produced", "= scored", "+ dead-lettered", "lost", "repeated", box=None)
    figures = (books.produced, books.scored, books.dead_lettered, books.lost, books.repeated)
    sums.add_row(*(f"{each:,}" for each in figures))
    yield sums
    quality = Table("alerts", "true frauds", "caught", "precision", "recall", box=None)
    quality.add_row(
        f"{books.alerts:,}",
        f"{books.frauds:,}",
        f"{books.caught:,}",
        share(books.caught, books.alerts),
        share(books.caught, books.frauds),
    )
    yield quality
    latency = Table("event to alert", "alerts", "p50", "p99", box=None)
    for phase, milliseconds in books.latency_ms.items():
        latency.add_row(phase, f"{len(milliseconds):,}", *quantiles(milliseconds))
    yield latency


def share(part: int, whole: int) -> str:
    """Return a share with two decimals, or a dash where there is nothing to share."""
    return f"{part / whole:.2f}" if whole else "-"


def quantiles(milliseconds: Sequence[float]) -> tuple[str, str]:
    """Return p50 and p99, or dashes where there is too little."""
    if len(milliseconds) < 2:  # noqa: PLR2004 - quantiles want two
        return "-", "-"
    cuts = statistics.quantiles(milliseconds, n=100, method="inclusive")
    return f"{cuts[49]:,.0f} ms", f"{cuts[98]:,.0f} ms"
