"""`stream-scorer model compare`: options become an order, and the report is written."""

import json
import shlex
from pathlib import Path
from typing import Any

import click

from models.card_figures import figure
from models.command_line import command_line
from models.data_options import COMPLETE_UNTIL, DATA, SOURCE, check_paths
from models.extra import train_extra
from models.progress import shown
from models.recipe import RECIPE, THRESHOLD
from stream_scorer.errors import BadInput
from stream_scorer.finite import FiniteRange

# What `--json` without a file means.
STDOUT = "-"
# Seeds that all of the libraries take, with room for the few that are counted up from one.
LARGEST_SEED = 2**31 - 1


@click.command(epilog="Example: stream-scorer model compare creditcard.csv --full -o report.html")
@DATA
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    help="The report to write, HTML.",
)
@click.option(
    "--json",
    "json_to",
    is_flag=False,
    flag_value=STDOUT,
    metavar="[FILE]",
    help="All figures as JSON, to this file or, without one, to stdout (then give DATA first).",
)
@click.option(
    "--quick", is_flag=True, help="A small budget: two minutes for 56,000 rows on two cores."
)
@click.option(
    "--full",
    is_flag=True,
    help="DATA must be the complete creditcard.csv of 284,807 rows; nothing is weighted.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, LARGEST_SEED),
    default=0,
    show_default=True,
    help="Decides all that is drawn at random.",
)
@click.option(
    "--threshold",
    type=FiniteRange(0, 1),
    default=THRESHOLD,
    show_default=True,
    help="Alert from this probability on.",
)
@click.option(
    "--false-alert-cost",
    type=FiniteRange(min=0, min_open=True),
    default=5.0,
    show_default=True,
    help="Of a false alert, in the currency of Amount: an assumption, give yours.",
)
@click.option(
    "--missed-fraud-cost",
    type=FiniteRange(min=0, min_open=True),
    help="Of a missed fraud.  [default: the mean Amount of a fraud before the test]",
)
@click.option(
    "--genuine-weight",
    type=FiniteRange(min=0, min_open=True),
    help="How many genuine transactions one genuine row stands for; 1 for a complete file.  "
    "[default: what a sample of the ULB data with all of its frauds calls for; 1 for other data]",
)
@COMPLETE_UNTIL
@SOURCE
def compare(  # noqa: PLR0913 - click passes one argument an option
    file: Path,
    *,
    output: Path,
    json_to: str | None,
    quick: bool,
    full: bool,
    seed: int,
    threshold: float,
    false_alert_cost: float,
    missed_fraud_cost: float | None,
    genuine_weight: float | None,
    complete_until: float | None,
    source: str,
) -> None:
    """Compare kinds of model on DATA, fairly and by time, and write a report.

    DATA is creditcard.csv, or a Parquet file with its columns: Time, V1 .. V28, Amount, Class.

    Logistic regression, random forest, boosted trees, support vectors, Keras nets and what `model
    train` makes: tuned on validation, measured once on later rows, with intervals. About ten
    minutes for 56,000 rows on two cores, and longer the more rows; --quick for a first look.
    """
    if full and (genuine_weight, complete_until) != (None, None):
        raise BadInput("--full is given with weights; want one of them: a complete file has none")
    if complete_until is not None and genuine_weight is None:
        raise BadInput("--complete-until is given without --genuine-weight; want both or neither")
    as_file = [] if json_to in (None, STDOUT) else [Path(json_to)]
    check_paths(file, output, *as_file)
    with train_extra():
        from models import comparison, reading, weighing
        from models.candidates import DEFAULT, QUICK
        from models.order import Order
        from models.transactions import Sampling
    with shown() as tell:
        tell(f"reading {file.name}", 0.0)
        read = reading.read(file, sampling=Sampling())
        read, sampling, why = weighing.weigh(
            read, full=full, weight=genuine_weight, until=complete_until
        )
        order = Order(
            budget=QUICK if quick else DEFAULT,
            seed=seed,
            threshold=threshold,
            false_alert_cost=false_alert_cost,
            missed_fraud_cost=missed_fraud_cost,
            sampling=sampling,
            why_weighted=why,
            command=command_line(click.get_current_context()),
            source=source,
        )
        figures = comparison.compare(read, order, tell)
    conclude(figures, file, output=output, json_to=json_to)


def conclude(figures: dict[str, Any], file: Path, *, output: Path, json_to: str | None) -> None:
    """Write what `comparison.compare` found about `file`, and say so."""
    from models import bundle, report

    page = report.render(figures)
    text = json.dumps(figures, indent=1, allow_nan=False)
    said = [summary(figures), f"Report {output}"]
    if json_to not in (None, STDOUT):
        bundle.write(Path(json_to), text.encode())
        said.append(f"JSON   {json_to}")
    bundle.write(output, page.encode())
    said.append(f"Next   {next_step(figures, file, json_to)}")
    if json_to == STDOUT:
        click.echo(text)
    # stdout is the JSON's where it was asked for.
    click.echo("\n".join(said), err=json_to == STDOUT)


def next_step(figures: dict[str, Any], file: Path, json_to: str | None) -> str:
    """Return the command that brings the chosen model on its way."""
    if figures["choice"]["name"] != RECIPE:
        return "fit the chosen net in Keras, then: stream-scorer model convert NET.keras --help"
    words = ["stream-scorer", "model", "train", str(file)]
    weight, until = figures["file"]["genuine_weight"], figures["file"]["complete_until"]
    if weight != 1:
        words += ["--genuine-weight", f"{weight:.15g}"]
    if until is not None:
        words += ["--complete-until", f"{until:.15g}"]
    if json_to not in (None, STDOUT):
        words += ["--comparison", json_to]
    return shlex.join(words)


def summary(figures: dict[str, Any]) -> str:
    """Return the comparison in a few lines, for the terminal."""
    models, choice = figures["models"], figures["choice"]
    rows = "\n".join(
        f"{'*' if name == choice['name'] else ' '} {name:<20} "
        + "  ".join(
            f"{figure(models[name]['test'][key]):<20}"
            for key in ("average_precision", "recall", "precision")
        ).rstrip()
        for name in choice["by_validation"]
    )
    at = figures["threshold"]
    headings = f"  {'':<20} {'average precision':<20}  {f'recall at {at:g}':<20}  precision"
    return (
        f"Weights: {figures['file']['weights']}\n"
        f"On {figures['split']['test']['rows']:,} later rows, "
        f"{figures['split']['test']['frauds']} of them frauds:\n{headings}\n{rows}\n"
        f"* chosen: {choice['rule']}"
    )
