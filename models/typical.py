"""What a model's own training file tells of its features: their order, and what is typical."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from models import profile, reading
from models.scaling import Scaling
from models.transactions import Floats
from stream_scorer.errors import BadInput


@dataclass(frozen=True, slots=True)
class Typical:
    """The features by name, in the order of training, and raw values for each, all (features,).

    `baseline` is the row that reasons compare with, `spread` how far rows lie from it;
    `histograms` are empty where no file was given.
    """

    names: tuple[str, ...]
    baseline: Floats
    spread: Floats
    histograms: dict[str, profile.Histogram]
    rows: Floats  # (n, features): those of the file; none where none was given
    sha256: str  # of the file; empty where none was given

    def around(self, scaling: Scaling) -> "Typical":
        """Return the same features with the scaling's centre and scale for what is typical."""
        return replace(self, baseline=scaling.centre, spread=1 / scaling.factor)


def from_names(names: tuple[str, ...]) -> Typical:
    """Return what is known without rows: nothing but the order; 0 and 1 stand for the values."""
    return Typical(
        names, np.zeros(len(names)), np.ones(len(names)), {}, np.empty((0, len(names))), ""
    )


def from_file(path: Path, *, label: str) -> Typical:
    """Return the columns of a CSV or Parquet file but the label, and what their rows are like."""
    table, sha256 = reading.read_table(path)
    names = tuple(str(name) for name in table.columns if name != label)
    if table.empty:
        raise BadInput(f"{path.name} has no rows; want the file that the model was trained on")
    features = reading.to_features(table, names, path.name)
    genuine = np.ones(len(table), dtype=bool)
    if label in table.columns:
        genuine = ~reading.to_frauds(table[label], path.name)
    weights = np.ones(len(table))
    return Typical(
        names,
        profile.baseline(features[genuine], weights[genuine]),
        features.std(axis=0),
        profile.histograms(names, features, weights),
        features,
        sha256,
    )


def read_features(text: str, *, label: str) -> Typical:
    """Read `--features`: names with commas between them, or the training file."""
    if Path(text).is_file():
        return from_file(Path(text), label=label)
    names = tuple(name.strip() for name in text.split(","))
    if len(names) == 1 and Path(text).suffix.lower() in {".csv", ".parquet"}:
        raise BadInput(f"--features {text}: no such file")
    if not all(names) or len(set(names)) < len(names):
        raise BadInput(f"--features {text}: want different names with commas between them")
    return from_names(names)
