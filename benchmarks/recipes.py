"""Is there a better recipe? Variants of it, and LightGBM, on rolling folds in order of time.

    python benchmarks/recipes.py creditcard.parquet --genuine-weight 4.9 --complete-until 19899

Each fold fits on all rows before its test and is measured on the test, which is later; the tests
are disjoint. All get the same blocks of time, of which each member skips one, and the same
calibration on the blocks skipped. The intervals are 90 % bootstrap over test rows, frauds and
genuine rows drawn apart, fold by fold; the gain on the base is drawn on the same rows.
Stops beginning new variants when the budget is spent, and says which it left out.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from models import folds, reading
from models.calibration import fit_platt
from models.evaluate import average_precision
from models.fitting import fit
from models.recipe import THRESHOLD, Recipe
from models.transactions import Floats, Sampling, Transactions

# Seconds of Time: each test runs from one to the next. 51, 66, 33 and 61 frauds in the ULB sample.
CUTS = (57_000.0, 75_000.0, 95_000.0, 115_000.0, 145_000.0)
ROUNDS = 500
CONFIDENCE = 0.9
BASE = replace(Recipe(), units=16, batch_rows=512)
# What is tried against the base, the recipe of fraud.onnx 1.0.0; models/search.md has the figures.
VARIANTS: dict[str, Recipe] = {
    "the former recipe: 16 units, batches of 512": BASE,
    "another seed": replace(BASE, seed=100),
    "8 units": replace(BASE, units=8),
    "32 units": replace(BASE, units=32),
    "noise 0.15": replace(BASE, noise_sd=0.15),
    "noise 0.5": replace(BASE, noise_sd=0.5),
    "dropout 0.4": replace(BASE, dropout=0.4),
    "decay 0.1": replace(BASE, weight_decay=0.1),
    "decay 0.6": replace(BASE, weight_decay=0.6),
    "60 epochs": replace(BASE, epochs=60),
    "15 epochs": replace(BASE, epochs=15),
    "clip at 4 sd": replace(BASE, clip_sd=4.0),
    "clip at 7 sd": replace(BASE, clip_sd=7.0),
    "8 blocks": replace(BASE, blocks=8),
    "calibrated on the latest third": replace(BASE, calibration_share=0.33),
    "calibrated on the latest two thirds": replace(BASE, calibration_share=0.67),
    "batches of 256": replace(BASE, batch_rows=256),
    "Amount left out": replace(BASE, left_out=("Time", "Amount")),
    "noise 0.5, 32 units": replace(BASE, noise_sd=0.5, units=32),
    "64 units": replace(BASE, units=64),
    "32 units, batches of 256: the recipe": replace(BASE, units=32, batch_rows=256),
    "32 units, another seed": replace(BASE, units=32, seed=100),
    "32 units, 60 epochs": replace(BASE, units=32, epochs=60),
}
LIGHTGBM = "LightGBM (300 x 8 leaves, 0.03)"
# Raw float64 (n, 30) to calibrated logits, float64 (n,).
Logits = Callable[[Floats], Floats]


@dataclass(frozen=True, slots=True)
class Tests:
    """The test rows of all folds in order of time, row i of each."""

    logit: Floats
    frauds: NDArray[np.bool_]
    weights: Floats
    fold: NDArray[np.int64]


def fit_recipe(rows: Transactions, recipe: Recipe) -> Logits:
    """Fit the nets as `model train` does."""
    fitted = fit(rows, recipe, lambda *_: None)
    return lambda features: fitted.keras_score(features)[0]


def fit_lightgbm(rows: Transactions) -> Logits:
    """Fit LightGBM on the same blocks, with the same calibration."""
    import lightgbm

    block_of = folds.blocks(rows.times, rows.frauds, count=BASE.blocks)
    held_out = np.empty(len(rows))
    members = []
    for block in range(BASE.blocks):
        skipped = block_of == block
        member = lightgbm.LGBMClassifier(
            n_estimators=300, num_leaves=8, learning_rate=0.03, random_state=block, verbose=-1,
            min_child_samples=20, n_jobs=1, deterministic=True, force_row_wise=True,
        ).fit(rows.features[~skipped, 1:], rows.frauds[~skipped])  # fmt: skip
        held_out[skipped] = member.predict(rows.features[skipped, 1:], raw_score=True)
        members.append(member)
    late = rows.times >= folds.calibration_start(
        rows.times, rows.frauds, share=BASE.calibration_share
    )
    platt = fit_platt(held_out[late], rows.frauds[late], rows.weights[late])

    def logits(features: Floats) -> Floats:
        scores = [member.predict(features[:, 1:], raw_score=True) for member in members]
        calibrated: Floats = np.mean(scores, axis=0) * platt.slope + platt.offset
        return calibrated

    return logits


def test(rows: Transactions, learn: Callable[[Transactions], Logits]) -> Tests:
    """Fit before each cut, score to the next."""
    tested = rows.where((rows.times >= CUTS[0]) & (rows.times < CUTS[-1]))
    fold = np.searchsorted(CUTS, tested.times, side="right") - 1
    logit = np.empty(len(tested))
    for number, start in enumerate(CUTS[:-1]):
        logits = learn(rows.where(rows.times < start))
        logit[fold == number] = logits(tested.features[fold == number])
    return Tests(logit, tested.frauds, tested.weights, fold)


def figures(tests: Tests, weights: Floats) -> dict[str, float]:
    """Return the figures; the pooled ones are over the rows of all folds. `weights` (n,)."""
    first_to_last = np.argsort(-tests.logit, kind="stable")
    by_fold = [
        precision(tests, first_to_last[tests.fold[first_to_last] == number], weights)
        for number in range(len(CUTS) - 1)
    ]
    alerts = tests.logit >= np.log(THRESHOLD / (1 - THRESHOLD))
    frauds = tests.frauds
    losses = weights * np.logaddexp(0, np.where(frauds, -tests.logit, tests.logit))
    alerted = weights[alerts].sum()
    return {
        "fold_ap": float(np.mean(by_fold)),
        "last_fold_ap": by_fold[-1],
        "pooled_ap": precision(tests, first_to_last, weights),
        "recall": float(weights[alerts & frauds].sum() / weights[frauds].sum()),
        "precision": float(weights[alerts & frauds].sum() / alerted) if alerted else np.nan,
        "log_loss_per_fraud": float(losses.sum() / weights[frauds].sum()),
    }


def precision(tests: Tests, order: NDArray[np.int64], weights: Floats) -> float:
    """Return the average precision of some rows, in falling order of their logit."""
    logit = tests.logit[order].astype(np.float32)
    return average_precision(logit, tests.frauds[order], weights[order])


def draw(tests: Tests, rng: np.random.Generator) -> Floats:
    """Return weights (n,): each row's, times how often it is drawn within its kind and fold."""
    counts = np.zeros(len(tests.frauds))
    for number in range(len(CUTS) - 1):
        for kind in (tests.frauds, ~tests.frauds):
            rows = np.flatnonzero(kind & (tests.fold == number))
            counts[rows] = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)))
    return tests.weights * counts


