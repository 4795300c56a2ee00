"""Fit one model of each kind on rows that are scaled and resampled already."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from models import nets
from models.recipe import Recipe
from models.transactions import Flags, Floats

try:
    import lightgbm
except OSError:  # its wheel wants libgomp of the system: the comparison then goes without it
    HAS_LIGHTGBM = False
else:
    HAS_LIGHTGBM = True

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


@dataclass(frozen=True, slots=True)
class Rows:
    """What a model is fitted on: features float64 (n, k), frauds bool (n,), weights (n,) or None.

    `seed` decides what the fit draws.
    """

    features: Floats
    frauds: Flags
    weights: Floats | None
    seed: int


def fit_logistic(rows: Rows, settings: Settings, _budget: Budget) -> Score:
    """Fit the log-odds as a weighted sum."""
    model = LogisticRegression(C=settings["C"], max_iter=5000)
    model.fit(rows.features, rows.frauds, sample_weight=rows.weights)
    return model.decision_function  # type: ignore[no-any-return]


def fit_forest(rows: Rows, settings: Settings, budget: Budget) -> Score:
    """Fit trees that vote."""
    model = RandomForestClassifier(budget.trees, **settings, n_jobs=-1, random_state=rows.seed)
    model.fit(rows.features, rows.frauds, sample_weight=rows.weights)
    # Threads would add the trees' votes in the order they come, and the last digit with it.
    model.set_params(n_jobs=1)

    def score(features: Floats) -> Floats:
        # Half a tree's vote for either side: where all agree, the log-odds would have no end.
        votes = model.predict_proba(features)[:, 1] * budget.trees + 0.5
        return np.asarray(np.log(votes / (budget.trees + 1 - votes)))

    return score


def fit_boosting(rows: Rows, settings: Settings, _budget: Budget) -> Score:
    """Fit scikit-learn's histogram boosting."""
    # Stopping early would hold out rows at random: later ones would decide about earlier ones.
    model = HistGradientBoostingClassifier(**settings, early_stopping=False, random_state=rows.seed)
    model.fit(rows.features, rows.frauds, sample_weight=rows.weights)
    return model.decision_function  # type: ignore[no-any-return]


def fit_lightgbm(rows: Rows, settings: Settings, _budget: Budget) -> Score:
    """Fit LightGBM, so that the same rows give the same trees."""
    steady = {"objective": "binary", "verbosity": -1, "deterministic": True, "force_col_wise": True}
    options = {name: value for name, value in settings.items() if name != "trees"}
    model = lightgbm.train(
        {**steady, **options, "bagging_freq": 1, "seed": rows.seed},
        lightgbm.Dataset(rows.features, rows.frauds, weight=rows.weights),
        settings["trees"],
    )
    return lambda features: np.asarray(model.predict(features, raw_score=True))


def fit_support_vectors(rows: Rows, settings: Settings, budget: Budget) -> Score:
    """Fit an RBF kernel on all frauds and some genuine rows; `rows.weights` do not count."""
    genuine = np.flatnonzero(~rows.frauds)
    if len(genuine) > budget.svc_genuine_rows:
        rng = np.random.default_rng(rows.seed)
        genuine = rng.choice(genuine, budget.svc_genuine_rows, replace=False)
    kept = np.sort(np.concatenate([np.flatnonzero(rows.frauds), genuine]))
    model = SVC(**settings)
    model.fit(rows.features[kept], rows.frauds[kept])
    return model.decision_function  # type: ignore[no-any-return]


def fit_net(rows: Rows, settings: Settings, budget: Budget) -> Score:
    """Fit a Keras net, each hidden layer dense, normalised, relu, dropout."""
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
