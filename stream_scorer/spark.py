"""Scores a Spark DataFrame with the stream's own model file, decision and reasons.

from stream_scorer.spark import score
score(frame, threshold=0.8).where("decision = 'fraud'").show()
"""

import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql.types import (
    ArrayType,
    DoubleType,
    FloatType,
    NumericType,
    StringType,
    StructField,
    StructType,
)

from stream_scorer import decision, reasons
from stream_scorer.config import SHIPPED_MODEL
from stream_scorer.errors import BadInput
from stream_scorer.model import Model
from stream_scorer.records import Matrix, Vector

# Rows that are scored at once: memory is bounded by it, the scores do not depend on it.
ROWS = 512
REASON = StructType(
    [
        StructField("feature", StringType()),
        StructField("value", DoubleType()),
        StructField("baseline", DoubleType()),
        StructField("effect", DoubleType()),
        StructField("text", StringType()),
    ]
)
# What is added to each row.
ADDED = (
    StructField("probability", FloatType()),  # null: it could not be scored
    StructField("logit", FloatType()),
    StructField("decision", StringType()),  # fraud, genuine, not scored
    StructField("reasons", ArrayType(REASON)),  # of frauds, the strongest first
    StructField("rejected", StringType()),  # why it could not be scored: MISSING, NONFINITE
)
REASONS = pa.list_(
    pa.struct(
        [
            ("feature", pa.string()),
            ("value", pa.float64()),
            ("baseline", pa.float64()),
            ("effect", pa.float64()),
            ("text", pa.string()),
        ]
    )
)


def score(
    frame: DataFrame,
    *,
    model: Path | str = SHIPPED_MODEL,
    sha256: str = "",
    threshold: float = 0.8,
) -> DataFrame:
    """Return a frame with what ADDED names beside its own columns; features go by column name.

    The model file is read here, once, and goes to the executors with the plan. `sha256` pins it. A
    row with a null for a feature, or a number that is not finite, is not scored and says why.

    Raises BadInput for a model or a threshold that is none, for a frame that lacks a feature or has
    no numbers in it, and where one of its columns has a name of ADDED.
    """
    if not 0 <= threshold <= 1:
        raise BadInput(f"threshold is {threshold}: want 0 to 1")
    path = Path(model)
    loaded = Model.load(path, sha256=sha256)
    require_plain_names(frame)
    types = {field.name: field.dataType for field in frame.schema.fields}
    for name in loaded.feature_names:
        if name not in types:
            raise BadInput(f"the frame has no column {name!r}, which the model reads")
        if not isinstance(types[name], NumericType):
            raise BadInput(f"column {name!r} is {types[name].simpleString()}: want a number")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != loaded.sha256:
        raise BadInput(f"model {path} has changed while it was read: try again")
    work = partial(score_batches, content=content, path=path, threshold=threshold)
    return frame.mapInArrow(work, StructType([*frame.schema.fields, *ADDED]))


def require_plain_names(frame: DataFrame) -> None:
    """Raise BadInput for columns that Spark cannot tell apart from others, or from ADDED."""
    seen = {field.name for field in ADDED}
    for name in frame.columns:
        if name.lower() in seen:
            raise BadInput(f"the frame has a column {name!r} already: rename it")
        if "." in name or "`" in name:
            raise BadInput(f"column {name!r} has a dot or a backtick in its name: rename it")
        seen.add(name.lower())


def score_batches(
    batches: Iterable[pa.RecordBatch], *, content: bytes, path: Path, threshold: float
) -> Iterator[pa.RecordBatch]:
    """Yield each batch with what is added, ROWS at a time; runs on the executors."""
    model = loaded_here(content, path)
    for batch in batches:
        for begin in range(0, batch.num_rows, ROWS):
            yield scored(batch.slice(begin, ROWS), model, threshold)


@lru_cache(maxsize=4)
def loaded_here(content: bytes, path: Path) -> Model:
    """Return the model of a file's bytes, loaded once in a process."""
    return Model.of(content, path)


def scored(batch: pa.RecordBatch, model: Model, threshold: float) -> pa.RecordBatch:
    """Return one batch with the columns of ADDED."""
    matrix, rejected = features(batch, model)
    good = np.flatnonzero([each is None for each in rejected])
    logit, probability = model.score(matrix[good])
    finite = np.isfinite(logit) & np.isfinite(probability)
    for place in good[~finite].tolist():
        rejected[place] = "NONFINITE"
    good, logit, probability = good[finite], logit[finite], probability[finite]
    alerts = decision.alerts(probability, threshold)
    decisions = np.full(batch.num_rows, "not scored", dtype=object)
    decisions[good] = "genuine"
    decisions[good[alerts]] = "fraud"
    why: list[list[reasons.Reason] | None] = [None] * batch.num_rows
    if len(alerts):
        explained = reasons.explain(model, matrix[good[alerts]], logit[alerts])
        for place, each in zip(good[alerts].tolist(), explained, strict=True):
            why[place] = each.reasons
    added = [
        spread(probability, good, batch.num_rows),
        spread(logit, good, batch.num_rows),
        pa.array(decisions.tolist(), pa.string()),
        pa.array(why, REASONS),
        pa.array(rejected, pa.string()),
    ]
    names = [*batch.schema.names, *(field.name for field in ADDED)]
    return pa.RecordBatch.from_arrays([*batch.columns, *added], names=names)


def features(batch: pa.RecordBatch, model: Model) -> tuple[Matrix, list[str | None]]:
    """Return float64 (rows, features), and of each row why it cannot be scored."""
    columns = [as_doubles(batch.column(name)) for name in model.feature_names]
    matrix = np.empty((batch.num_rows, len(columns)))
    missing = np.zeros(batch.num_rows, dtype=bool)
    for place, column in enumerate(columns):
        if column.null_count:
            missing |= column.is_null().to_numpy(zero_copy_only=False)
        matrix[:, place] = column.fill_null(0.0).to_numpy()
    broken = ~np.isfinite(matrix).all(axis=1)
    rejected: list[str | None] = [None] * batch.num_rows
    for place in np.flatnonzero(broken).tolist():
        rejected[place] = "NONFINITE"
    for place in np.flatnonzero(missing).tolist():
        rejected[place] = "MISSING"
    return matrix, rejected


def as_doubles(column: pa.Array) -> pa.Array:
    """Return numbers as the nearest float64, as a JSON decoder reads their texts."""
    if pa.types.is_decimal(column.type):  # arrow's own way rounds twice
        return pc.cast(pc.cast(column, pa.string()), pa.float64())
    return pc.cast(column, pa.float64(), safe=False)


def spread(values: Vector, good: NDArray[np.intp], rows: int) -> pa.Array:
    """Return values of the good rows among all, null for the others."""
    everywhere = np.zeros(rows, dtype=np.float32)
    everywhere[good] = values
    unknown = np.ones(rows, dtype=bool)
    unknown[good] = False
    return pa.array(everywhere, pa.float32(), mask=unknown)
