"""What can be done about few frauds among many rows, before or while a model is fitted."""

from collections.abc import Callable

import numpy as np
from imblearn.over_sampling import SMOTE, RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler

from models.transactions import Flags, Floats

# Frauds for each genuine row after resampling: even halves would teach another world than the one
# that is scored, and the calibration has to undo whatever is done here.
OVERSAMPLED_RATIO = 0.1
UNDERSAMPLED_RATIO = 0.05

# Rows to fit on: features float64 (n, k), frauds bool (n,), and weights float64 (n,) or None.
Resampled = tuple[Floats, Flags, Floats | None]


def nothing(features: Floats, frauds: Flags, _seed: int) -> Resampled:
    """Leave the rows as they are."""
    return features, frauds, None


def class_weight(features: Floats, frauds: Flags, _seed: int) -> Resampled:
    """Weigh both kinds alike as a whole: n / (2 x rows of the kind), scikit-learn's `balanced`."""
    counts = np.array([(~frauds).sum(), frauds.sum()])
    return features, frauds, (len(frauds) / (2 * counts))[frauds.astype(int)]


def oversampled(features: Floats, frauds: Flags, seed: int) -> Resampled:
    """Repeat frauds, drawn at random, up to `OVERSAMPLED_RATIO`."""
    return _resampled(RandomOverSampler, OVERSAMPLED_RATIO, features, frauds, seed)


def smote(features: Floats, frauds: Flags, seed: int) -> Resampled:
    """Make frauds up between neighbouring ones, up to `OVERSAMPLED_RATIO`."""
    return _resampled(SMOTE, OVERSAMPLED_RATIO, features, frauds, seed)


def undersampled(features: Floats, frauds: Flags, seed: int) -> Resampled:
    """Leave out genuine rows, drawn at random, down to `UNDERSAMPLED_RATIO`."""
    return _resampled(RandomUnderSampler, UNDERSAMPLED_RATIO, features, frauds, seed)


Strategy = Callable[[Floats, Flags, int], Resampled]
STRATEGIES: dict[str, Strategy] = {
    "none": nothing,
    "class weight": class_weight,
    "oversampling": oversampled,
    "oversampling (SMOTE)": smote,
    "undersampling": undersampled,
}


def _resampled(
    sampler: Callable[..., SMOTE | RandomOverSampler | RandomUnderSampler],
    ratio: float,
    features: Floats,
    frauds: Flags,
    seed: int,
) -> Resampled:
    # Where frauds are as frequent as that already, the library refuses: nothing is to be done.
    if frauds.sum() >= ratio * (~frauds).sum():
        return features, frauds, None
    resampler = sampler(sampling_strategy=ratio, random_state=seed)
    features, frauds = resampler.fit_resample(features, frauds)
    return features, frauds, None
