"""`stream-scorer what-if`: what other thresholds, or another model, would have done."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click
import numpy as np
from confluent_kafka import Message
from rich.console import Console
from rich.progress import Progress

from stream_scorer.codecs import decoder_maker
from stream_scorer.config import Settings
from stream_scorer.errors import BadInput
from stream_scorer.finite import FiniteRange
from stream_scorer.flags import settings_options
from stream_scorer.model import Model
from stream_scorer.places import PlaceReader
from stream_scorer.tables import open_table
from stream_scorer.topics import TopicReader
from stream_scorer.what_if.figures import Costs, best, figures_at
from stream_scorer.what_if.from_file import FileReader
from stream_scorer.what_if.from_topics import LabelReader, ScoreReader, choose
from stream_scorer.what_if.picture import check_picture, draw
from stream_scorer.what_if.showing import Answer, as_object, as_table, sentences
from stream_scorer.what_if.sides import Side

GRID = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
LARGEST_COST = 1e12  # sums of them stay finite
TOLD_EVERY = 1000  # records between two words to the progress bar


def to_missed_cost(text: str) -> float | None:
    """Return the cost of a missed fraud; None: its own amount."""
    if text == "amount":
        return None
    try:
        cost = float(text)
    except ValueError:
        cost = math.nan
    if not 0 <= cost <= LARGEST_COST:
        raise click.BadParameter(f"{text!r} is neither 'amount' nor from 0 to {LARGEST_COST:g}")
    return cost


@click.command("what-if")
@click.argument("file", required=False, metavar="[FILE]")
@click.option(
    "--against",
    metavar="FILE|SHA256",
    help="Another model beside the one of the settings: its file; on topics the beginning of its "
    "sha256.",
)
@click.option(
    "--false-alert-cost",
    type=FiniteRange(0, LARGEST_COST),
    metavar="COST",
    help="Of a false alert.",
)
@click.option(
    "--missed-fraud-cost",
    type=to_missed_cost,
    metavar="COST|amount",
    help="Of a fraud that does not alert.  [default: amount, its own Amount]",
)
@click.option(
    "--alerts-a-day",
    type=FiniteRange(0, min_open=True),
    metavar="N",
    help="As many alerts can be looked at, on average: a threshold with more is not the best.",
)
@click.option(
    "--genuine-weight",
    type=FiniteRange(0, 1e6, min_open=True),
    default=1.0,
    help="How many genuine transactions one stands for, where they were sampled.",
)
@click.option("--seed", type=click.IntRange(0), default=0, help="Of the bootstrap.")
@click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.svg|.png",
    help="Draw the figures too; needs matplotlib, which is in the extra `train`.",
)
@click.option("--json", "as_json", is_flag=True, help="All figures as JSON.")
@settings_options(
    "model", "model_sha256", "threshold", "scores_topic", "labels_topic", "max_batch_rows"
)
def what_if(  # noqa: PLR0913 - click passes one argument an option
    file: str | None,
    *,
    against: str | None,
    false_alert_cost: float | None,
    missed_fraud_cost: float | None,
    alerts_a_day: float | None,
    genuine_weight: float,
    seed: int,
    picture: Path | None,
    as_json: bool,
    settings: Settings,
) -> None:
    """Show what other thresholds, or another model, would have done to labelled transactions.

    \b
    Example: stream-scorer what-if labelled.csv --false-alert-cost 5 --alerts-a-day 100

    FILE is CSV, XLSX, XLS or Parquet with the column Class; it is scored by the stream's own code.
    Without FILE the scores on SCORER_SCORES_TOPIC are joined with the labels on
    SCORER_LABELS_TOPIC by transaction id; then Amount is read from the frauds' source records.

    For each threshold: alerts a day (days by Time, on topics by the transactions' timestamps),
    precision, recall, money caught and missed, and cost: --false-alert-cost for each false alert
    and --missed-fraud-cost for each fraud that does not alert. The best threshold costs least, or
    catches most if only --alerts-a-day is given; its interval is a 90 % bootstrap.
    """
    given = click.get_current_context().get_parameter_source("missed_fraud_cost")
    if false_alert_cost is None and given is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("--missed-fraud-cost goes with --false-alert-cost")
    if picture is not None:
        check_picture(picture)
    costs = Costs(false_alert_cost, missed_fraud_cost, alerts_a_day)
    if file is None:
        sides = read_topics(settings, against=against, genuine_weight=genuine_weight)
    else:
        sides = read_file(file, settings, against=against, genuine_weight=genuine_weight)
    answers = [answer(side, costs, now=settings.threshold, seed=seed) for side in sides]
    if as_json:
        click.echo(json.dumps(as_object(answers, costs, seed=seed), allow_nan=False))
    else:
        Console().print(as_table(answers))
        for sentence in sentences(answers, costs):
            click.echo(sentence)
    if picture is not None:
        draw(picture, answers, costs)
    if not as_json:
        click.echo(f"Next: {next_step(answers, picture)}")


def answer(side: Side, costs: Costs, *, now: float, seed: int) -> Answer:
    """Return one model's figures; raise BadInput if what was asked for cannot be told."""
    scored = side.scored
    unknown = int(np.isnan(scored.amounts).sum())
    if costs.false_alert is not None and costs.missed_fraud is None and unknown:
        raise BadInput(
            f"--missed-fraud-cost amount: the Amount of {unknown:,} of {len(scored.frauds):,} "
            "frauds is not known; give a number"
        )
    if costs.alerts_a_day is not None and scored.days is None:
        raise BadInput("--alerts-a-day: the transactions span no time; want a column Time")
    found = None
    thresholds = {*GRID, now}
    if costs.false_alert is not None or costs.alerts_a_day is not None:
        found = best(scored, costs, seed=seed)
    figures = figures_at(sorted(thresholds), scored, costs)
    if found and found.figures not in figures:
        figures.append(found.figures)
    return Answer(side, now, figures, found)


def read_file(
    file: str, settings: Settings, *, against: str | None, genuine_weight: float
) -> list[Side]:
    """Score a file with the model of the settings, and with another one."""
    models = [Model.load(settings.model, sha256=settings.model_sha256)]
    if against is not None:
        models.append(Model.load(Path(against)))
        if models[0].sha256 == models[1].sha256:
            raise BadInput(f"--against {against} is the same model: want another")
    console = Console(stderr=True)
    with open_table(file) as table:
        reader = FileReader(table, models)
        with Progress(console=console, disable=not console.is_terminal) as progress:
            task = progress.add_task(f"scoring {table.name}", total=table.records.size)
            reader.read(
                settings.max_batch_rows, lambda place: progress.update(task, completed=place)
            )
        return reader.sides(genuine_weight)


def read_topics(settings: Settings, *, against: str | None, genuine_weight: float) -> list[Side]:
    """Join published scores and labels, of one model or two."""
    if not settings.scores_topic:
        raise BadInput(
            "SCORER_SCORES_TOPIC is empty: set it to the topic that `run` publishes scores on, or "
            "give a FILE"
        )
    places = PlaceReader(settings)
    scores, labels = ScoreReader(decoder_maker(settings)), LabelReader()
    scores.read(held(settings, settings.scores_topic))
    labels.read(held(settings, settings.labels_topic))
    for found, topic in ((scores, settings.scores_topic), (labels, settings.labels_topic)):
        if not len(found):
            bad = f"; {found.bad.count:,} records are none" if found.bad.count else ""
            raise BadInput(f"topic {topic!r} holds no {topic_kind(found)}{bad}")
    if labels.bad.count:
        click.echo(f"{labels.bad.count:,} labels left out, such as {labels.bad.example}", err=True)
    chosen = choose(scores.counts(), settings.model_sha256, against)
    sides = [
        scores.side(sha256, labels, places.fetch, genuine_weight=genuine_weight)
        for sha256 in chosen
    ]
    places.close()
    return sides


def held(settings: Settings, topic: str) -> Iterator[Message]:
    """Yield what a topic holds; show on a terminal how much that is."""
    reader = TopicReader(settings, topic)
    yield from watched(reader.held(), f"reading {topic}")
    reader.close()


def watched(messages: Iterable[Message], what: str) -> Iterator[Message]:
    """Pass records on and show on a terminal how many there are."""
    console = Console(stderr=True)
    columns = ("{task.description}", "{task.completed:,.0f} records")
    terminal = console.is_terminal
    with Progress(*columns, console=console, disable=not terminal, transient=True) as progress:
        task = progress.add_task(what, total=None)
        for number, message in enumerate(messages):
            if number % TOLD_EVERY == 0:
                progress.update(task, completed=number)
            yield message


def topic_kind(reader: ScoreReader | LabelReader) -> str:
    """Return what a topic should hold."""
    return "scores" if isinstance(reader, ScoreReader) else "labels; see `replay --labels`"


def next_step(answers: Sequence[Answer], picture: Path | None) -> str:
    """Return what a person does next."""
    found = answers[0].best
    if found is not None and found.figures.threshold is not None:
        return f"SCORER_THRESHOLD={found.figures.threshold:.9g} stream-scorer run"
    return f"look at {picture}" if picture else "stream-scorer what-if --help"
