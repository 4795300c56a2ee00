"""What both commands that learn from labelled transactions are told about their file."""

from pathlib import Path

import click

from stream_scorer.errors import BadInput
from stream_scorer.finite import FiniteRange

ULB = (
    "Credit card fraud detection, Machine Learning Group of the Université Libre de Bruxelles with "
    "Worldline (Kaggle: mlg-ulb/creditcardfraud), under the Open Database Licence 1.0, contents "
    "under the Database Contents Licence 1.0. Cite: A. Dal Pozzolo, O. Caelen, R. A. Johnson and "
    "G. Bontempi, Calibrating Probability with Undersampling for Unbalanced Classification, IEEE "
    "CIDM 2015."
)

DATA = click.argument("file", metavar="DATA", type=click.Path(path_type=Path))
COMPLETE_UNTIL = click.option(
    "--complete-until",
    type=FiniteRange(),
    metavar="SECONDS",
    help="Up to this Time the file is complete: there a genuine row stands for itself.",
)
SOURCE = click.option(
    "--source",
    default=ULB,
    show_default="the ULB data, its licence and citation",
    help="Origin and licence of DATA, for what is written.",
)


def check_paths(file: Path, *outputs: Path) -> None:
    """Raise BadInput unless `file` is there, the outputs can be, and all are different files."""
    if len({each.resolve() for each in (file, *outputs)}) <= len(outputs):
        named = ", ".join(map(str, (file, *outputs)))
        raise BadInput(f"DATA and what is written would be one file ({named}): want all different")
    for path in outputs:
        if not path.parent.is_dir():
            raise BadInput(f"cannot write {path}: there is no directory {path.parent}")
        if path.is_dir():
            raise BadInput(f"cannot write {path}: it is a directory; want a file")
    if not file.is_file():
        raise BadInput(f"cannot read {file}: no such file")
