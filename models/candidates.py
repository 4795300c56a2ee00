"""The kinds of model that are compared: what is tuned about each, and how one is fitted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import lightgbm
import numpy as np
import tensorflow as tf
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from models import nets
from models.recipe import Recipe
from models.transactions import Flags, Floats

Settings = Mapping[str, Any]
# Scaled float64 (n, k) to log-odds or another score that rises with them, float64 (n,).
Score = Callable[[Floats], Floats]
# Batches an epoch, about, of the plain nets, between these sizes: few rows need small batches.
BATCHES, SMALLEST_BATCH, LARGEST_BATCH = 100, 16, 256
# Warm-up of the plain nets' step size, in batches.
WARMUP_STEPS = 20


@dataclass(frozen=True, slots=True)
class Budget:
    """How much work a comparison may be; the report states it."""

    name: str
    # Settings drawn at random from each grid, and tried on validation.
    settings: int
    # Bootstrap resamples.
    rounds: int
    # Genuine rows that the support vector classifier learns from: its time grows with their square.
    svc_genuine_rows: int
    # Of the random forest.
    trees: int
    # Of the plain nets; the recipe has its own.
    epochs: int
    recipe: Recipe


QUICK = Budget("quick", 2, 200, 2_000, 50, 6, Recipe())
DEFAULT = Budget("default", 8, 1000, 8_000, 300, 30, Recipe())


@dataclass(frozen=True, slots=True)
class Rows:
    """What a model is fitted on: features float64 (n, k), frauds bool (n,), weights (n,) or None.

    `seed` decides what the fit draws.
    """

    features: Floats
    frauds: Flags
    weights: Floats | None
    seed: int


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of model."""

    # For a reader of the report: what it is.
    what: str
    grid: Mapping[str, Sequence[Any]]
    fit: Callable[[Rows, Settings, Budget], Score]
    # Whether it is a Keras net, which `model convert` serves as it is.
    keras: bool = False


def _logistic(rows: Rows, settings: Settings, _budget: Budget) -> Score:
    model = LogisticRegression(C=settings["C"], max_iter=5000)
    model.fit(rows.features, rows.frauds, sample_weight=rows.weights)
    return model.decision_function  # type: ignore[no-any-return]


def _forest(rows: Rows, settings: Settings, budget: Budget) -> Score:
    model = RandomForestClassifier(budget.trees, **settings, n_jobs=-1, random_state=rows.seed)
    model.fit(rows.features, rows.frauds, sample_weight=rows.weights)

    def score(features: Floats) -> Floats:
        # Half a tree's vote for either side: where all agree, the log-odds would have no end.
        votes = model.predict_proba(features)[:, 1] * budget.trees + 0.5
        return np.asarray(np.log(votes / (budget.trees + 1 - votes)))

    return score


def _boosting(rows: Rows, settings: Settings, _budget: Budget) -> Score:
    # Stopping early would hold out rows at random: later ones would decide about earlier ones.
    model = HistGradientBoostingClassifier(**settings, early_stopping=False, random_state=rows.seed)
    model.fit(rows.features, rows.frauds, sample_weight=rows.weights)
    return model.decision_function  # type: ignore[no-any-return]


def _lightgbm(rows: Rows, settings: Settings, _budget: Budget) -> Score:
    steady = {"objective": "binary", "verbosity": -1, "deterministic": True, "force_col_wise": True}
    options = {name: value for name, value in settings.items() if name != "trees"}
    model = lightgbm.train(
        {**steady, **options, "bagging_freq": 1, "seed": rows.seed},
        lightgbm.Dataset(rows.features, rows.frauds, weight=rows.weights),
        settings["trees"],
    )
    return lambda features: np.asarray(model.predict(features, raw_score=True))


def _support_vectors(rows: Rows, settings: Settings, budget: Budget) -> Score:
    genuine = np.flatnonzero(~rows.frauds)
    if len(genuine) > budget.svc_genuine_rows:
        rng = np.random.default_rng(rows.seed)
        genuine = rng.choice(genuine, budget.svc_genuine_rows, replace=False)
    kept = np.sort(np.concatenate([np.flatnonzero(rows.frauds), genuine]))
    model = SVC(**settings)
    model.fit(rows.features[kept], rows.frauds[kept])
    return model.decision_function  # type: ignore[no-any-return]


def _net(rows: Rows, settings: Settings, budget: Budget) -> Score:
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(rows.seed)
    weighed_alike = rows.weights is not None
    layers: list[keras.Layer] = [keras.Input((rows.features.shape[1],))]
    for units in settings["hidden"]:
        layers += [
            keras.layers.Dense(units, use_bias=False),
            keras.layers.BatchNormalization(momentum=budget.recipe.batch_norm_momentum),
            keras.layers.Activation("relu"),
            keras.layers.Dropout(settings["dropout"]),
        ]
    start = keras.initializers.Constant(0.0 if weighed_alike else nets.log_odds(rows.frauds))
    net = keras.Sequential([*layers, keras.layers.Dense(1, bias_initializer=start)])
    batch = int(np.clip(len(rows.frauds) // BATCHES, SMALLEST_BATCH, LARGEST_BATCH))
    schedule = replace(
        budget.recipe,
        epochs=budget.epochs,
        batch_rows=batch,
        warmup_steps=WARMUP_STEPS,
        learning_rate=settings["learning_rate"],
        weight_decay=settings["weight_decay"],
    )
    nets.descend(
        net,
        rows.features.astype(np.float32),
        rows.frauds,
        recipe=schedule,
        epoch_done=lambda _epochs: None,
        weights=rows.weights,
    )
    return lambda features: nets.logits(net, features.astype(np.float32))


_DESCENT = {"dropout": (0.0, 0.2), "learning_rate": (2e-3, 5e-3), "weight_decay": (0.01, 0.1, 0.3)}

FAMILIES: dict[str, Family] = {
    "logistic regression": Family(
        "a weighted sum of the features (scikit-learn)",
        {"C": (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0)},
        _logistic,
    ),
    "random forest": Family(
        "many deep trees that vote (scikit-learn)",
        {"min_samples_leaf": (1, 3, 10), "max_features": (4, 6, 10)},
        _forest,
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
        _boosting,
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
        _lightgbm,
    ),
    "support vectors": Family(
        "distances to the rows near the border, RBF kernel (scikit-learn's SVC)",
        {"C": (0.3, 1.0, 3.0, 10.0), "gamma": (0.003, 0.01, 0.03)},
        _support_vectors,
    ),
    "shallow net": Family(
        "one hidden layer (Keras)",
        {"hidden": ((2,), (8,), (16,), (32,)), **_DESCENT},
        _net,
        keras=True,
    ),
    "deeper net": Family(
        "two or three hidden layers (Keras)",
        {"hidden": ((32, 16), (64, 32), (64, 32, 16)), **_DESCENT},
        _net,
        keras=True,
    ),
}
# Those for which every strategy against imbalance is tried: one of each sort.
SIDE_BY_SIDE = ("logistic regression", "histogram boosting", "shallow net")
RECIPE_WHAT = "five nets with one hidden layer each, as stream-scorer model train fits them (Keras)"
# Tuned for every kind: whether the seconds since the first row are a feature.
TIME = "time"
