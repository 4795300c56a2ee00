"""Thresholds -> alerts a day, precision, recall, money, cost, and the cheapest of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from stream_scorer.records import Vector

Floats = NDArray[np.float64]
T = TypeVar("T", np.intp, np.float64)

CONFIDENCE = 0.9
# Resamplings: more move the interval's ends by less than the interval is wide.
ROUNDS = 1000
# Frauds' probabilities among which the cheapest threshold is looked for; of more: quantiles.
MOST_CANDIDATES = 2000


@dataclass(frozen=True, slots=True)
class Scored:
    """One model's scores of transactions, by what is known of them.

    All arrays are in rising order of probability. `genuine` and `unlabelled`, float32 (m,) and
    (u,), are probabilities; `frauds` float32 (f,) too, and `amounts` float64 (f,) is the money of
    each, NaN where it is not known.
    """

    frauds: Vector
    amounts: Floats
    genuine: Vector
    unlabelled: Vector
    genuine_weight: float = 1.0  # how many transactions a genuine one stands for
    days: float | None = None  # that the transactions span; None: not known

    @classmethod
    def of(
        cls,
        probability: Vector,
        label: NDArray[np.int8],
        amount: Floats,
        *,
        genuine_weight: float = 1.0,
        days: float | None = None,
    ) -> "Scored":
        """Sort transactions: float32, int8 and float64, (n,) each; label 1, 0 or -1 (unknown)."""
        fraud = label == 1
        order = np.argsort(probability[fraud], kind="stable")
        return cls(
            frauds=probability[fraud][order],
            amounts=amount[fraud][order],
            genuine=np.sort(probability[label == 0]),
            unlabelled=np.sort(probability[label == -1]),
            genuine_weight=genuine_weight,
            days=days,
        )

    @property
    def has_money(self) -> bool:
        """Whether every fraud's amount is known."""
        return not bool(np.isnan(self.amounts).any())


@dataclass(frozen=True, slots=True)
class Costs:
    """What mistakes cost, and how many alerts a day can be looked at."""

    false_alert: float | None = None  # None: costs are not asked for
    missed_fraud: float | None = None  # None: each its own amount
    alerts_a_day: float | None = None  # on average; None: no limit


@dataclass(frozen=True, slots=True)
class Figures:
    """What one threshold would have done; None where there is nothing to divide, or no such figure.

    Genuine ones count with their weight; what has no label counts in `alerts` and `alerts_a_day`
    only.
    """

    threshold: float | None  # None: alert on nothing
    alerts: float
    alerts_a_day: float | None
    frauds_caught: int
    false_alerts: float
    precision: float | None
    recall: float | None
    money_caught: float | None
    money_missed: float | None
    cost: float | None
    within_capacity: bool


