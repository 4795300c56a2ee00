"""The arithmetic of what-if, beside the same thing done slowly, row by row."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.what_if.figures import (
    MOST_CANDIDATES,
    ROUNDS,
    Best,
    Costs,
    Figures,
    Scored,
    best,
    candidates,
    figures_at,
)
from stream_scorer.what_if.sides import labels_of, latest_of_each

Row = tuple[float, int, float]  # probability, label, amount


def scored(rows: list[Row], *, weight: float = 1.0, days: float | None = 2.0) -> Scored:
    probability, label, amount = zip(*rows, strict=True)
    return Scored.of(
        np.array(probability, dtype=np.float32),
        np.array(label, dtype=np.int8),
        np.array(amount, dtype=np.float64),
        genuine_weight=weight,
        days=days,
    )


def slowly(
    threshold: float, rows: list[Row], costs: Costs, weight: float, days: float | None
) -> Figures:
    """Return the figures by looking at each row."""
    caught, false, unlabelled, money_caught, money_missed, missed = 0, 0.0, 0, 0.0, 0.0, 0
    for probability, label, amount in rows:
        alert = np.float32(probability) >= np.float32(threshold)
        if label == 1 and alert:
            caught, money_caught = caught + 1, money_caught + amount
        elif label == 1:
            missed, money_missed = missed + 1, money_missed + amount
        elif alert and label == 0:
            false += weight
        elif alert:
            unlabelled += 1
    alerts = caught + false + unlabelled
    cost = None
    if costs.false_alert is not None:
        lost = money_missed if costs.missed_fraud is None else missed * costs.missed_fraud
        cost = lost + costs.false_alert * false
    a_day = None if days is None else alerts / days
    limit = costs.alerts_a_day
    return Figures(
        threshold=None if math.isinf(threshold) else threshold,
        alerts=alerts,
        alerts_a_day=a_day,
        frauds_caught=caught,
        false_alerts=false,
        precision=caught / (caught + false) if caught + false else None,
        recall=caught / (caught + missed),
        money_caught=money_caught,
        money_missed=money_missed,
        cost=cost,
        within_capacity=limit is None or a_day is None or a_day <= limit,
    )


# Few distinct values, so that rows tie with each other and with thresholds.
probabilities = st.sampled_from([0.0, 0.1, 0.5, 0.8, 0.80000001192, 0.9, 1.0]) | st.floats(
    0, 1, width=32
)
amounts = st.integers(0, 1000).map(float)  # whole: sums are exact in any order
fraud = st.tuples(probabilities, st.just(1), amounts)
any_row = st.tuples(probabilities, st.sampled_from([-1, 0, 1]), amounts)
many_rows = st.tuples(fraud, st.lists(any_row, max_size=30)).map(lambda pair: [pair[0], *pair[1]])
some_costs = st.builds(
    Costs,
    st.none() | st.sampled_from([0.0, 1.0, 8.0]),
    st.none() | st.sampled_from([0.0, 16.0]),
    st.none() | st.sampled_from([0.5, 1.0, 3.0]),
)
weights, spans = st.sampled_from([1.0, 4.0]), st.sampled_from([0.25, 2.0, None])


@given(many_rows, st.lists(probabilities, min_size=1, max_size=5), some_costs, weights, spans)
def test_figures_are_those_found_row_by_row(
    rows: list[Row], thresholds: list[float], costs: Costs, weight: float, days: float | None
) -> None:
    thresholds = [float(np.float32(each)) for each in thresholds]
    found = figures_at(thresholds, scored(rows, weight=weight, days=days), costs)
    for threshold, figures in zip(thresholds, found, strict=True):
        expected = slowly(threshold, rows, costs, weight, days)
        assert figures.threshold is not None
        assert np.float32(figures.threshold) == np.float32(threshold)
        assert replace(figures, threshold=expected.threshold) == expected


@given(many_rows, some_costs, weights, spans)
def test_no_threshold_at_all_is_better_than_the_best(
    rows: list[Row], costs: Costs, weight: float, days: float | None
) -> None:
    found = best(scored(rows, weight=weight, days=days), costs, seed=0, rounds=1).figures
    everything = [*{float(np.float32(p)) for p, _, _ in rows}, 0.0, 1.0, math.inf]
    possible = [slowly(each, rows, costs, weight, days) for each in everything]
    assert found.within_capacity

    def worth(figures: Figures) -> tuple[float, float]:
        cost = -figures.frauds_caught if figures.cost is None else figures.cost
        return cost, figures.alerts  # of equals the one with the fewest alerts

    assert worth(found) == min(worth(each) for each in possible if each.within_capacity)
    at = math.inf if found.threshold is None else float(np.float32(found.threshold))
    assert worth(slowly(at, rows, costs, weight, days)) == worth(found)


@pytest.mark.parametrize(("label", "alerts"), [(1, 1), (0, 3), (-1, 1)])
def test_threshold_is_rounded_to_float32_as_in_the_stream(label: int, alerts: int) -> None:
    rows = [(0.8, label, 5.0), (0.1, 1, 1.0)]  # 0.8 as float32 is a little more than 0.8
    (at,) = figures_at([0.8], scored(rows, weight=3.0), Costs())
    assert at.alerts == alerts


def test_what_has_no_label_is_in_the_alerts_and_in_nothing_else() -> None:
    rows: list[Row] = [(0.9, 1, 10.0), (0.9, 0, 5.0), (0.1, 1, 7.0)]
    costs = Costs(2.0, None, None)
    (without,) = figures_at([0.5], scored(rows), costs)
    (with_it,) = figures_at([0.5], scored([*rows, (0.9, -1, 99.0)] * 1), costs)
    assert with_it.alerts == without.alerts + 1
    assert replace(with_it, alerts=without.alerts, alerts_a_day=without.alerts_a_day) == without


def test_amount_that_is_not_known_leaves_money_out() -> None:
    (at,) = figures_at([0.5], scored([(0.9, 1, math.nan), (0.2, 0, 1.0)]), Costs())
    assert (at.money_caught, at.money_missed, at.recall) == (None, None, 1.0)


def test_alerting_on_nothing_is_best_where_no_alert_pays() -> None:
    found = best(scored([(0.4, 1, 1.0), (0.9, 0, 0.0)]), Costs(100.0, 1.0), seed=0)
    assert (found.figures.threshold, found.figures.alerts, found.figures.cost) == (None, 0, 1.0)
    assert found.figures.precision is None


def draws(rows: list[Row], seed: int, rounds: int) -> list[list[Row]]:
    """Resample rows in the plainest way: each kind among itself."""
    rng = np.random.default_rng(seed)
    kinds = [[row for row in rows if row[1] == kind] for kind in (1, 0, -1)]
    return [
        [kind[i] for kind in kinds for i in rng.integers(len(kind), size=len(kind)).tolist()]
        for _ in range(rounds)
    ]


def mixed_rows(seed: int, *, frauds: int, genuine: int, unlabelled: int) -> list[Row]:
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for label, count, shift in ((1, frauds, 1.5), (0, genuine, -1.5), (-1, unlabelled, -1.5)):
        rows += [
            (1 / (1 + math.exp(-logit)), label, float(rng.integers(1, 100)))
            for logit in rng.normal(shift, 1.5, count).tolist()
        ]
    return rows


@pytest.mark.parametrize("costs", [Costs(10.0), Costs(10.0, 60.0, 22.0), Costs(None, None, 18.0)])
def test_intervals_are_those_of_a_bootstrap_done_row_by_row(costs: Costs) -> None:
    rows = mixed_rows(3, frauds=40, genuine=120, unlabelled=15)
    found = best(scored(rows), costs, seed=1)
    plain: list[float] = []
    cost: list[float] = []
    for drawn in draws(rows, seed=2, rounds=ROUNDS):
        again = best(scored(drawn), costs, seed=0, rounds=1)
        plain.append(again.figures.threshold or math.inf)
        (at,) = figures_at([found.figures.threshold or math.inf], scored(drawn), costs)
        cost.append(at.cost or 0.0)
    for ours, theirs in zip(
        found.threshold_interval, np.quantile(plain, [0.05, 0.95]), strict=True
    ):
        # Of both intervals the ends move from seed to seed: by ranks of what was found.
        assert abs(np.mean(np.array(plain) <= (ours or math.inf)) - np.mean(plain <= theirs)) < 0.05
    if costs.false_alert is None:
        assert found.cost_interval is None
        return
    assert found.cost_interval is not None
    width = found.cost_interval[1] - found.cost_interval[0]
    for ours, theirs in zip(found.cost_interval, np.quantile(cost, [0.05, 0.95]), strict=True):
        assert abs(ours - theirs) < 0.1 * width


def test_a_seed_gives_the_same_interval_again_and_holds_the_best_itself() -> None:
    rows = mixed_rows(4, frauds=60, genuine=200, unlabelled=0)

    def run(seed: int) -> Best:
        return best(scored(rows), Costs(5.0), seed=seed)

    assert run(1) == run(1)
    assert run(1) != run(2)
    low, high = run(1).threshold_interval
    assert low is not None
    assert high is not None
    assert low <= (run(1).figures.threshold or math.inf) <= high


def test_more_frauds_make_a_narrower_interval() -> None:
    widths = []
    for times in (1, 25):
        rows = mixed_rows(5, frauds=40 * times, genuine=100 * times, unlabelled=0)
        interval = best(scored(rows), Costs(40.0), seed=0).cost_interval
        assert interval is not None
        widths.append((interval[1] - interval[0]) / times)
    assert widths[1] < widths[0] / 3


def test_of_very_many_frauds_quantiles_are_looked_at() -> None:
    frauds = np.sort(np.random.default_rng(0).random(50_000, dtype=np.float32))
    found = candidates(frauds)
    assert len(found) == MOST_CANDIDATES + 1
    assert (found[0], found[-2], found[-1]) == (frauds[0], frauds[-1], np.inf)
    assert (np.diff(found) > 0).all()


keys = st.integers(0, 3)


@given(st.lists(st.tuples(keys, keys, keys, keys), max_size=40))
def test_latest_of_each_id_is_the_last_by_time_partition_and_offset(
    rows: list[tuple[int, int, int, int]],
) -> None:
    columns = np.array(rows, dtype=np.int64).reshape(-1, 4).T
    found = latest_of_each(columns[0].astype(np.uint64), *columns[1:])
    expected: dict[int, tuple[int, int, int]] = {}
    for identity, *key in rows:
        expected[identity] = max(expected.get(identity, (-1, -1, -1)), (key[0], key[1], key[2]))
    assert [rows[i] for i in found.tolist()] == [(i, *expected[i]) for i in sorted(expected)]


@given(st.lists(keys, max_size=9), st.dictionaries(keys, st.integers(0, 1)))
def test_label_is_found_by_id_and_what_has_none_is_unknown(
    ids: list[int], labels: dict[int, int]
) -> None:
    labelled = sorted(labels)
    found = labels_of(
        np.array(ids, dtype=np.uint64),
        np.array(labelled, dtype=np.uint64),
        np.array([labels[each] for each in labelled], dtype=np.int8),
    )
    assert found.tolist() == [labels.get(each, -1) for each in ids]
