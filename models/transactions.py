"""Labelled transactions as aligned arrays in order of time."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

# The columns of creditcard.csv, in its order, which is the order of the model's input.
FEATURES: tuple[str, ...] = ("Time", *(f"V{i}" for i in range(1, 29)), "Amount")
LABEL = "Class"
TIME = FEATURES.index("Time")
AMOUNT = FEATURES.index("Amount")


@dataclass(frozen=True, slots=True)
class Sampling:
    """How many genuine transactions one genuine row stands for: frauds always stand for themselves.

    `genuine_weight` holds for rows later than `complete_until` (seconds, in the file's `Time`);
    up to then the file is complete and a row weighs 1. None: all genuine rows carry the weight.
    """

    genuine_weight: float = 1.0
    complete_until: float | None = None

    def weights(self, times: Floats, frauds: Flags) -> Floats:
        """Return float64 (n,): the weight of each row, for `times` in seconds and `frauds` (n,)."""
        complete = np.full(len(times), fill_value=False)
        if self.complete_until is not None:
            complete = times <= self.complete_until
        return np.where(frauds | complete, 1.0, self.genuine_weight)


@dataclass(frozen=True, slots=True)
class Transactions:
    """Rows in order of `Time`; row i of each array is the same transaction.

    `features` float64 (n, 30) in the order of FEATURES, raw; `frauds` bool (n,); `weights`
    float64 (n,), transactions that the row stands for.
    """

    features: Floats
    frauds: Flags
    weights: Floats

    @property
    def times(self) -> Floats:
        """Seconds, float64 (n,), never falling."""
        return self.features[:, TIME]

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.frauds)

    def where(self, keep: Flags) -> "Transactions":
        """Return the rows that `keep` bool (n,) marks, in the same order."""
        return Transactions(self.features[keep], self.frauds[keep], self.weights[keep])

    def then(self, later: "Transactions") -> "Transactions":
        """Return these rows and, after them, those of `later`."""
        return Transactions(
            np.concatenate([self.features, later.features]),
            np.concatenate([self.frauds, later.frauds]),
            np.concatenate([self.weights, later.weights]),
        )
