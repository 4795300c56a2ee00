"""`stream-scorer dead-letters redrive`: dead letters go back to the transactions, each once."""

import time
from collections import Counter
from contextlib import ExitStack, closing
from functools import partial

import click
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import ConfigResource, ResourceType
from msgspec.structs import replace

from stream_scorer import clients
from stream_scorer.alerts import printable
from stream_scorer.config import Settings
from stream_scorer.dead_letters.choosing import Choice, choice_options
from stream_scorer.dead_letters.marks import Ledger
from stream_scorer.dead_letters.redriving import Redriver, Route
from stream_scorer.dead_letters.walk import MOVED, Batch, Fate, Task
from stream_scorer.errors import BadInput
from stream_scorer.flags import settings_options
from stream_scorer.progress import counting
from stream_scorer.topics import TopicReader
from stream_scorer.transaction import ExactlyOnce

MOST_NAMED = 10  # of what is no dead letter
ANSWER_S = 10.0
# Minutes. Kafka's own default of offsets.retention.minutes, where we may not ask for it.
KEPT_MINUTES = 7 * 24 * 60


@click.command()
@choice_options
@click.option("--to", metavar="TOPIC", help="Feed them into this topic, wherever they came from.")
@click.option("--limit", type=click.IntRange(1), help="Redrive or park at most so many.")
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True), help="At most so many records a second."
)
@click.option("--max-attempts", type=click.IntRange(1, 100), default=3, help="Then it is parked.")
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
    target = settings.transactions_topic if to is None else to
    refuse_target(settings, target)
    topics = [settings.dead_letters_topic, target, *filter(None, [settings.parking_topic])]
    partitions = clients.require_topics(settings, topics)
    if to is None:
        choice = replace(choice, topic=target)
    counts: Counter[Fate] = Counter()
    with ExitStack() as stack:
        ledger = stack.enter_context(closing(Ledger(settings, partitions[topics[0]])))
        transaction = None
        if not dry_run:
            make = partial(make_producer, settings)
            transaction = ExactlyOnce(
                make(),
                make,
                ledger,
                most_fenced=0,
                if_fenced="another redrive has begun and goes on from here",
            )
        progress = stack.enter_context(counting("{task.completed:,.0f} dead letters read"))
        task = progress.add_task("redriving", total=None)

        def tell(batch: Batch) -> None:
            before = counts[Fate.UNFIT] - batch.counts[Fate.UNFIT]
            progress.update(task, completed=counts.total())
            for line in batch.unfit[: max(0, MOST_NAMED - before)]:
                click.echo(f"Skipped {printable(line)}", err=True)

        redriver = Redriver(
            task=Task(
                choice=choice,
                max_attempts=max_attempts,
                may_park=dry_run or bool(settings.parking_topic),
                limit=limit,
                forgotten_before_ms=int(time.time() * 1000) - marks_kept_ms(settings),
            ),
            route=Route(topics[0], target, partitions[target], settings.parking_topic),
            open_from=lambda starts: TopicReader(settings, topics[0], starts=starts),
            read_marks=ledger.marks,
            transaction=transaction,
            tell=tell,
            rate=None if dry_run else rate,
            counts=counts,
        )
        stack.callback(lambda: click.echo(summary(counts, dry_run=dry_run)))
        redriver.run()
    click.echo(next_step(counts, settings, dry_run=dry_run))


def refuse_target(settings: Settings, target: str) -> None:
    """Raise BadInput for a topic that nothing must be fed into."""
    taken = {*settings.outputs, settings.labels_topic, settings.parking_topic}
    if target in taken:
        raise BadInput(f"--to is {target!r}: want a topic of transactions, that one has its use")


def make_producer(settings: Settings) -> Producer:
    """Return the producer; by its `transactional.id` it ends what an earlier run left open.

    No scorer can have that id: SCORER_REPLICA holds no slash.
    """
    name = f"{settings.group_id}-redrive/{settings.dead_letters_topic}"
    return clients.producer(settings, {**clients.TRANSACTIONAL, "transactional.id": name})


def marks_kept_ms(settings: Settings) -> int:
    """Return for how long Kafka keeps a group's offsets, in ms."""
    minutes = KEPT_MINUTES
    broker = min(clients.describe_cluster(settings).brokers)
    asked = ConfigResource(ResourceType.BROKER, str(broker))
    try:
        (answer,) = (
            clients.admin(settings).describe_configs([asked], request_timeout=ANSWER_S).values()
        )
        minutes = int(answer.result()["offsets.retention.minutes"].value)
    except (KafkaException, KeyError):  # no right to ask, or a broker that does not say
        pass
    return minutes * 60_000


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
