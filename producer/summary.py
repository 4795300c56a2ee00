"""What a replay did, as counts and in words."""

import msgspec
from confluent_kafka import KafkaError


class Summary(msgspec.Struct, frozen=True):
    """The counts of one run; an earlier run that was resumed is not in them."""

    rows: int = 0  # gone through, malformed ones included
    produced: int = 0  # events handed to the client
    confirmed: int = 0  # events that Kafka acknowledged
    failed: int = 0  # events and labels that were handed over and are not acknowledged
    already_there: int = 0  # events that an earlier run had put there
    malformed: int = 0
    labels: int = 0  # labels that Kafka acknowledged
    labels_waiting: int = 0  # labels not sent, their delay is not over
    seconds: float = 0.0
    rows_per_s: float = 0.0  # confirmed events
    failure: str | None = None  # the first reason for a failed one
    refused: str | None = None  # the malformed row that ended the replay


def in_words(summary: Summary) -> str:
    """Return the summary as lines for a person."""
    counts = f"{summary.rows:,} rows, {summary.confirmed:,} confirmed by Kafka"
    lines = [f"{counts} in {summary.seconds:,.1f} s ({summary.rows_per_s:,.0f} rows/s)"]
    others = {
        "not delivered": summary.failed,
        "there already, from the run before": summary.already_there,
        "malformed": summary.malformed,
        "labels confirmed": summary.labels,
        "labels not sent, their delay is not over": summary.labels_waiting,
    }
    lines += [f"{count:,} {what}" for what, count in others.items() if count]
    return "\n".join(lines)


def explain(error: KafkaError) -> str:
    """Return Kafka's reason for refusing a record."""
    said = " ".join(error.str().split())
    if error.code() in {KafkaError.INVALID_TIMESTAMP, KafkaError.INVALID_RECORD}:
        return (
            f"{said}; if --start-at or Time leads into the future: a topic takes no timestamp more "
            "than an hour ahead unless its message.timestamp.after.max.ms is raised"
        )
    return said
