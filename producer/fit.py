"""Fit the figures of the synthetic transactions to the ULB credit-card data.

`python -m producer.fit creditcard.csv > producer/synthetic.json`; needs the extra `train`.

One Gaussian copula a class would draw genuine rows that are too easy: the few that look like
frauds, and decide a model's precision, drown in the bulk. So the genuine rows are cut by how
suspicious two simple models find them when they have not seen them, and each part gets its own
copulas.
"""

import sys
from pathlib import Path
from statistics import NormalDist

import click
import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler

from producer.figures import FEATURES, Component, Figures
from producer.generate import CENTS_FROM
from stream_scorer.errors import BadInput

Floats = npt.NDArray[np.float64]

SOURCE = (
    "Figures fitted to the credit-card data of the Machine Learning Group of the Universite Libre "
    "de Bruxelles with Worldline (Kaggle mlg-ulb/creditcardfraud, ODbL 1.0; Dal Pozzolo, Caelen, "
    "Johnson and Bontempi, CIDM 2015). No row of it is in here."
)
ROWS, FRAUDS = 284_807, 492  # of the full data, as published
HOURS, DAY = 48, 24
LAST_FULL_S = 172_700  # the full data ends 8 s before the second midnight
# A sample of the data is complete up to this Time (seconds); after it each genuine row stands for
# 4.9 rows. The full data has weight 1 everywhere.
SAMPLE_COMPLETE_UNTIL_S, SAMPLE_WEIGHT = 19_899, 4.9
# Parts of the genuine rows, the most suspicious first, by weight: 0.05 %, then up to 0.4 %.
SUSPICIOUS_SHARES = (0.0005, 0.004)
BULK_COMPONENTS, FRAUD_COMPONENTS = 8, 2
# Fewer rows than this (10 a feature) do not bear 406 correlations: they are drawn towards zero.
ENOUGH_ROWS, SHRINKAGE = 290, 0.2
# At least four rows a knot, so that no table lists the rows it came from; at most 79 knots.
ROWS_PER_KNOT, MOST_KNOTS, FEWEST_KNOTS = 4, 79, 9
LARGEST_REACH = 3.9  # standard deviations: one row in 20,000 lies beyond


def fit(table: pd.DataFrame) -> Figures:
    """Return the figures of a table with the columns of the ULB data."""
    x = table[list(FEATURES)].to_numpy(np.float64)
    fraud = table["Class"].to_numpy() == 1
    time = table["Time"].to_numpy(np.float64)
    weight = weights(time, fraud)
    suspicion = out_of_fold_logits(x, fraud, weight)[~fraud]
    genuine, its_weight = x[~fraud], weight[~fraud]
    part = parts(suspicion, its_weight)
    components: list[Component] = []
    for number in range(len(SUSPICIOUS_SHARES) + 1):
        rows = part == number
        share = its_weight[rows].sum() / its_weight.sum()
        count = BULK_COMPONENTS if number == len(SUSPICIOUS_SHARES) else 1
        components += mixture(genuine[rows], its_weight[rows], count=count, share=share)
    return Figures(
        source=SOURCE,
        fraud_rate=FRAUDS / ROWS,
        hourly=hourly(time, weight),
        cents=cents(genuine[:, -1], its_weight),
        genuine=components,
        fraud=mixture(x[fraud], weight[fraud], count=FRAUD_COMPONENTS, share=1.0),
    )


def weights(time: Floats, fraud: npt.NDArray[np.bool_]) -> Floats:
    """Return how many rows of the full data each row stands for, float64 (n,)."""
    sampled = ~fraud & (time > SAMPLE_COMPLETE_UNTIL_S) & (len(time) < ROWS)
    return np.where(sampled, SAMPLE_WEIGHT, 1.0)


def out_of_fold_logits(x: Floats, fraud: npt.NDArray[np.bool_], weight: Floats) -> Floats:
    """Return the mean logit of two models that did not see the row, float64 (n,)."""
    scaled = StandardScaler().fit_transform(x)
    logits = np.zeros(len(x))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    for seen, unseen in folds.split(scaled, fraud):
        for model in (
            LogisticRegression(C=0.01, max_iter=2000),
            HistGradientBoostingClassifier(
                max_iter=150,
                learning_rate=0.05,
                max_leaf_nodes=8,
                l2_regularization=5,
                random_state=0,
            ),
        ):
            model.fit(scaled[seen], fraud[seen], sample_weight=weight[seen])
            logits[unseen] += model.decision_function(scaled[unseen]) / 2
    return logits


