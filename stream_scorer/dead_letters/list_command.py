"""`stream-scorer dead-letters list`: how many there are and why, and the newest of them."""

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime

import click
from confluent_kafka import Message
from rich.console import Console
from rich.progress import Progress
from rich.table import Column, Table
from rich.text import Text

from stream_scorer.alerts import printable
from stream_scorer.config import Settings
from stream_scorer.dead_letters import letters
from stream_scorer.dead_letters.choosing import Choice, choice_options
from stream_scorer.dead_letters.letters import Letter
from stream_scorer.flags import settings_options
from stream_scorer.topics import TopicReader

MOST_LISTED = 10_000  # they are held in memory
MOST_PARTITIONS = 6  # named behind a code, the ones with the most
LATEST_MS = 253_402_300_799_000  # the end of the year 9999, the last that can be shown


@dataclass(frozen=True, slots=True)
class Entry:
    """One dead letter, without the record that is in it."""

    at: tuple[int, int]  # partition and offset of the dead letter
    letter: Letter
    value_bytes: int | None  # None: a null value

    @property
    def order(self) -> tuple[int, int, int]:
        """What comes later."""
        return self.letter.failed_at_ms, *self.at


@dataclass(slots=True)
class Tallies:
    """How many there are."""

    by_code: Counter[tuple[str, str]] = field(default_factory=Counter)  # code, topic/partition
    left_out: int = 0
    unfit: int = 0
    an_unfit: str = ""  # the first, and why


@click.command("list")
@choice_options
@click.option(
    "--limit",
    type=click.IntRange(0, MOST_LISTED),
    default=20,
    help="How many to list; all are counted.",
)
@click.option("--oldest", is_flag=True, help="List the oldest first, not the newest.")
@click.option("--json", "as_json", is_flag=True, help="Counts and list as one JSON object.")
@settings_options("dead_letters_topic")
def list_letters(
    *, choice: Choice, limit: int, oldest: bool, as_json: bool, settings: Settings
) -> None:
    """Count the dead letters by code and source partition, and list the newest.

    \b
    Example: stream-scorer dead-letters list --code MISSING --since 2h

    Shown are places, code, reason, time, size and attempt; never a payload, a key or a header of
    the record's own. All that is on the topic counts, whether it has been redriven or not.
    """
    tallies = Tallies()
    topic = settings.dead_letters_topic
    with closing(TopicReader(settings, topic)) as reader:
        found = watched(chosen(reader.held(), choice, tallies), reader.bounds)
        pick = heapq.nsmallest if oldest else heapq.nlargest
        entries = pick(limit, found, key=lambda entry: entry.order)
    if as_json:
        click.echo(json.dumps(as_object(topic, entries, tallies), indent=2))
        return
    console = Console()
    if tallies.by_code:
        console.print(count_table(tallies))
    if entries:
        console.print()
        console.print(entry_table(entries))
    click.echo(summary(topic, entries, tallies))


def chosen(messages: Iterable[Message], choice: Choice, tallies: Tallies) -> Iterator[Entry | None]:
    """Yield the dead letters that are chosen, None for any other record; count all of them."""
    for message in messages:
        _, letter = letters.read(message)
        if isinstance(letter, str):
            tallies.unfit += 1
            place = f"{message.topic()}/{message.partition()}/{message.offset()}"
            tallies.an_unfit = tallies.an_unfit or f"{place} {letter}"
        elif choice.takes(letter):
            tallies.by_code[letter.code, f"{letter.topic}/{letter.partition}"] += 1
            value = message.value()
            yield Entry(
                (message.partition() or 0, message.offset() or 0),
                letter,
                None if value is None else len(value),
            )
            continue
        else:
            tallies.left_out += 1
        yield None