def measure(tests: Tests, base: Tests) -> dict[str, dict[str, float]]:
    """Return each figure with its interval, and the fold AP's gain on the base."""
    rng = np.random.default_rng(0)
    found, again = figures(tests, tests.weights), []
    found["fold_ap_gain"] = found["fold_ap"] - figures(base, base.weights)["fold_ap"]
    for _ in range(ROUNDS):
        weights = draw(tests, rng)
        each = figures(tests, weights)
        each["fold_ap_gain"] = each["fold_ap"] - figures(base, weights)["fold_ap"]
        again.append(each)
    tail = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    return {
        name: dict(
            zip(
                ("value", "low", "high"),
                [value, *np.nanquantile([each[name] for each in again], tail).tolist()],
                strict=True,
            )
        )
        for name, value in found.items()
    }


def show(name: str, found: dict[str, dict[str, float]], seconds: float) -> str:
    """Return one line of the table, Markdown."""
    cells = [
        f"{each['value']:.3f} [{each['low']:.3f}, {each['high']:.3f}]" for each in found.values()
    ]
    return f"| {name} | {' | '.join(cells)} | {seconds:.0f} |"


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True))
@click.option("--genuine-weight", type=float, default=1.0)
@click.option("--complete-until", type=float)
@click.option("--budget-minutes", type=float, default=60.0)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures.")
def main(
    file: Path,
    *,
    genuine_weight: float,
    complete_until: float | None,
    budget_minutes: float,
    json_file: Path | None,
) -> None:
    """Fit and measure each variant; print a table."""
    rows = reading.read(file, sampling=Sampling(genuine_weight, complete_until)).transactions
    began, left_out = time.monotonic(), []
    base: Tests | None = None
    found: dict[str, Any] = {}
    for name, recipe in {**VARIANTS, LIGHTGBM: None}.items():
        start = time.monotonic()
        if start - began > budget_minutes * 60:
            left_out.append(name)
            continue
        tests = test(rows, fit_lightgbm if recipe is None else partial(fit_recipe, recipe=recipe))
        base = base or tests
        found[name] = measure(tests, base)
        if len(found) == 1:
            heads = " | ".join(found[name])
            click.echo(f"| variant | {heads} | seconds |\n|{'---|' * (len(found[name]) + 2)}")
        click.echo(show(name, found[name], time.monotonic() - start))
    if left_out:
        click.echo(f"left out, the budget was spent: {', '.join(left_out)}")
    if json_file:
        json_file.write_text(json.dumps(found, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