@dataclass(frozen=True, slots=True)
class Best:
    """The threshold that costs least, with percentile bootstrap intervals (low, high)."""

    figures: Figures
    threshold_interval: tuple[float | None, float | None]  # None: alert on nothing
    cost_interval: tuple[float, float] | None  # of this threshold; None: costs are not asked for
    confidence: float = CONFIDENCE
    rounds: int = ROUNDS


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over what alerts at each of t thresholds; float64 (t,) each."""

    caught: Floats  # frauds
    money_missed: Floats
    false_alerts: Floats  # weighted
    unlabelled: Floats

    @property
    def alerts(self) -> Floats:
        """All that alerts, float64 (t,)."""
        return self.caught + self.false_alerts + self.unlabelled


def figures_at(thresholds: Sequence[float], scored: Scored, costs: Costs) -> list[Figures]:
    """Return the figures at each threshold: what alerts has a probability of at least float32(t).

    Precision is caught / (caught + weighted false alerts), recall caught / frauds. The cost is
    `false_alert` for each (weighted) false alert, and `missed_fraud`, or its amount, for each fraud
    that does not alert.
    """
    at = np.array(thresholds, dtype=np.float32)
    sums = sums_at(at, scored)
    return [figures(i, at, sums, scored, costs) for i in range(len(at))]


def best(scored: Scored, costs: Costs, *, seed: int, rounds: int = ROUNDS) -> Best:
    """Return the threshold that costs least among those within the capacity.

    Without costs: the one that misses the fewest frauds within the capacity. Of equals the highest.
    Looked at are the frauds' own probabilities and "alert on nothing": between two of them a higher
    threshold only spares false alerts. Beyond 2,000 of them, as many quantiles.

    Intervals: percentile bootstrap. `rounds` times all transactions are drawn again with
    replacement, frauds, genuine and unlabelled ones each among themselves, so that their numbers
    stay, and the best threshold is looked for again; between the 5th and the 95th percentile of
    what is found lies the interval, as for the cost of the threshold given here. Genuine ones are
    drawn by how many of them lie between two candidates, which is the same draw (a multinomial) and
    as fast for a million. (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter
    13.)
    """
    at = candidates(scored.frauds)
    sums = sums_at(at, scored)
    chosen = cheapest(sums, scored, costs)
    found = np.empty(rounds, dtype=np.intp)
    cost = np.empty(rounds)
    for i, again in enumerate(resampled(at, scored, np.random.default_rng(seed), rounds)):
        found[i] = cheapest(again, scored, costs)
        cost[i] = objective(again, scored, costs)[chosen]
    low, high = interval(found)
    return Best(
        figures=figures(chosen, at, sums, scored, costs),
        threshold_interval=(as_threshold(at[low]), as_threshold(at[high])),
        cost_interval=None if costs.false_alert is None else interval(cost),
        rounds=rounds,
    )


def candidates(frauds: Vector) -> Vector:
    """Return the thresholds worth a look, rising float32 (t,); the last, infinity, is nothing."""
    distinct = np.unique(frauds)
    if len(distinct) > MOST_CANDIDATES:
        distinct = distinct[np.linspace(0, len(distinct) - 1, MOST_CANDIDATES).astype(np.intp)]
    return np.append(distinct, np.float32(np.inf))


def sums_at(at: Vector, scored: Scored) -> Sums:
    """Return the sums at each of float32 (t,) thresholds."""
    missed = np.searchsorted(scored.frauds, at)
    return Sums(
        caught=(len(scored.frauds) - missed).astype(np.float64),
        money_missed=np.append(0.0, np.cumsum(scored.amounts))[missed],
        false_alerts=scored.genuine_weight * alerting(scored.genuine, at),
        unlabelled=alerting(scored.unlabelled, at),
    )


def alerting(probability: Vector, at: Vector) -> Floats:
    """Return how many of rising float32 (n,) are at least each of float32 (t,): float64 (t,)."""
    return (len(probability) - np.searchsorted(probability, at)).astype(np.float64)


def resampled(at: Vector, scored: Scored, rng: np.random.Generator, rounds: int) -> Iterator[Sums]:
    """Yield the sums at rising thresholds (t,) for `rounds` draws with replacement by kind."""

    def bins(probability: Vector) -> NDArray[np.intp]:
        """Return how many thresholds each reaches, 0 to t."""
        return np.searchsorted(at, probability, side="right")

    def redrawn(counts: Floats) -> Floats:
        """Return (t,): how many reach each threshold after a draw from the counts by bin."""
        total = int(counts.sum())
        return reaching(rng.multinomial(total, counts / total)) if total else counts[1:]

    def reaching(by_bin: NDArray[Any]) -> Floats:
        return np.cumsum(by_bin[::-1], dtype=np.float64)[-2::-1]

    size = len(at) + 1
    frauds = bins(scored.frauds)
    genuine, unlabelled = (
        np.bincount(bins(each), minlength=size).astype(np.float64)
        for each in (scored.genuine, scored.unlabelled)
    )
    for _ in range(rounds):
        drawn = rng.integers(len(frauds), size=len(frauds))
        of, money = frauds[drawn], scored.amounts[drawn]
        yield Sums(
            caught=reaching(np.bincount(of, minlength=size)),
            money_missed=np.cumsum(np.bincount(of, money, minlength=size), dtype=np.float64)[:-1],
            false_alerts=scored.genuine_weight * redrawn(genuine),
            unlabelled=redrawn(unlabelled),
        )


def objective(sums: Sums, scored: Scored, costs: Costs) -> Floats:
    """Return the cost at each threshold (t,); the frauds missed if costs are not asked for."""
    missed = len(scored.frauds) - sums.caught
    if costs.false_alert is None:
        return missed
    lost = sums.money_missed if costs.missed_fraud is None else costs.missed_fraud * missed
    return lost + costs.false_alert * sums.false_alerts


def within_capacity(sums: Sums, scored: Scored, costs: Costs) -> NDArray[np.bool_]:
    """Tell at which thresholds (t,) the alerts a day, on average, are no more than wanted."""
    if costs.alerts_a_day is None or scored.days is None:
        return np.ones(len(sums.caught), dtype=np.bool_)
    return sums.alerts / scored.days <= costs.alerts_a_day


def cheapest(sums: Sums, scored: Scored, costs: Costs) -> int:
    """Return the place of the best among rising thresholds, of equals the last."""
    fits = within_capacity(sums, scored, costs)
    cost = np.where(fits, objective(sums, scored, costs), np.inf)
    return len(cost) - 1 - int(np.argmin(cost[::-1]))


def interval(found: NDArray[T]) -> tuple[T, T]:
    """Return the values that leave out as much as CONFIDENCE allows, half on each side."""
    ordered, tail = np.sort(found), (1 - CONFIDENCE) / 2 * len(found)
    return ordered[int(tail)].item(), ordered[len(found) - 1 - int(tail)].item()


def figures(i: int, at: Vector, sums: Sums, scored: Scored, costs: Costs) -> Figures:
    """Return the figures at the i-th threshold."""
    caught, false, alerts = (each.item(i) for each in (sums.caught, sums.false_alerts, sums.alerts))
    money_caught, money_missed = None, None
    if (
        scored.has_money
    ):  # the one is not what the other leaves: floats would leave 1e-12 of nothing
        money_caught = scored.amounts[len(scored.frauds) - int(caught) :].sum().item()
        money_missed = sums.money_missed.item(i)
    cost = None if costs.false_alert is None else objective(sums, scored, costs).item(i)
    return Figures(
        threshold=as_threshold(at[i]),
        alerts=alerts,
        alerts_a_day=alerts / scored.days if scored.days else None,
        frauds_caught=int(caught),
        false_alerts=false,
        precision=caught / (caught + false) if caught + false else None,
        recall=caught / len(scored.frauds),
        money_caught=money_caught,
        money_missed=money_missed,
        cost=cost,
        within_capacity=bool(within_capacity(sums, scored, costs)[i]),
    )


def as_threshold(value: np.float32) -> float | None:
    """Return the shortest decimal that rounds to this float32; None for "alert on nothing"."""
    return float(str(value)) if np.isfinite(value) else None
