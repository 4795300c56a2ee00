"""Bring raw features to one scale: standardise by the fitted rows, then clip."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.transactions import Floats, Transactions


@dataclass(frozen=True, slots=True)
class Scaling:
    """`centre` float64 (n,), `factor` float64 (n,) = 1 / sd, `clip` in standard deviations."""

    centre: Floats
    factor: Floats
    clip: float

    def __call__(self, features: Floats) -> npt.NDArray[np.float32]:
        """Return float32 (rows, n) from raw float64 (rows, n).

        The affine part is in float64: in float32 an epoch-second time would cost 7e-6 of the
        probability.
        """
        scaled = ((features - self.centre) * self.factor).astype(np.float32)
        return np.clip(scaled, np.float32(-self.clip), np.float32(self.clip))


def fit_scaling(fit: Transactions, *, clip: float) -> Scaling:
    """Return the weighted mean and standard deviation of the rows, as a scaling."""
    centre = np.average(fit.features, axis=0, weights=fit.weights)
    sd = np.sqrt(np.average((fit.features - centre) ** 2, axis=0, weights=fit.weights))
    # A feature that never varied tells nothing: 0 keeps it out, where 1 / sd would be infinite.
    factor = np.divide(1.0, sd, out=np.zeros_like(sd), where=sd > 0)
    return Scaling(centre, factor, clip)