def watched(found: Iterable[Entry | None], bounds: dict[int, tuple[int, int]]) -> Iterator[Entry]:
    """Pass the entries on and show on a terminal how far reading is."""
    console = Console(stderr=True)
    total = sum(end - first for first, end in bounds.values())
    with Progress(
        *("{task.description}", "{task.completed:,.0f} of {task.total:,.0f}"),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    ) as progress:
        task = progress.add_task("reading dead letters", total=total)
        for entry in found:
            progress.advance(task)
            if entry is not None:
                yield entry


def count_table(tallies: Tallies) -> Table:
    """Return the counts as a table, the most frequent code first."""
    table = Table("code", "dead letters", "from", box=None)
    for code, places in by_code(tallies).items():
        named = [f"{printable(place)}: {n:,}" for place, n in places.most_common(MOST_PARTITIONS)]
        if len(places) > MOST_PARTITIONS:
            named.append(f"{len(places) - MOST_PARTITIONS} more")
        table.add_row(*map(Text, (printable(code), f"{places.total():,}", ", ".join(named))))
    return table


def by_code(tallies: Tallies) -> dict[str, Counter[str]]:
    """Return the counts by topic/partition for each code, the most frequent code first."""
    found: dict[str, Counter[str]] = {}
    for (code, place), count in tallies.by_code.items():
        found.setdefault(code, Counter())[place] = count
    return dict(sorted(found.items(), key=lambda item: (-item[1].total(), item[0])))


def entry_table(entries: Iterable[Entry]) -> Table:
    """Return dead letters as a table; nothing in it can steer a terminal."""
    firm = (Column(name, no_wrap=True) for name in ("failed (UTC)", "id and place", "code"))
    table = Table(*firm, Column("reason", overflow="fold"), "bytes", "attempt", box=None)
    for entry in entries:
        letter = entry.letter
        size = "null" if entry.value_bytes is None else f"{entry.value_bytes:,}"
        table.add_row(
            moment(letter.failed_at_ms).replace(" ", "\n"),
            Text(f"{printable(letter.id)}\nat {entry.at[0]}/{entry.at[1]}"),
            *map(Text, map(printable, (letter.code, letter.reason, size, str(letter.attempt)))),
        )
    return table


def moment(time_ms: int) -> str:
    """Return a time in ms since 1970 for a person's eyes."""
    if not 0 < time_ms <= LATEST_MS:
        return f"{time_ms} ms"
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def as_object(topic: str, entries: Iterable[Entry], tallies: Tallies) -> dict[str, object]:
    """Return the counts and the listed ones as they are printed by --json."""
    return {
        "topic": topic,
        "dead_letters": tallies.by_code.total(),
        "left_out": tallies.left_out,
        "unfit": tallies.unfit,
        "by_code": {code: dict(places) for code, places in by_code(tallies).items()},
        "listed": [
            {
                "id": each.letter.id,
                "code": each.letter.code,
                "reason": each.letter.reason,
                "failed_at_ms": each.letter.failed_at_ms,
                "timestamp_ms": each.letter.timestamp_ms,
                "value_bytes": each.value_bytes,
                "attempt": each.letter.attempt,
                "partition": each.at[0],
                "offset": each.at[1],
            }
            for each in entries
        ],
    }


def summary(topic: str, entries: list[Entry], tallies: Tallies) -> str:
    """Return the sums in a line or two, and what to do next in another."""
    count = tallies.by_code.total()
    said = f"{count:,} dead letters on {topic!r}"
    if tallies.left_out:
        said += f", {tallies.left_out:,} more that the filters leave out"
    lines = [said]
    if tallies.unfit:
        records = "1 record is" if tallies.unfit == 1 else f"{tallies.unfit:,} records are"
        lines.append(f"{records} no dead letter of a scorer: {printable(tallies.an_unfit)}")
    if entries:
        at = "/".join(map(str, entries[0].at))
        lines.append(
            f"Next: stream-scorer dead-letters show --at {at}   (everything about one), or "
            "redrive --dry-run"
        )
    elif tallies.left_out:
        lines.append("Next: stream-scorer dead-letters list   (without filters)")
    return "\n".join(lines)
