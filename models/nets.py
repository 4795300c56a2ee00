"""The Keras nets: build one, fit one, join several into the net that is served."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import numpy.typing as npt

from models.calibration import Platt
from models.recipe import Recipe
from models.transactions import Flags, Floats

# Batches that TensorFlow runs before Python is asked again: the same numbers in half the time.
STEPS_A_CALL = 16


def build(recipe: Recipe, *, inputs: int, log_odds: float) -> keras.Sequential:
    """Return an unfitted net from float32 (rows, inputs), scaled, to logits (rows, 1)."""
    return keras.Sequential(
        [
            keras.Input((inputs,)),
            keras.layers.GaussianNoise(recipe.noise_sd),
            # No bias: the normalisation that follows would take it out again.
            keras.layers.Dense(recipe.units, use_bias=False, name="hidden"),
            keras.layers.BatchNormalization(momentum=recipe.batch_norm_momentum, name="norm"),
            keras.layers.Activation("relu"),
            keras.layers.Dropout(recipe.dropout),
            # Started at the log-odds of fraud, which small steps would never reach from zero.
            keras.layers.Dense(
                1, bias_initializer=keras.initializers.Constant(log_odds), name="logit"
            ),
        ]
    )


def fit(
    scaled: npt.NDArray[np.float32],
    frauds: Flags,
    *,
    recipe: Recipe,
    seed: int,
    epoch_done: Callable[[int], None],
) -> keras.Sequential:
    """Return a net fitted on `scaled` (n, inputs) and `frauds` (n,), each row counting once."""
    keras.utils.set_random_seed(seed)
    net = build(recipe, inputs=scaled.shape[1], log_odds=log_odds(frauds))
    descend(net, scaled, frauds, recipe=recipe, epoch_done=epoch_done)
    return net


def log_odds(frauds: Flags) -> float:
    """Return the log-odds of fraud among the rows `frauds` (n,), of both kinds."""
    share = frauds.mean()
    return float(np.log(share / (1 - share)))


def descend(
    net: keras.Model,
    scaled: npt.NDArray[np.float32],
    frauds: Flags,
    *,
    recipe: Recipe,
    epoch_done: Callable[[int], None],
    weights: Floats | None = None,
) -> None:
    """Fit `net` by the recipe's schedule; `weights` float64 (n,) where rows do not count alike."""
    steps = recipe.epochs * -(-len(scaled) // recipe.batch_rows)
    optimizer = keras.optimizers.AdamW(
        keras.optimizers.schedules.CosineDecay(
            0.0,
            decay_steps=max(1, steps - recipe.warmup_steps),
            alpha=recipe.final_rate_share,
            warmup_target=recipe.learning_rate,
            warmup_steps=recipe.warmup_steps,
        ),
        weight_decay=recipe.weight_decay,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    net.compile(
        optimizer,
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        steps_per_execution=STEPS_A_CALL,
        jit_compile=False,  # XLA gains nothing on nets this small
    )
    net.fit(
        scaled,
        frauds.astype(np.float32),
        sample_weight=weights,
        batch_size=recipe.batch_rows,
        epochs=recipe.epochs,
        verbose=0,
        callbacks=[
            keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, _: epoch_done(epoch + 1))
        ],
    )


def join(nets: Sequence[keras.Sequential], platt: Platt) -> keras.Model:
    """Return the served net, unfolded: the mean of the nets' logits, then Platt, (rows, 1)."""
    scaled = keras.Input(nets[0].input_shape[1:])
    mean = keras.layers.Average()([net(scaled) for net in nets])
    calibrate = keras.layers.Dense(1, name="platt")
    joined = keras.Model(scaled, calibrate(mean))
    calibrate.set_weights([np.array([[platt.slope]]), np.array([platt.offset])])
    return joined


def logits(net: keras.Model, scaled: npt.NDArray[np.float32]) -> Floats:
    """Return float64 (n,): Keras's logit of each row of `scaled` (n, inputs)."""
    scores: npt.NDArray[np.float32] = keras.ops.convert_to_numpy(net(scaled, training=False))
    return scores[:, 0].astype(np.float64)
