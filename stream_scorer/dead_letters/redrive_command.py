"""`stream-scorer dead-letters redrive`: dead letters go back to the transactions, each once."""

from collections import Counter
from contextlib import ExitStack

import click

from stream_scorer.alerts import printable
from stream_scorer.config import Settings
from stream_scorer.dead_letters.choosing import Choice, choice_options
from stream_scorer.dead_letters.running import MAX_ATTEMPTS, Order, redriver
from stream_scorer.dead_letters.walk import MOVED, Batch, Fate
from stream_scorer.finite import FiniteRange
from stream_scorer.flags import settings_options
from stream_scorer.progress import counting

MOST_NAMED = 10  # of what is no dead letter


@click.command()
@choice_options
@click.option("--to", metavar="TOPIC", help="Feed them into this topic, wherever they came from.")
@click.option("--limit", type=click.IntRange(1), help="Redrive or park at most so many.")
@click.option(
    "--rate", type=FiniteRange(0, min_open=True), help="At most so many records a second."
)
@click.option(
    "--max-attempts",
    type=click.IntRange(1, 1000),  # dlq.attempt says at most 999, whoever wrote it
    default=MAX_ATTEMPTS,
    help="Then it is parked.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@settings_options("transactions_topic", "dead_letters_topic", "parking_topic", "group_id")
def redrive(  # noqa: PLR0913 - click passes one argument an option
    *,
    choice: Choice,
    to: str | None,
    limit: int | None,
    rate: float | None,
    max_attempts: int,
    dry_run: bool,
    settings: Settings,
) -> None:
    """Feed dead letters in again, each once: after the model, the producer or a setting is mended.

    \b
    Example: stream-scorer dead-letters redrive --code MISSING --since 2h --rate 500

    Key, value, headers and timestamp are as they were; dlq.id and dlq.attempt are added, and what
    fails again is a dead letter with the next attempt. What has failed --max-attempts times goes to
    the parking topic. Without --to, only what came from SCORER_TRANSACTIONS_TOPIC is redriven.

    Copies and progress are one Kafka transaction each, so a run that is killed or repeated redrives
    nothing twice; what filters leave out is there for later runs. A second redrive of the same
    SCORER_GROUP_ID takes over from the first.
    """
    order = Order(choice, to, limit, rate, max_attempts, dry_run)
    counts: Counter[Fate] = Counter()
    with ExitStack() as stack:
        progress = stack.enter_context(counting("{task.completed:,.0f} dead letters read"))
        task = progress.add_task("redriving", total=None)

        def tell(batch: Batch) -> None:
            before = counts[Fate.UNFIT] - batch.counts[Fate.UNFIT]
            progress.update(task, completed=counts.total())
            for line in batch.unfit[: max(0, MOST_NAMED - before)]:
                click.echo(f"Skipped {printable(line)}", err=True)

        ready = stack.enter_context(redriver(settings, order, counts=counts, tell=tell))
        stack.callback(lambda: click.echo(summary(counts, dry_run=dry_run)))
        ready.run()
    click.echo(next_step(counts, settings, dry_run=dry_run))


def summary(counts: Counter[Fate], *, dry_run: bool) -> str:
    """Return the sums: read = redriven + skipped + parked, and why some were skipped."""
    skipped = {fate: n for fate, n in counts.items() if fate not in MOVED}
    line = (
        f"read {counts.total():,} = redriven {counts[Fate.REDRIVE]:,} + "
        f"skipped {sum(skipped.values()):,} + parked {counts[Fate.PARK]:,}"
    )
    lines = [f"Dry run, nothing is written: {line}" if dry_run else line]
    if skipped:
        why = ", ".join(f"{n:,} {fate.value}" for fate, n in skipped.items())
        lines.append(f"skipped: {why}")
    return "\n".join(lines)


def next_step(counts: Counter[Fate], settings: Settings, *, dry_run: bool) -> str:
    """Return what a person does next."""
    if dry_run and counts[Fate.PARK] and not settings.parking_topic:
        return "Next: create a topic for what is to be parked, and redrive with --parking-topic"
    if dry_run and (counts[Fate.REDRIVE] or counts[Fate.PARK]):
        return "Next: stream-scorer dead-letters redrive   (the same, without --dry-run)"
    if counts[Fate.REDRIVE]:
        return "Next: stream-scorer dead-letters list --since 5m   (what has failed again)"
    if counts[Fate.OTHER_TOPIC]:
        return "Next: stream-scorer dead-letters redrive --to TOPIC   (for those of other topics)"
    if counts[Fate.LEFT_OUT]:
        return "Next: stream-scorer dead-letters redrive --dry-run   (without filters)"
    return "Nothing was to be redriven. Next: stream-scorer dead-letters list"
