"""A second model beside the one that decides: what it would have said, and never an alert."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from stream_scorer import values
from stream_scorer.errors import BadInput
from stream_scorer.model import Model
from stream_scorer.records import Comparison, Matrix, Output, Record, Vector, place_text


@dataclass(frozen=True, slots=True)
class Challenger:
    """A model that scores the champion's matrix after it."""

    model: Model
    columns: NDArray[np.intp] | None  # of the champion's matrix, in its own order; None: the same
    sample: float  # share of the disagreements to publish, 0 to 1

    @classmethod
    def beside(cls, champion: Model, model: Model, *, sample: float) -> Self:
        """Fit a challenger to the matrix of a champion; raise BadInput if that lacks a feature."""
        missing = [name for name in model.feature_names if name not in champion.feature_names]
        if missing:
            raise BadInput(
                f"challenger {model.name} {model.version} wants {', '.join(missing)}: it can only "
                f"be given what model {champion.name} {champion.version} reads"
            )
        if model.feature_names == champion.feature_names:
            return cls(model, None, sample)
        columns = [champion.feature_names.index(name) for name in model.feature_names]
        return cls(model, np.array(columns), sample)

    def compare(
        self,
        champion: Model,
        records: Sequence[Record],
        matrix: Matrix,
        probability: Vector,
        *,
        threshold: float,
        transaction_id: Callable[[Record], str],
    ) -> Comparison:
        """Return how the challenger's alerts differ; row i of each belongs to records[i].

        `matrix` is raw float64 (rows, features), `probability` the champion's, float32 (rows,).
        """
        second = self._score(matrix if self.columns is None else matrix[:, self.columns])
        finite = np.isfinite(second)
        ours = probability >= np.float32(threshold)
        theirs = second >= np.float32(threshold)  # not finite: false, and counted by itself
        apart = np.flatnonzero((ours != theirs) & finite).tolist()
        champion_only = int(np.count_nonzero(ours[apart]))
        return Comparison(
            difference=(second - probability)[finite],
            champion_only=champion_only,
            challenger_only=len(apart) - champion_only,
            not_finite=len(records) - int(np.count_nonzero(finite)),
            disagreements=[
                Output(
                    (identity := transaction_id(records[i])).encode(),
                    values.disagreement(
                        records[i],
                        transaction_id=identity,
                        threshold=threshold,
                        champion=(champion, probability.item(i)),
                        challenger=(self.model, second.item(i)),
                    ),
                )
                for i in apart
                if self._sampled(records[i])
            ],
        )

    def _score(self, matrix: Matrix) -> Vector:
        """Return its probabilities, float32 (rows,); NaN for a batch that it cannot score.

        The champion's alerts must not wait for a model that nobody relies on.
        """
        try:
            return self.model.score(matrix)[1]
        except Exception:  # noqa: BLE001 - onnxruntime's errors have no base class but this
            return np.full(len(matrix), np.nan, dtype=np.float32)

    def _sampled(self, record: Record) -> bool:
        """Tell whether a record is in the sample: by its place, so that a repeat decides alike."""
        return zlib.crc32(place_text(record).encode()) < self.sample * 2**32
