"""`stream-scorer verify`: published alerts are scored again from their source records."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import get_args

import click
from confluent_kafka import Message
from rich.console import Console

from stream_scorer.alerts import printable
from stream_scorer.codecs import decoder_maker
from stream_scorer.codecs.alerts import require_reader
from stream_scorer.config import Settings
from stream_scorer.errors import BadInput
from stream_scorer.flags import settings_options
from stream_scorer.places import PlaceReader
from stream_scorer.progress import counting
from stream_scorer.topics import TopicReader
from stream_scorer.verify.choosing import latest, sample, with_id
from stream_scorer.verify.rescoring import Kind, Verdict, Verifier
from stream_scorer.verify.shelf import Shelf
from stream_scorer.verify.showing import as_object, as_table

SHOWN = 20  # verdicts in the table; --json gives all
FAILED = ("different", "no alert")
OPEN = ("source gone", "model unknown")
# The exit codes; 2 is a wrong command line.
ALL_IDENTICAL, SOME_DIFFER, SOME_OPEN = 0, 1, 3


@click.command()
@click.option("--id", "alert_id", metavar="ALERT_ID", help="Only the alert of this id.")
@click.option("--last", type=click.IntRange(1), metavar="N", help="Only the N latest alerts.")
@click.option("--sample", "drawn", type=click.IntRange(1), metavar="N", help="N drawn at random.")
@click.option("--seed", type=click.IntRange(0), help="Of --sample: another seed, others. [0]")
@click.option(
    "--model",
    "models",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE|FOLDER",
    help="A model that alerts may come from, beside SCORER_MODEL, or a folder of them; repeat for "
    "more.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each alert.")
@settings_options("alerts_topic")
def verify(  # noqa: PLR0913 - click passes one argument an option
    *,
    alert_id: str | None,
    last: int | None,
    drawn: int | None,
    seed: int | None,
    models: tuple[Path, ...],
    as_json: bool,
    settings: Settings,
) -> int:
    """Score published alerts again from their source records, and say what differs.

    \b
    Example: stream-scorer verify --sample 1000 --model old-models/

    Each alert's source is fetched by topic, partition and offset and scored by the stream's own
    code, with the model of the alert's sha256 and the alert's threshold. Identical: the same bytes.
    Within tolerance: other bytes, but only in probability, logit (1e-6) or a reason's effect
    (0.001), which another kind of processor may round otherwise.

    \b
    Exit codes:
      0  all are identical or within tolerance
      1  some differ or are no alerts, or there was nothing to verify
      3  none differ, but for some the source is gone or the model is unknown
    """
    if sum(each is not None for each in (alert_id, last, drawn)) > 1:
        raise click.UsageError("--id, --last and --sample exclude each other")
    if seed is not None and drawn is None:
        raise click.UsageError("--seed goes with --sample")
    require_reader(settings)
    shelf = Shelf((settings.model, *models))
    places = PlaceReader(settings)
    topic = TopicReader(settings, settings.alerts_topic, last=last)
    verifier = Verifier(
        find_model=shelf.find,
        make_decoder=decoder_maker(settings),
        cluster_id=places.cluster_id,
        fetch=places.fetch,
    )
    alerts: Iterable[Message] = topic.held()
    if alert_id is not None:
        alerts = with_id(alerts, alert_id)
    elif last is not None:
        alerts = latest(alerts, last)
    elif drawn is not None:
        alerts = sample(alerts, drawn, seed=seed or 0)
    verdicts = watched(verifier(alerts))
    if alert_id is not None:  # the id may also stand in another field of another alert
        verdicts = (v for v in verdicts if v.alert is None or v.alert.alert_id == alert_id)
    counts = report(verdicts, as_json=as_json)
    topic.close()
    places.close()
    if not counts.total():
        what = f"no alert {printable(alert_id)!r}" if alert_id else "no alerts"
        raise BadInput(f"topic {settings.alerts_topic!r} holds {what}: nothing was verified")
    click.echo(summary(counts), err=as_json)
    return exit_code(counts)


def watched(verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
    """Pass the verdicts on and show on a terminal how many there are."""
    with counting("{task.completed:,.0f} alerts") as progress:
        task = progress.add_task("verifying", total=None)
        for verdict in verdicts:
            progress.advance(task)
            yield verdict


def report(verdicts: Iterable[Verdict], *, as_json: bool) -> Counter[str]:
    """Print the verdicts, all as JSON or the first that matter as a table; return the counts."""
    counts: Counter[str] = Counter()
    shown: list[Verdict] = []
    for verdict in verdicts:
        counts[verdict.kind] += 1
        if as_json:
            click.echo(json.dumps(as_object(verdict)))
        elif verdict.kind != "identical" and len(shown) < SHOWN:
            shown.append(verdict)
    if shown:
        Console().print(as_table(shown))
    rest = counts.total() - counts["identical"] - len(shown)
    if rest and not as_json:
        click.echo(f"... and {rest:,} more; --json gives every one")
    return counts


def summary(counts: Counter[str]) -> str:
    """Return the counts in one line, and what to do next in another."""
    said = ", ".join(f"{counts[kind]:,} {kind}" for kind in get_args(Kind) if counts[kind])
    lines = [f"{counts.total():,} alerts verified: {said}"]
    if counts["within tolerance"]:
        lines.append("Within tolerance: another kind of processor rounds the last bits otherwise.")
    if counts["model unknown"]:
        lines.append(
            "Next: stream-scorer verify --model FOLDER   (with the models that are unknown)"
        )
    elif exit_code(counts) == ALL_IDENTICAL:
        lines.append("Next: stream-scorer what-if   (what another threshold would have alerted)")
    return "\n".join(lines)


def exit_code(counts: Counter[str]) -> int:
    """Return what the shell is told."""
    if any(counts[kind] for kind in FAILED):
        return SOME_DIFFER
    return SOME_OPEN if any(counts[kind] for kind in OPEN) else ALL_IDENTICAL
