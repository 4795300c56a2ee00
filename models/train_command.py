"""`stream-scorer model train`: options become an order, and the model and its card are written."""

import shlex
from pathlib import Path

import click

from models.command_line import command_line
from models.data_options import COMPLETE_UNTIL, DATA, SOURCE, check_paths
from models.extra import train_extra
from models.progress import shown
from stream_scorer.errors import BadInput
from stream_scorer.finite import FiniteRange


@click.command(epilog="Example: stream-scorer model train creditcard.csv --output my.onnx")
@DATA
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("fraud.onnx"),
    show_default=True,
    help="The model file to write.",
)
@click.option(
    "--card",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The model card to write.  [default: the output with .md]",
)
@click.option("--name", default="fraud", show_default=True, help="Name of the model.")
@click.option("--model-version", default="1.0.0", show_default=True, help="Version of the model.")
@click.option(
    "--test-from",
    type=FiniteRange(),
    metavar="SECONDS",
    help="Rows from this Time on are for the test only.  [default: the last fifth of the time]",
)
@click.option(
    "--genuine-weight",
    type=FiniteRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="How many genuine transactions one genuine row stands for; 1 for a complete file.",
)
@COMPLETE_UNTIL
@click.option(
    "--comparison",
    type=click.Path(path_type=Path, dir_okay=False),
    help="What model compare --json wrote about DATA: its figures go into the bundle and the card.",
)
@SOURCE
def train(  # noqa: PLR0913 - click passes one argument an option
    file: Path,
    *,
    output: Path,
    card: Path | None,
    name: str,
    model_version: str,
    test_from: float | None,
    genuine_weight: float,
    complete_until: float | None,
    comparison: Path | None,
    source: str,
) -> None:
    """Train on DATA, export one ONNX file, and write its model card.

    DATA is creditcard.csv, or a Parquet file with its columns: Time, V1 .. V28, Amount, Class.
    Other columns are dropped. Only rows before the test period are learnt from.

    A sample of such a file, with all of its frauds but not all of its genuine rows, needs
    --genuine-weight: probabilities and precision follow from the true ratio of the classes.
    """
    if complete_until is not None and genuine_weight == 1:
        raise BadInput("--complete-until is given without --genuine-weight; want both or neither")
    card = card or output.with_suffix(".md")
    check_paths(file, output, card, *([comparison] if comparison else []))
    with train_extra():
        from models import bundle, compared, model_card, reading, training
        from models.transactions import Sampling
    with shown() as tell:
        tell(f"reading {file.name}", 0.0)
        sampling = Sampling(genuine_weight, complete_until)
        training_file = reading.read(file, sampling=sampling)
        order = training.Order(
            name=name,
            version=model_version,
            source=source,
            command=command_line(click.get_current_context()),
            sampling=sampling,
            test_from=test_from,
            comparison=(
                compared.read(comparison, sha256=training_file.sha256) if comparison else {}
            ),
        )
        content = training.train(training_file, order, tell)
    bundle.write(output, content)
    texts, sha256 = bundle.metadata_texts(content), bundle.sha256(content)
    card_text = model_card.render(texts, sha256=sha256, size=len(content))
    bundle.write(card, card_text.encode())
    if training_file.sorted_here:
        click.echo(f"{file.name} was not in order of Time: sorted")
    if training_file.repeated:
        click.echo(f"{file.name} repeats {training_file.repeated} rows: each counted once")
    click.echo(model_card.summary(texts))
    click.echo(f"Model  {output}\nCard   {card}")
    click.echo(f"Next   SCORER_MODEL={shlex.quote(str(output))} stream-scorer check")
