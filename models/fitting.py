"""Fit the recipe: a net for each block of time it skips, then the calibration on those blocks."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from models import folds, nets
from models.calibration import Platt, fit_platt
from models.progress import Tell
from models.recipe import Recipe
from models.scaling import Scaling, fit_scaling
from models.transactions import FEATURES, Flags, Floats, Transactions


@dataclass(frozen=True, slots=True)
class Fitted:
    """The fitted parts; `used` bool (30,) marks the features that weigh."""

    scaling: Scaling
    used: Flags
    nets: Sequence[keras.Sequential]
    platt: Platt
    calibrated_from: float

    def keras_score(self, features: Floats) -> tuple[Floats, Floats]:
        """Return Keras's logit and probability, float64 (n,), of raw float64 (n, 30)."""
        joined = nets.join(self.nets, self.platt)
        logit = nets.logits(joined, self.scaling(features)[:, self.used])
        return logit, (1 + np.tanh(logit / 2)) / 2  # the sigmoid, without overflow


def fit(rows: Transactions, recipe: Recipe, progress: Tell) -> Fitted:
    """Fit on `rows`, all of them earlier than any test."""
    tf.config.experimental.enable_op_determinism()
    scaling = fit_scaling(rows, clip=recipe.clip_sd)
    used = np.array([name not in recipe.left_out for name in FEATURES])
    scaled = scaling(rows.features)[:, used]
    block_of = folds.blocks(rows.times, rows.frauds, count=recipe.blocks)
    held_out = np.empty(len(rows))
    fitted = []
    for block in range(recipe.blocks):
        skipped = block_of == block

        def epoch_done(epochs: int, before: int = block) -> None:
            share = (before + epochs / recipe.epochs) / recipe.blocks
            progress(f"net {before + 1} of {recipe.blocks}", share)

        net = nets.fit(
            scaled[~skipped],
            rows.frauds[~skipped],
            recipe=recipe,
            seed=recipe.seed + block,
            epoch_done=epoch_done,
        )
        held_out[skipped] = nets.logits(net, scaled[skipped])
        fitted.append(net)
    start = folds.calibration_start(rows.times, rows.frauds, share=recipe.calibration_share)
    late = rows.times >= start
    platt = fit_platt(held_out[late], rows.frauds[late], rows.weights[late])
    return Fitted(scaling, used, fitted, platt, start)
