"""`stream-scorer dead-letters list`: how many there are and why, and the newest of them."""

import heapq
import json
from collections.abc import Iterable, Iterator
from contextlib import closing

import click
from rich.console import Console

from stream_scorer.config import Settings
from stream_scorer.dead_letters.choosing import Choice, choice_options
from stream_scorer.dead_letters.counting import Entry, Tallies, chosen
from stream_scorer.dead_letters.showing import as_object, count_table, entry_table, summary
from stream_scorer.flags import settings_options
from stream_scorer.progress import counting
from stream_scorer.topics import TopicReader

MOST_LISTED = 10_000  # they are held in memory


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


def watched(found: Iterable[Entry | None], bounds: dict[int, tuple[int, int]]) -> Iterator[Entry]:
    """Pass the entries on and show on a terminal how far reading is."""
    total = sum(end - first for first, end in bounds.values())
    with counting("{task.completed:,.0f} of {task.total:,.0f}") as progress:
        task = progress.add_task("reading dead letters", total=total)
        for entry in found:
            progress.advance(task)
            if entry is not None:
                yield entry
