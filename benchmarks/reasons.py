"""How far the reasons agree with Shapley values, and what both cost.

    python benchmarks/reasons.py [--file transactions.csv] [--alerts 100] [--permutations 200]

The Shapley values are sampled by permutations (Castro, Gomez and Tejada 2009): features go from the
baseline row's value to the alert's in a random order, and each is given what the logit gains when
its turn comes. Top-1 agrees if both name the same feature first; top-3 is the share of the three
Shapley features that are among our three. Intervals are 90 % bootstrap over the alerts.
"""

import json
import time
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from producer.generate import generate
from stream_scorer import decision, reasons
from stream_scorer.config import SHIPPED_MODEL
from stream_scorer.model import Model
from stream_scorer.records import Matrix, Vector
from stream_scorer.tables import Malformed, open_table

THRESHOLD = 0.8
SEED = 1
DRAWS = 1000


def shapley(model: Model, row: Matrix, permutations: int, rng: np.random.Generator) -> Vector:
    """Return sampled Shapley values of the logit, float32 (features,), of a raw row (features,)."""
    width = len(row)
    orders = np.argsort(rng.random((permutations, width)), axis=1)
    turn = np.argsort(orders, axis=1)  # at which step each feature goes
    steps = np.arange(width + 1)
    on = turn[:, np.newaxis, :] < steps[np.newaxis, :, np.newaxis]
    copies = np.where(on, row, model.baseline).reshape(-1, width)
    logit = model.score(copies)[0].reshape(permutations, width + 1)
    gains = np.diff(logit, axis=1)
    values: Vector = np.take_along_axis(gains, turn, axis=1).mean(axis=0)
    return values


def first_three(values: Vector) -> list[int]:
    """Return the three features with the largest values, the largest first."""
    found: list[int] = np.argsort(-values, kind="stable")[: reasons.REASONS].tolist()
    return found


def interval(values: NDArray[np.float64], rng: np.random.Generator) -> list[float]:
    """Return the 5 % and 95 % quantiles of the mean of resampled values (n,)."""
    draws = rng.integers(0, len(values), (DRAWS, len(values)))
    bounds: list[float] = np.quantile(values[draws].mean(axis=1), [0.05, 0.95]).tolist()
    return bounds


def alerting(model: Model, file: Path | None, count: int) -> Matrix:
    """Return up to `count` rows that alert, raw (alerts, features): of a file, or synthetic."""
    if file is None:
        parts = [part[:, :-1] for part in generate(20 * count, seed=SEED, fraud_rate=0.5)]
        rows = np.concatenate(parts)
    else:
        with open_table(str(file)) as table:
            names = model.feature_names
            cells = [dict(row.cells) for row in table if not isinstance(row, Malformed)]
        rows = np.array([[float(row[name] or 0) for name in names] for row in cells])
    _, probability = model.score(rows)
    return rows[decision.alerts(probability, THRESHOLD)][:count]


@click.command()
@click.option("--file", type=click.Path(path_type=Path, exists=True), help="Instead of synthetic.")
@click.option("--model", type=click.Path(path_type=Path), default=SHIPPED_MODEL)
@click.option("--alerts", type=click.IntRange(1), default=100)
@click.option("--permutations", type=click.IntRange(1), default=200)
@click.option("--json", "as_json", is_flag=True)
def main(file: Path | None, *, model: Path, alerts: int, permutations: int, as_json: bool) -> None:
    """Compare the reasons of alerts with Shapley values."""
    bundle, rng = Model.load(model), np.random.default_rng(SEED)
    rows = alerting(bundle, file, alerts)
    logit, _ = bundle.score(rows)
    reasons.explain(bundle, rows, logit)  # the first call of a shape allocates
    start = time.process_time()
    for i in range(len(rows)):
        reasons.explain(bundle, rows[i : i + 1], logit[i : i + 1])
    one_by_one = time.process_time() - start
    start = time.process_time()
    reasons.explain(bundle, rows, logit)
    together = time.process_time() - start
    effects = reasons.occlude(bundle, rows, logit)
    start = time.process_time()
    values = [shapley(bundle, row, permutations, rng) for row in rows]
    by_shapley = time.process_time() - start
    ours, theirs = [*map(first_three, effects)], [*map(first_three, values)]
    top1 = np.array([a[0] == b[0] for a, b in zip(ours, theirs, strict=True)], dtype=np.float64)
    top3 = np.array([len(set(a) & set(b)) / len(b) for a, b in zip(ours, theirs, strict=True)])
    found = {
        "alerts": len(rows),
        "permutations": permutations,
        "top1": top1.mean(),
        "top1_interval": interval(top1, rng),
        "top3": top3.mean(),
        "top3_interval": interval(top3, rng),
        "us_an_alert_alone": one_by_one / len(rows) * 1e6,
        "us_an_alert_together": together / len(rows) * 1e6,
        "shapley_us_an_alert": by_shapley / len(rows) * 1e6,
        "shapley_costs_times": by_shapley / one_by_one,
    }
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for name in ("top1", "top3"):
        low, high = found[f"{name}_interval"]
        click.echo(f"{name} agreement  {found[name]:.2f} [{low:.2f}, {high:.2f}]")
    click.echo(f"of {len(rows)} alerts, {permutations} permutations")
    click.echo(f"us an alert: {found['us_an_alert_alone']:.0f} alone, ", nl=False)
    click.echo(f"{found['us_an_alert_together']:.0f} in a batch of {len(rows)}; ", nl=False)
    click.echo(f"Shapley costs {found['shapley_costs_times']:.0f} times as much")


if __name__ == "__main__":
    main()
