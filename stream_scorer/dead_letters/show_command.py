"""`stream-scorer dead-letters show`: everything about one dead letter; its payload if asked for."""

import json
import os
from contextlib import closing
from pathlib import Path

import click
from confluent_kafka import Message
from rich.console import Console
from rich.progress import Progress
from rich.table import Column, Table
from rich.text import Text

from stream_scorer.alerts import printable
from stream_scorer.config import Settings
from stream_scorer.dead_letters import letters
from stream_scorer.dead_letters.showing import moment
from stream_scorer.errors import BadInput
from stream_scorer.flags import settings_options
from stream_scorer.places import PlaceReader
from stream_scorer.records import Headers
from stream_scorer.topics import TopicReader

HIDDEN = "not shown without --payload"


def to_place(_: object, __: object, text: str | None) -> tuple[int, int] | None:
    """Return partition and offset."""
    if text is None:
        return None
    partition, _, offset = text.partition("/")
    if not (partition.isascii() and partition.isdigit() and offset.isascii() and offset.isdigit()):
        raise click.BadParameter(f"{text!r} is not PARTITION/OFFSET, such as 0/17")
    return int(partition), int(offset)


@click.command()
@click.argument("letter_id", metavar="[ID]", required=False)
@click.option(
    "--at",
    callback=to_place,
    metavar="PARTITION/OFFSET",
    help="The place on the topic of dead letters, instead of ID.",
)
@click.option("--payload", is_flag=True, help="Show key and value too: CARD DATA on your screen.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the value's bytes to a file that only you may read: CARD DATA on your disk.",
)
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@settings_options("dead_letters_topic")
def show(
    *,
    letter_id: str | None,
    at: tuple[int, int] | None,
    payload: bool,
    output: Path | None,
    as_json: bool,
    settings: Settings,
) -> None:
    """Show everything about one dead letter: where it is, and its headers in their order.

    \b
    Example: stream-scorer dead-letters show transactions/0/42

    ID is its dlq.id: topic, partition and offset of the record that could not be scored. Key and
    value hold CARD DATA, so they are only shown with --payload, escaped for terminals, or written
    as they are with --output. The record's own headers are always shown.
    """
    if (letter_id is None) == (at is None):
        raise click.UsageError("give an ID or --at PARTITION/OFFSET, one of them")
    if at is not None:
        message, others = fetch(settings, at), 0
    else:
        message, others = find(settings, letter_id or "")
    headers, _ = letters.read(message)
    if output is not None:
        write_value(output, message.value())
    facts = describe(message)
    shown = {"key": message.key(), "value": message.value()} if payload else {}
    if as_json:
        pairs = [[key, escaped(value)] for key, value in headers]
        texts = {name: escaped(content) for name, content in shown.items()}
        click.echo(json.dumps({**facts, "headers": pairs, **texts}, indent=2))
    else:
        Console().print(as_table(facts, headers, shown))
        if others:
            click.echo(f"{others:,} more have this id: a scorer that was killed writes again.")
        if output is not None:
            click.echo(f"The value is in {output}: it may hold card data, delete it afterwards.")
        click.echo(
            "Next: mend what dlq.reason names, then stream-scorer dead-letters redrive --dry-run"
        )


def fetch(settings: Settings, at: tuple[int, int]) -> Message:
    """Return the record at a place of the topic; raise BadInput if there is none."""
    with closing(PlaceReader(settings)) as reader:
        ((place, found),) = reader.fetch([(settings.dead_letters_topic, *at)])
    if isinstance(found, str):
        raise BadInput(f"{'/'.join(map(str, place))}: {found}")
    return found


def find(settings: Settings, letter_id: str) -> tuple[Message, int]:
    """Return the latest dead letter of an id, and how many others have it; raise BadInput."""
    topic = settings.dead_letters_topic
    best: tuple[tuple[int, int, int], Message] | None = None
    count = 0
    console = Console(stderr=True)
    with (
        closing(TopicReader(settings, topic)) as reader,
        Progress(console=console, disable=not console.is_terminal, transient=True) as progress,
    ):
        total = sum(end - first for first, end in reader.bounds.values())
        for message in progress.track(reader.held(), total, description="looking"):
            _, letter = letters.read(message)
            if isinstance(letter, str) or letter.id != letter_id:
                continue
            count += 1
            order = (letter.failed_at_ms, message.partition() or 0, message.offset() or 0)
            if best is None or order > best[0]:
                best = order, message
    if best is None:
        raise BadInput(
            f"no dead letter on {topic!r} has the id {printable(letter_id)!r}: want the topic, "
            "partition and offset that it came from, as `dead-letters list` shows them"
        )
    return best[1], count - 1


def describe(message: Message) -> dict[str, object]:
    """Return what there is to say of a record beside headers and payload."""
    _, letter = letters.read(message)
    value, key = message.value(), message.key()
    return {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp_ms": message.timestamp()[1],
        "key_bytes": None if key is None else len(key),
        "value_bytes": None if value is None else len(value),
        # What would keep `redrive` from taking it.
        "unfit": (letter if isinstance(letter, str) else letter.flaw(value)) or None,
    }


def as_table(facts: dict[str, object], headers: Headers, shown: dict[str, bytes | None]) -> Table:
    """Return a dead letter as a table of two columns; nothing in it can steer a terminal."""
    what, content = Column(overflow="fold"), Column(overflow="fold")
    table = Table(what, content, box=None, show_header=False)
    for name, fact in facts.items():
        if name == "unfit":
            if fact:
                table.add_row(name, Text(printable(str(fact))))
            continue
        said = "null" if fact is None else str(fact)
        if name == "timestamp_ms" and isinstance(fact, int):
            said = f"{fact} ({moment(fact)})"
        table.add_row(name, Text(said))
    for key, value in headers:
        table.add_row(Text(printable(key)), Text("null" if value is None else str(escaped(value))))
    for name in ("key", "value"):
        text = escaped(shown[name]) if name in shown else HIDDEN
        table.add_row(name, Text("null" if text is None else text))
    return table


def escaped(content: bytes | None) -> str | None:
    r"""Return bytes as text that cannot steer a terminal: what is not printable is \xNN, \n, ..."""
    if content is None:
        return None
    text = content.decode(errors="backslashreplace")
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def write_value(path: Path, value: bytes | None) -> None:
    """Write a value to a file, whole or not at all; raise BadInput if there is none."""
    if value is None:
        raise BadInput(f"nothing to write to {str(path)!r}: the record has no value, it is null")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as f:
            f.write(value)
        unfinished.replace(path)
    except OSError as exc:
        raise BadInput(f"--output names {str(path)!r}: {exc.strerror}") from exc
    finally:
        unfinished.unlink(missing_ok=True)