def parts(suspicion: Floats, weight: Floats) -> npt.NDArray[np.int64]:
    """Return the part of each row: 0 is the most suspicious, the last is the bulk."""
    order = np.argsort(-suspicion, kind="stable")
    part = np.empty(len(order), np.int64)
    part[order] = np.searchsorted(SUSPICIOUS_SHARES, weight[order].cumsum() / weight.sum())
    return part


def mixture(x: Floats, weight: Floats, *, count: int, share: float) -> list[Component]:
    """Return `count` copulas, one for each k-means cluster of the rows."""
    cluster = np.zeros(len(x), np.int64)
    if count > 1:
        mean = np.average(x, axis=0, weights=weight)
        deviation = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weight))
        near = np.clip((x - mean) / deviation, -6, 6)  # or one outlier would be a cluster
        kmeans = KMeans(count, n_init=4, random_state=0)
        cluster = kmeans.fit_predict(near, sample_weight=weight)
    return [
        component(
            x[cluster == number],
            weight[cluster == number],
            share=share * weight[cluster == number].sum() / weight.sum(),
        )
        for number in range(count)
    ]


def component(x: Floats, weight: Floats, *, share: float) -> Component:
    """Return the copula and the marginals of some rows."""
    normal = NormalDist()
    count = int(np.clip(len(x) // ROWS_PER_KNOT, FEWEST_KNOTS, MOST_KNOTS))
    reach = round(min(LARGEST_REACH, normal.inv_cdf(1 - 1 / len(x))), 4)
    ranks = np.array([normal.cdf(knot) for knot in np.linspace(-reach, reach, count)])
    scores, values = np.empty_like(x), np.empty((x.shape[1], count))
    for feature in range(x.shape[1]):
        order = np.argsort(x[:, feature], kind="stable")
        rank = (weight[order].cumsum() - weight[order] / 2) / weight.sum()
        scores[order, feature] = [normal.inv_cdf(each) for each in rank]
        values[feature] = np.interp(ranks, rank, x[order, feature])
    covariance = np.cov(scores, rowvar=False, aweights=weight)
    deviation = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(deviation, deviation)
    if len(x) < ENOUGH_ROWS:
        correlation = (1 - SHRINKAGE) * correlation + SHRINKAGE * np.eye(len(correlation))
    factor = np.linalg.cholesky(correlation)
    return Component(
        share=float(share),
        reach=reach,
        values=[[float(f"{value:.5g}") for value in row] for row in values],
        mixing=[[round(float(each), 4) for each in row[: i + 1]] for i, row in enumerate(factor)],
    )


def hourly(time: Floats, weight: Floats) -> list[float]:
    """Return the rows in each of the 48 hours; hours after the last full one repeat day one."""
    seen = np.bincount((time // 3600).astype(int), weights=weight, minlength=HOURS)[:HOURS]
    latest = float(time.max())
    full = min(HOURS, int(latest // 3600) + (latest > LAST_FULL_S))
    if full < DAY:
        raise BadInput(f"the data spans {full} hours; want a day at least")
    day_after = max(full - DAY, 1)
    ratio = seen[DAY:full].sum() / seen[:day_after].sum() if full > DAY else 1.0
    seen[full:] = seen[full - DAY : HOURS - DAY] * ratio
    return [round(float(each), 1) for each in seen * (ROWS / seen.sum())]


def cents(amount: Floats, weight: Floats) -> list[float]:
    """Return the share of each ending .00 to .99 among amounts of 10 or more."""
    large = amount >= CENTS_FROM
    ending = np.round(amount[large] * 100).astype(int) % 100
    share = np.bincount(ending, weights=weight[large], minlength=100) / weight[large].sum()
    return [round(float(each), 5) for each in share]


@click.command()
@click.argument("data", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(data: Path) -> None:
    """Fit to DATA, a CSV or Parquet file of the ULB data; write the figures to standard output.

    Example: python -m producer.fit creditcard.csv > producer/synthetic.json
    """
    table = pd.read_parquet(data) if data.suffix == ".parquet" else pd.read_csv(data)
    sys.stdout.buffer.write(msgspec.json.encode(fit(table)) + b"\n")


if __name__ == "__main__":
    main()
