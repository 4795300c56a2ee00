"""The kinds of model that are compared, what is tuned about each, and with how much work."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models import fits
from models.fits import Budget, Rows, Score, Settings
from models.recipe import Recipe

QUICK = Budget("quick", 2, 200, 2_000, 50, 6, Recipe())
DEFAULT = Budget("default", 8, 1000, 8_000, 300, 30, Recipe())


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of model."""

    # For a reader of the report: what it is.
    what: str
    grid: Mapping[str, Sequence[Any]]
    fit: Callable[[Rows, Settings, Budget], Score]
    # Whether it is a Keras net, which `model convert` serves as it is.
    keras: bool = False


_DESCENT = {"dropout": (0.0, 0.2), "learning_rate": (2e-3, 5e-3), "weight_decay": (0.01, 0.1, 0.3)}

FAMILIES: dict[str, Family] = {
    "logistic regression": Family(
        "a weighted sum of the features (scikit-learn)",
        {"C": (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0)},
        fits.fit_logistic,
    ),
    "random forest": Family(
        "many deep trees that vote (scikit-learn)",
        {"min_samples_leaf": (1, 3, 10), "max_features": (4, 6, 10)},
        fits.fit_forest,
    ),
    "histogram boosting": Family(
        "small trees, each mending those before it (scikit-learn's HistGradientBoosting)",
        {
            "max_iter": (100, 300),
            "learning_rate": (0.03, 0.06),
            "max_leaf_nodes": (8, 16, 31),
            "min_samples_leaf": (20, 50),
            "l2_regularization": (0.0, 1.0, 10.0),
        },
        fits.fit_boosting,
    ),
    "LightGBM": Family(
        "the same idea in the library that set the bar for this project",
        {
            "trees": (200, 300, 500),
            "learning_rate": (0.02, 0.03, 0.05),
            "num_leaves": (4, 8, 16),
            "min_data_in_leaf": (10, 20, 50),
            "feature_fraction": (0.3, 0.6, 1.0),
            "bagging_fraction": (0.7, 1.0),
        },
        fits.fit_lightgbm,
    ),
    "support vectors": Family(
        "distances to the rows near the border, RBF kernel (scikit-learn's SVC)",
        {"C": (0.3, 1.0, 3.0, 10.0), "gamma": (0.003, 0.01, 0.03)},
        fits.fit_support_vectors,
    ),
    "shallow net": Family(
        "one hidden layer (Keras)",
        {"hidden": ((2,), (8,), (16,), (32,)), **_DESCENT},
        fits.fit_net,
        keras=True,
    ),
    "deeper net": Family(
        "two or three hidden layers (Keras)",
        {"hidden": ((32, 16), (64, 32), (64, 32, 16)), **_DESCENT},
        fits.fit_net,
        keras=True,
    ),
}
# What is not compared here, and why; the report says so.
LEFT_OUT: dict[str, str] = {}
if not fits.HAS_LIGHTGBM:
    del FAMILIES["LightGBM"]
    LEFT_OUT["LightGBM"] = "its library cannot be loaded (on Debian: apt install libgomp1)"
# Those for which every strategy against imbalance is tried: one of each sort.
SIDE_BY_SIDE = ("logistic regression", "histogram boosting", "shallow net")
RECIPE_WHAT = "five nets with one hidden layer each, as stream-scorer model train fits them (Keras)"
# Tuned for every kind: whether the seconds since the first row are a feature.
TIME = "time"
