"""`stream-scorer model convert`: a net that somebody has becomes a bundle that can be served."""

import shlex
import sys
from pathlib import Path

import click

from models.command_line import command_line
from models.extra import train_extra
from stream_scorer.errors import BadInput

ASK = "The features in the order of training, with commas, or the training file"


@click.command()
@click.argument("file", metavar="KERAS_FILE", required=False, type=click.Path(path_type=Path))
@click.option(
    "--onnx",
    "onnx_file",
    type=click.Path(path_type=Path),
    help="An ONNX file instead: of any trainer, scikit-learn and LightGBM by their converters.",
)
@click.option(
    "--features",
    metavar="NAMES|FILE",
    help="The features in the order of training: names with commas, or the training CSV or "
    "Parquet file, whose rows then tell what is typical too.",
)
@click.option(
    "--label", default="Class", help="The column of the training file that is no feature."
)
@click.option(
    "--scaler",
    type=click.Path(path_type=Path),
    help="A pickle with robust_scaler, time_min and time_max; it is read, never run.",
)
@click.option("--amount-center", type=float, help="In place of an Amount scaler that does nothing.")
@click.option("--amount-scale", type=float, help="Likewise.")
@click.option(
    "--scaling",
    type=click.Path(path_type=Path),
    help="A TOML file: a table a feature, with center and scale, or min and max.",
)
@click.option("--no-scaling", is_flag=True, help="The net takes raw values.")
@click.option(
    "--gives",
    type=click.Choice(["probability", "logit"]),
    default="probability",
    help="What comes out of the net.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The model file to write.  [default: the name of the file with .onnx]",
)
@click.option("--name", help="Name of the model.  [default: the name of the file]")
@click.option("--model-version", default="1.0.0", help="Version of the model.")
def convert(  # noqa: PLR0913 - click passes one argument an option
    file: Path | None,
    *,
    onnx_file: Path | None,
    features: str | None,
    label: str,
    scaler: Path | None,
    amount_center: float | None,
    amount_scale: float | None,
    scaling: Path | None,
    no_scaling: bool,
    gives: str,
    output: Path | None,
    name: str | None,
    model_version: str,
) -> None:
    """Make a bundle of a net: .keras, .h5, a SavedModel folder, or --onnx.

    \b
    Example: stream-scorer model convert model.h5 --scaler vectorize.pkl --features creditcard.csv

    The order of the features and the scaling are never guessed: a net takes any numbers, and a
    wrong order or a lost scale would give wrong scores without a word. Golden rows, scored by the
    library that the net comes from, go into the bundle; every start of the scorer repeats them.
    """
    given = one_file(file, onnx_file)
    if (scaler is None) + (scaling is None) + (not no_scaling) != 2:  # noqa: PLR2004 - of three
        raise click.UsageError(
            "say how the features were scaled: --scaler, --scaling or --no-scaling, one of them"
        )
    amount = (amount_center, amount_scale)
    if amount != (None, None) and (None in amount or scaler is None):
        raise click.UsageError("--amount-center and --amount-scale go together, with --scaler")
    output = output or Path(f"{given.stem}.onnx")
    check_output(output, given)
    called = name or given.stem
    if not f"{called}{model_version}".isprintable():
        raise BadInput(f"--name {called!r}, --model-version {model_version!r}: want printable text")
    features = features or ask(given)
    with train_extra():
        from models import bundle, typical
        from models import convert as conversion
        from models.scalings import from_pickle, from_toml, to_scaling
    columns = typical.read_features(features, label=label)
    scaled = None
    if scaler:
        found = from_pickle(scaler, amount_center=amount_center, amount_scale=amount_scale)
        scaled = to_scaling(found, columns.names)
    elif scaling:
        scaled = to_scaling(from_toml(scaling), columns.names)
    if scaled is not None and not columns.sha256:
        columns = columns.around(scaled)
    order = conversion.Order(
        name=called,
        version=model_version,
        command=command_line(click.get_current_context()),
        features=columns,
        scaling=scaled,
        gives_logit=gives == "logit",
    )
    source = conversion.onnx_source(given) if onnx_file else conversion.keras_source(given)
    content = conversion.convert(source, order)
    bundle.write(output, content)
    if amount_center is not None:
        warn(f"{scaler} does nothing to Amount: scaled by {amount_center:g} and {amount_scale:g}")
    if not columns.sha256:
        warn(
            "without a training file reasons compare with the centre of the scaling, and drift "
            "cannot be watched"
        )
    click.echo(f"Model  {output}, sha256 {bundle.sha256(content)}")
    click.echo(f"Takes  {', '.join(columns.names)}")
    click.echo(f"Next   stream-scorer model inspect {shlex.quote(str(output))}")


def one_file(keras_file: Path | None, onnx_file: Path | None) -> Path:
    """Return the file to convert."""
    given = [each for each in (keras_file, onnx_file) if each is not None]
    if len(given) != 1:
        raise click.UsageError("give a KERAS_FILE or --onnx FILE, one of them")
    return given[0]


def check_output(output: Path, given: Path) -> None:
    """Raise BadInput before any work if the result cannot be written, or over what is read."""
    if not output.parent.is_dir():
        raise BadInput(f"cannot write {output}: there is no directory {output.parent}")
    if output.exists() and given.exists() and output.samefile(given):
        raise BadInput(f"--output {output} is the file that is read: want another")


def ask(given: Path) -> str:
    """Return the features as a person types them; raise BadInput where nobody can be asked."""
    if not sys.stdin.isatty():
        raise BadInput(
            f"{given.name} does not say what its inputs are: give --features, the training file or "
            "the names in the order of training"
        )
    answer: str = click.prompt(ASK)
    return answer


def warn(text: str) -> None:
    """Say on standard error what a person should know."""
    click.echo(f"Warning: {text}", err=True)
