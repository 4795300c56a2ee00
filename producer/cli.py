"""`stream-scorer replay`: options become a reading, a pace and a sender; the loop does the rest."""

import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import msgspec

from producer.avro import AvroEncoder, in_avro
from producer.journal import Journal, open_journal
from producer.options import Options, to_milliseconds, to_speed
from producer.reading import Reading
from producer.replay import replay as run_replay
from producer.sender import Route, Sender
from producer.steps import missing, to_steps
from producer.summary import Summary, in_words
from producer.watch import Signals, signals, watching
from stream_scorer import clients
from stream_scorer.config import Settings
from stream_scorer.errors import BadInput, DeliveryError
from stream_scorer.finite import FiniteRange
from stream_scorer.flags import settings_options
from stream_scorer.logs import last_line
from stream_scorer.registry import connect

# A run that died may hide behind somebody else's open transaction, and each partition's end counts.
TAIL = {"enable.partition.eof": "true", "isolation.level": "read_uncommitted"}


@click.command()
@click.argument("file", required=False, metavar="[FILE]")
@click.option("--generate", type=click.IntRange(1), metavar="N", help="N synthetic rows, no FILE.")
@click.option("--seed", type=click.IntRange(0), help="Of --generate: other seed, other rows. [0]")
@click.option("--rate", type=FiniteRange(0, min_open=True), help="Events a second, exactly.")
@click.option(
    "--speed",
    type=to_speed,
    metavar="X|max",
    help="By the column Time, seconds: 1 as it happened, 60 a minute in a second. [max]",
)
@click.option(
    "--start-at",
    type=to_milliseconds,
    metavar="ISO-TIME",
    help="When Time 0 was: records get that time plus Time as their timestamp. [the moment each is "
    "due to be sent]",
)
@click.option("--loop", is_flag=True, help="Again and again; ids get -pass2, -pass3, ...")
@click.option("--limit", type=click.IntRange(1), help="Stop after so many rows.")
@click.option("--key", default="transaction_id", metavar="COLUMN", help="The records' key.")
@click.option("--labels", is_flag=True, help="Send the column Class to the labels topic too.")
@click.option(
    "--label-delay",
    type=FiniteRange(0),
    metavar="SECONDS",
    help="How long after its event a label follows. [0]",
)
@click.option(
    "--resume",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Remember there what Kafka confirmed; after an interruption the same command goes on.",
)
@click.option(
    "--on-malformed",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    help="What a row does that cannot be read.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@settings_options("transactions_topic", "labels_topic", "format", "registry_url")
def replay(settings: Settings, **flags: Any) -> int:  # noqa: ANN401 - click's
    """Send the rows of FILE (CSV, XLSX, XLS, Parquet; - is CSV on standard input) into Kafka.

    \b
    Example: stream-scorer replay transactions.csv --rate 500 --labels --label-delay 60

    Exits 0 if Kafka confirmed every row, 1 if not, 130 or 143 after Ctrl-C or SIGTERM.

    With --resume no row is lost, and none is sent twice: rows that a killed run had sent without
    hearing so are found in the topic (this needs the right to read it) by a record header. That
    holds as long as the topic still has them and only one run uses the file at a time.
    """
    options = Options(**flags)
    options.check()
    route = Route(
        settings.transactions_topic,
        settings.labels_topic if options.labels else None,
        options.label_delay or 0.0,
    )
    with options.reading() as given:
        reading = in_format(settings, given)
        lacking = missing(options.way(), reading.columns, labels=options.labels)
        if lacking:
            raise BadInput(f"{reading.name} has no column {lacking!r}")
        partitions = clients.require_topics(settings, route.topics)
        journal = None
        if options.resume is not None:
            journal = keep_journal(settings, options, options.resume, reading, route, partitions)
            if journal.state.finished:
                click.echo(f"{options.resume} says that this replay has finished: nothing to send")
                return 0
        with signals() as seen:
            summary = send(settings, options, reading, route, journal, seen)
    return end(options, reading, summary, seen)


def in_format(settings: Settings, reading: Reading) -> Reading:
    """Return a reading whose events are in the settings' format."""
    if settings.format == "json":
        return reading
    encode = AvroEncoder(connect(settings), settings.transactions_topic)
    return replace(reading, rows=in_avro(reading.rows, encode))


def keep_journal(
    settings: Settings,
    options: Options,
    path: Path,
    reading: Reading,
    route: Route,
    partitions: Mapping[str, int],
) -> Journal:
    """Return the journal of a replay with --resume."""
    about = {
        **reading.about,
        "topic": route.topic,
        "labels topic": route.labels_topic or "none",
        "cluster": clients.describe_cluster(settings).cluster_id or "unknown",
        **options.about(),
        **({"format": settings.format} if settings.format != "json" else {}),
    }
    consumer = clients.consumer(settings, TAIL)
    try:
        return open_journal(path, about, consumer=consumer, route=route, partitions=partitions)
    finally:
        consumer.close()


def send(
    settings: Settings,
    options: Options,
    reading: Reading,
    route: Route,
    journal: Journal | None,
    seen: Signals,
) -> Summary:
    """Run the loop with what a person sees, and keep the resume file."""
    total = None if options.loop else reading.total
    sender, first = Sender(clients.producer(settings, options.client(settings)), route), 1
    if journal is not None:
        sender.route = route.marked(journal.state.run)
        sender.events, sender.labels = journal.events, journal.labels
        first = journal.first
    save = journal.save if journal else lambda: None
    with watching(seen, total=total, position=reading.position, save=save) as watcher:
        summary = run_replay(
            to_steps(reading.rows, options.way(), first=first),
            sender=sender,
            pace=options.pace(),
            skip_malformed=options.on_malformed == "skip",
            watcher=watcher,
        )
    if journal is not None:
        journal.write(finished=is_whole(summary) and seen.received is None)
    return summary


def is_whole(summary: Summary) -> bool:
    """Tell whether nothing is left to do."""
    return not (summary.failed or summary.refused or summary.labels_waiting)


def end(options: Options, reading: Reading, summary: Summary, seen: Signals) -> int:
    """Print what was done and what to do next; return the exit code."""
    if options.as_json:
        click.echo(msgspec.json.encode(summary).decode())
    else:
        click.echo(in_words(summary))
    again = "run the same command again to go on"
    if options.resume is None:
        again = "with --resume FILE it could go on from there"
    if seen.received is not None:
        name = signal.Signals(seen.received).name
        last_line(f"stopped by {name}; {again}", 128 + seen.received)
        return 128 + seen.received
    if summary.failed:
        raise DeliveryError(f"{summary.failed:,} not delivered: {summary.failure}; {again}")
    if summary.refused:
        raise BadInput(f"{reading.name}, {summary.refused}: mend it, or use --on-malformed skip")
    if not options.as_json:
        click.echo("Next: `stream-scorer run` scores them, `stream-scorer alerts` shows the alerts")
    return 0
