"""`stream-scorer alerts`: the alerts on their topic, as a table, as they come, or as JSON."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
from confluent_kafka import Message
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from stream_scorer.codecs.alerts import as_json, require_reader
from stream_scorer.config import Settings
from stream_scorer.flags import settings_options
from stream_scorer.records import place_text
from stream_scorer.topics import TopicReader


@click.command()
@click.option("--follow", is_flag=True, help="Go on showing alerts as they come, until Ctrl-C.")
@click.option("--last", default=20, help="How many of the latest to show first.")
@click.option("--json", "lines", is_flag=True, help="One JSON object a line, as on the topic.")
@settings_options("alerts_topic")
def alerts(*, follow: bool, last: int, lines: bool, settings: Settings) -> None:
    """Show the latest alerts, the newest last.

    \b
    Example: stream-scorer alerts --follow
    """
    require_reader(settings)
    reader = TopicReader(settings, settings.alerts_topic, last=last)
    latest = sorted(reader.held(), key=in_time)[-last:]
    if lines:
        for message in latest:
            click.echo(as_json(message.value()))
    elif latest:
        Console().print(as_table(latest))
    else:
        click.echo(
            f"No alerts on {settings.alerts_topic!r} yet. Next: stream-scorer replay FILE", err=True
        )
    while follow:
        for message in reader.arriving(timeout_s=0.5):
            click.echo(as_json(message.value()) if lines else "  ".join(cells(message)))


def in_time(message: Message) -> tuple[int, int, int]:
    """Return what orders alerts: their time; where that is equal, their place."""
    return message.timestamp()[1], message.partition() or 0, message.offset() or 0


def as_table(messages: Sequence[Message]) -> Table:
    """Return alerts as a table."""
    columns = (Column(name, no_wrap=True) for name in ("time (UTC)", "risk", "transaction"))
    table = Table(*columns, "why", "from", box=None)
    for message in messages:
        table.add_row(*map(Text, cells(message)))
    return table


def cells(message: Message) -> tuple[str, str, str, str, str]:
    """Return what a person looks at first in an alert."""
    when = f"{datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC):%Y-%m-%d %H:%M:%S}"
    try:
        alert = json.loads(as_json(message.value()) or b"")
        source = alert["source"]
        return (
            when,
            f"{alert['probability']:.4f}",
            printable(alert["transaction_id"]),
            printable(why(alert)),
            f"{source['topic']}/{source['partition']}/{source['offset']}",
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return (when, "", "", "this record is no alert", place_text(message))


def printable(text: str) -> str:
    """Return a text from outside as one line that cannot steer a terminal."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def why(alert: dict[str, Any]) -> str:
    """Return an alert's reasons in a few words: feature, value, effect on the log-odds."""
    reasons = [f"{r['feature']}={r['value']:.4g} (+{r['effect']:.1f})" for r in alert["reasons"]]
    if unexplained := alert.get("unexplained"):
        reasons.append(f"not known for {', '.join(unexplained)}")
    return ", ".join(reasons)
