"""Read a file of labelled transactions, CSV or Parquet, and say exactly what is wrong with it."""

import hashlib
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
    # Whether the rows had to be put in order of Time.
    sorted_here: bool


def read(path: Path, *, sampling: Sampling) -> TrainingFile:
    """Read `path`, drop columns that are no feature, order the rows by Time (stable)."""
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise BadInput(f"cannot read {path}: {exc.strerror or exc}") from exc
    table = _table(content, path.name)
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise BadInput(
            f"{path.name} lacks the column {', '.join(missing)}; want Time, V1 .. V28, Amount and "
            "Class"
        )
    if table.empty:
        raise BadInput(f"{path.name} has no rows; want labelled transactions")
    features = _features(table, path.name)
    frauds = _frauds(table[LABEL], path.name)
    kept = ~pd.DataFrame(np.column_stack([features, frauds])).duplicated().to_numpy()
    features, frauds = features[kept], frauds[kept]
    order = np.argsort(features[:, 0], kind="stable")
    features, frauds = features[order], frauds[order]
    return TrainingFile(
        name=path.name,
        sha256=hashlib.sha256(content).hexdigest(),
        transactions=Transactions(features, frauds, sampling.weights(features[:, 0], frauds)),
        repeated=int((~kept).sum()),
        sorted_here=bool((np.diff(order) < 0).any()),
    )


def _table(content: bytes, name: str) -> pd.DataFrame:
    try:
        if content.startswith(PARQUET_MAGIC):
            return pd.read_parquet(BytesIO(content))
        # Labels as text, to see their quotes; in one piece, so that a column has one type.
        return pd.read_csv(BytesIO(content), dtype={LABEL: str}, low_memory=False)
    except (pa.ArrowException, ValueError) as exc:  # pandas' parsing errors are ValueErrors
        reason = " ".join(str(exc).split())
        raise BadInput(f"{name} is no readable CSV or Parquet file: {reason}") from exc


def _features(table: pd.DataFrame, name: str) -> Floats:
    """Return float64 (n, 30), all finite."""
    columns = []
    for feature in FEATURES:
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


def _frauds(column: "pd.Series[str]", name: str) -> Flags:
    """Return bool (n,): which labels say fraud."""
    labels = column.astype(str).str.strip().str.strip("\"'").str.lower().map(LABELS)
    bad = np.flatnonzero(labels.isna())
    if len(bad):
        raise BadInput(
            f"{name}: {LABEL} is {column.iloc[bad[0]]!s} in row {bad[0] + 1}; want 0 or 1"
        )
    frauds: Flags = labels.to_numpy(dtype=np.bool_)
    return frauds
