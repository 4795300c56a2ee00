"""Read a file of labelled transactions, CSV or Parquet, and say exactly what is wrong with it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from models.transactions import FEATURES, LABEL, Flags, Floats, Sampling, Transactions
from stream_scorer.errors import BadInput

COLUMNS = (*FEATURES, LABEL)
# creditcard.csv quotes its labels, and some copies of it kept the quotes as part of the cell.
LABELS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}
PARQUET_MAGIC = b"PAR1"


@dataclass(frozen=True, slots=True)
class TrainingFile:
    """The transactions of one file and what identifies it; `sha256` is of the file's bytes."""

    name: str
    sha256: str
    transactions: Transactions
    # Rows left out since an earlier row is the same in every column, as in the published file.
    repeated: int
    # How many of those are frauds.
    repeated_frauds: int
    # Columns of the file that are neither a feature nor the label.
    dropped: tuple[str, ...]
    # Whether the rows had to be put in order of Time.
    sorted_here: bool


def read(path: Path, *, sampling: Sampling) -> TrainingFile:
    """Read `path`, drop columns that are no feature, order the rows by Time (stable)."""
    table, sha256 = read_table(path)
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise BadInput(
            f"{path.name} lacks the column {', '.join(missing)}; want Time, V1 .. V28, Amount and "
            "Class"
        )
    if table.empty:
        raise BadInput(f"{path.name} has no rows; want labelled transactions")
    features = to_features(table, FEATURES, path.name)
    frauds = to_frauds(table[LABEL], path.name)
    if frauds.all() or not frauds.any():
        raise BadInput(
            f"{path.name}: {LABEL} is {int(frauds[0])} in all {len(frauds)} rows; want frauds (1) "
            "and genuine rows (0)"
        )
    kept = ~pd.DataFrame(np.column_stack([features, frauds])).duplicated().to_numpy()
    repeated_frauds = int(frauds[~kept].sum())
    features, frauds = features[kept], frauds[kept]
    order = np.argsort(features[:, 0], kind="stable")
    features, frauds = features[order], frauds[order]
    return TrainingFile(
        name=path.name,
        sha256=sha256,
        transactions=Transactions(features, frauds, sampling.weights(features[:, 0], frauds)),
        repeated=int((~kept).sum()),
        repeated_frauds=repeated_frauds,
        dropped=tuple(str(name) for name in table.columns if name not in COLUMNS),
        sorted_here=bool((np.diff(order) < 0).any()),
    )


def read_table(path: Path) -> tuple[pd.DataFrame, str]:
    """Return the file's table, its columns all different, and the sha256 of the file's bytes."""
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise BadInput(f"cannot read {path}: {exc.strerror or exc}") from exc
    table, header = _table(content, path.name)
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise BadInput(
            f"{path.name} has the column {', '.join(twice)} more than once; want it once"
        )
    return table, hashlib.sha256(content).hexdigest()


def _table(content: bytes, name: str) -> tuple[pd.DataFrame, list[str]]:
    """Return the table and its header as written: pandas renames a column that comes again."""
    try:
        if content.startswith(PARQUET_MAGIC):
            table = pd.read_parquet(BytesIO(content))
            return table, list(map(str, table.columns))
        first = pd.read_csv(BytesIO(content), header=None, nrows=1, dtype=str)
        # Labels as text, to see their quotes; in one piece, so that a column has one type.
        table = pd.read_csv(BytesIO(content), dtype={LABEL: str}, low_memory=False)
    # pandas' parsing errors are ValueErrors; a damaged page of Parquet is an OSError.
    except (pa.ArrowException, OSError, ValueError) as exc:
        reason = " ".join(str(exc).split())
        raise BadInput(f"{name} is no readable CSV or Parquet file: {reason}") from exc
    if not isinstance(table.index, pd.RangeIndex):  # pandas took the first column as row names
        raise BadInput(f"{name}: rows have more fields than the header; want as many")
    return table, list(map(str, first.iloc[0]))


def to_features(table: pd.DataFrame, names: Sequence[str], name: str) -> Floats:
    """Return float64 (n, features) of the columns `names`, all finite."""
    columns = []
    for feature in names:
        column = pd.to_numeric(table[feature], errors="coerce").to_numpy(dtype=np.float64)
        bad = np.flatnonzero(~np.isfinite(column))
        if len(bad):
            cell = table[feature].iloc[bad[0]]
            raise BadInput(
                f"{name}: {feature} is {cell!s} in row {bad[0] + 1} (of {len(bad)} such rows); "
                "want a finite number"
            )
        columns.append(column)
    return np.column_stack(columns)


def to_frauds(column: "pd.Series[str]", name: str) -> Flags:
    """Return bool (n,): which labels say fraud."""
    labels = column.astype(str).str.strip().str.strip("\"'").str.lower().map(LABELS)
    bad = np.flatnonzero(labels.isna())
    if len(bad):
        raise BadInput(
            f"{name}: {LABEL} is {column.iloc[bad[0]]!s} in row {bad[0] + 1}; want 0 or 1"
        )
    frauds: Flags = labels.to_numpy(dtype=np.bool_)
    return frauds
