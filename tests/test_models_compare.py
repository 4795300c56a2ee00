"""Rules of comparing kinds of model: what sees which rows, and what the figures mean."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from models import weighing
from models.balanced import half_of
from models.candidates import FAMILIES
from models.costs import Costs, at_threshold, cheapest_threshold
from models.fits import Budget
from models.folds import Parts, parts
from models.imbalance import OVERSAMPLED_RATIO, STRATEGIES, UNDERSAMPLED_RATIO
from models.look import look
from models.measures import NAMES, draws, probabilities, rank, with_intervals
from models.reading import TrainingFile
from models.recipe import RECIPE, Recipe
from models.results import Resampled, choose
from models.scaling import fit_amount_and_time
from models.transactions import AMOUNT, FEATURES, TIME, Flags, Floats, Transactions
from models.tuning import Setup, finish, fit_one, tune
from stream_scorer.errors import BadInput, ScorerError

pytestmark = pytest.mark.train

TINY = Budget("tiny", 1, 10, svc_genuine_rows=100, trees=5, epochs=2, recipe=Recipe())


def made_up(count: int = 600, *, seed: int = 0) -> Transactions:
    """Return rows, a tenth of them frauds, which lie 2 away in V4 and V14."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, len(FEATURES)))
    frauds = rng.random(count) < 0.1
    features[frauds, FEATURES.index("V14")] -= 2.0
    features[frauds, FEATURES.index("V4")] += 2.0
    features[:, TIME] = np.sort(rng.integers(0, 100_000, count))
    features[:, AMOUNT] = np.exp(features[:, AMOUNT]).round(2)
    return Transactions(features, frauds, np.where(frauds, 1.0, 3.0))


def setup(cut: Parts) -> Setup:
    """Return what fits share, as a comparison makes it."""
    return Setup(cut, fit_amount_and_time(cut.train), TINY, seed=7, next_step=lambda _text: None)


def rows_of(frauds: list[int], weights: list[float], *, hours: float = 24) -> Transactions:
    """Return rows of one Amount, 10, spread over the hours."""
    features: Floats = np.zeros((len(frauds), len(FEATURES)))
    features[:, TIME] = np.linspace(0, hours * 3600, len(frauds))
    features[:, AMOUNT] = 10
    return Transactions(features, np.array(frauds, dtype=bool), np.array(weights))


# What sees which rows.


def test_parts_follow_each_other_in_time_and_hold_every_row_once() -> None:
    rows = made_up()
    cut = parts(rows)
    assert cut.train.times.max() < cut.validation.times.min()
    assert cut.validation.times.max() < cut.test.times.min()
    assert sum(map(len, cut.named().values())) == len(rows)
    assert np.array_equal(cut.before_test.times, rows.times[: len(cut.before_test)])


def test_a_part_with_too_few_frauds_is_named_with_what_is_wanted() -> None:
    rows = made_up()
    late = rows.times > 0.8 * rows.times[-1]
    with pytest.raises(BadInput, match=r"0 of the \d+ test rows are frauds; want at least 10"):
        parts(replace(rows, frauds=rows.frauds & ~late))


def test_rows_of_one_second_are_refused() -> None:
    rows = made_up()
    rows.features[:, TIME] = 5.0
    with pytest.raises(BadInput, match="0 of the 0 train rows are frauds"):
        parts(rows)


def test_amount_and_time_are_scaled_by_the_train_rows_alone() -> None:
    train = parts(made_up()).train
    scaled = fit_amount_and_time(train)(train.features)
    assert (scaled[:, TIME].min(), scaled[:, TIME].max()) == (0, 1)
    quarter, middle, three = np.quantile(
        np.repeat(scaled[:, AMOUNT], train.weights.astype(int)), [0.25, 0.5, 0.75]
    )
    assert middle == pytest.approx(0, abs=0.01)
    assert three - quarter == pytest.approx(1, abs=0.02)
    assert np.array_equal(scaled[:, 1:AMOUNT], train.features[:, 1:AMOUNT].astype(np.float32))


def test_an_amount_that_never_varies_is_left_out_instead_of_divided_by_zero() -> None:
    rows = made_up()
    rows.features[:, AMOUNT] = 3.0
    assert (fit_amount_and_time(rows)(rows.features)[:, AMOUNT] == 0).all()


def test_a_value_far_out_of_range_stays_finite_in_what_is_fitted_and_shown() -> None:
    rows = made_up()
    rows.features[3, AMOUNT], rows.features[4, 5] = 1e300, -1e300
    assert np.isfinite(fit_amount_and_time(rows)(rows.features)).all()
    json.dumps(look(rows, rows), allow_nan=False)


def test_a_score_that_is_no_number_is_refused_with_the_model_that_gave_it() -> None:
    rows = made_up()
    net = {"hidden": (2,), "dropout": 0.0, "learning_rate": 1e-3, "weight_decay": 0.1}
    score = fit_one("shallow net", {**net, "time": False}, "none", rows, setup(parts(rows)))
    with pytest.raises(ScorerError, match=r"shallow net \(none\) gives a score that is not finite"):
        score(np.full((1, len(FEATURES)), np.nan))


def test_nothing_that_is_chosen_or_calibrated_changes_with_the_test_rows() -> None:
    cut = parts(made_up())
    other = replace(cut, test=replace(cut.test, features=cut.test.features * -9))
    contender, tried = tune("logistic regression", setup(cut))
    contender_beside, tried_beside = tune("logistic regression", setup(other))
    assert tried == tried_beside
    first, beside = finish(contender, setup(cut)), finish(contender_beside, setup(other))
    assert first.platt == beside.platt
    assert np.array_equal(first.validation, beside.validation)
    assert not np.array_equal(first.test, beside.test)


def test_no_fit_that_is_judged_on_validation_has_seen_it() -> None:
    cut = parts(made_up())
    wrong = replace(cut.validation, frauds=~cut.validation.frauds)
    seen, _ = tune("histogram boosting", setup(cut))
    beside, _ = tune("histogram boosting", setup(replace(cut, validation=wrong)))
    assert np.array_equal(seen.validation, beside.validation)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_gives_the_same_scores(family: str) -> None:
    cut = parts(made_up())
    once, again = (finish(tune(family, each)[0], each) for each in (setup(cut), setup(cut)))
    assert np.array_equal(once.validation, again.validation)
    assert np.array_equal(once.test, again.test)
    assert len(once.test) == len(cut.test)


def test_the_look_shows_train_rows_and_only_counts_the_later_ones() -> None:
    rows = made_up()
    cut = parts(rows)
    seen = look(cut.train, rows)
    assert seen["histograms"] == look(cut.train, cut.train)["histograms"]
    assert list(seen["histograms"]) == [f"V{i}" for i in range(1, 29)]
    assert sum(seen["by_hour"]["fraud"]) == rows.frauds.sum()
    assert sum(seen["by_hour"]["genuine"]) == rows.weights[~rows.frauds].sum()
    assert np.allclose(np.diag(seen["correlations"]), 1)


# What is done about few frauds.


@pytest.mark.parametrize(
    ("strategy", "ratio"),
    [
        ("oversampling", OVERSAMPLED_RATIO),
        ("oversampling (SMOTE)", OVERSAMPLED_RATIO),
        ("undersampling", UNDERSAMPLED_RATIO),
    ],
)
def test_resampling_reaches_its_ratio_and_the_same_seed_draws_the_same(
    strategy: str, ratio: float
) -> None:
    rng = np.random.default_rng(0)
    features, frauds = rng.normal(size=(2000, 3)), np.arange(2000) % 100 == 0
    drawn, labels, weights = STRATEGIES[strategy](features, frauds, 3)
    assert labels.sum() / (~labels).sum() == pytest.approx(ratio, rel=0.01)
    assert weights is None
    assert np.array_equal(drawn, STRATEGIES[strategy](features, frauds, 3)[0])


@pytest.mark.parametrize("strategy", ["oversampling", "oversampling (SMOTE)", "undersampling"])
def test_frauds_that_are_frequent_already_are_left_as_they_are(strategy: str) -> None:
    features, frauds = np.zeros((100, 3)), np.arange(100) % 2 == 0
    assert len(STRATEGIES[strategy](features, frauds, 0)[0]) == 100


def test_class_weights_let_both_kinds_weigh_alike() -> None:
    frauds = np.arange(100) < 7
    weights = STRATEGIES["class weight"](np.zeros((100, 3)), frauds, 0)[2]
    assert weights is not None
    assert weights[frauds].sum() == pytest.approx(weights[~frauds].sum())


def test_the_balanced_half_keeps_all_frauds_and_as_many_others() -> None:
    rows = made_up()
    half = half_of(rows, seed=0)
    assert half[rows.frauds].all()
    assert half.sum() == 2 * rows.frauds.sum()


# What the figures mean.


def test_figures_are_those_of_scikit_learn_with_weights_and_ties() -> None:
    rng = np.random.default_rng(0)
    rows = made_up(400)
    logits = rng.integers(-6, 7, 400).astype(float) + 3 * rows.frauds
    measured = dict(
        zip(NAMES, rank(rows, logits, threshold=0.8).measure(np.ones(400)), strict=True)
    )
    probability, alerts = probabilities(logits), probabilities(logits) >= 0.8
    truth: dict[str, Any] = {"sample_weight": rows.weights}
    assert measured["average_precision"] == pytest.approx(
        metrics.average_precision_score(rows.frauds, logits, **truth)
    )
    assert measured["roc_auc"] == pytest.approx(metrics.roc_auc_score(rows.frauds, logits, **truth))
    assert measured["brier_score"] == pytest.approx(
        metrics.brier_score_loss(rows.frauds, probability, **truth)
    )
    for name, figure in (
        ("accuracy", metrics.accuracy_score),
        ("precision", metrics.precision_score),
        ("recall", metrics.recall_score),
        ("f1", metrics.f1_score),
    ):
        assert measured[name] == pytest.approx(figure(rows.frauds, alerts, **truth)), name


@pytest.mark.parametrize(
    ("hours", "wanted"),
    [
        (24, 0.5),  # 100 reviews: 50 frauds, then a row that stands for 50
        (12, 1.0),  # 50 reviews: the frauds
        (48, 0.25),  # 200 reviews: the same frauds
    ],
)
def test_precision_of_the_top_100_a_day_counts_what_rows_stand_for(
    hours: float, wanted: float
) -> None:
    rows = rows_of([1] * 50 + [0] * 3, [1.0] * 50 + [50.0] * 3, hours=hours)
    measured = rank(rows, -np.arange(53.0), threshold=0.5).measure(np.ones(53))
    assert measured[NAMES.index("precision_at_100_a_day")] == pytest.approx(wanted)


def test_a_resample_draws_frauds_and_genuine_rows_apart_and_the_same_for_a_seed() -> None:
    frauds: Flags = np.arange(200) < 20
    drawn = draws(frauds, rounds=30, seed=1)
    assert (drawn[:, frauds].sum(axis=1) == 20).all()
    assert (drawn[:, ~frauds].sum(axis=1) == 180).all()
    assert np.array_equal(drawn, draws(frauds, rounds=30, seed=1))
    assert not np.array_equal(drawn, draws(frauds, rounds=30, seed=2))


def test_every_interval_holds_its_figure_and_no_alert_has_no_precision() -> None:
    rows = made_up()
    logits = np.random.default_rng(0).normal(size=600) + rows.frauds
    resamples = draws(rows.frauds, rounds=200, seed=0)
    figures, again = with_intervals(rank(rows, logits, threshold=0.5), resamples)
    assert again.shape == (200, len(NAMES))
    for each in figures.values():
        assert None not in each.values()
        assert each["low"] <= each["value"] <= each["high"]  # type: ignore[operator]
    silent, _ = with_intervals(rank(rows, logits, threshold=1.0), resamples)
    assert silent["precision"] == {"value": None, "low": None, "high": None}
    assert silent["recall"]["value"] == 0


def test_the_cheapest_threshold_costs_least_of_all() -> None:
    rows = made_up(300)
    logits = np.random.default_rng(0).normal(size=300) + 2 * rows.frauds
    costs = Costs(false_alert=1.0, missed_fraud=8.0)
    cheapest = at_threshold(rows, logits, cheapest_threshold(rows, logits, costs), costs)["cost"]
    every = [at_threshold(rows, logits, p, costs)["cost"] for p in probabilities(logits).tolist()]
    assert cheapest == pytest.approx(min(every))
    assert cheapest < costs.missed_fraud * rows.frauds.sum()


def test_where_no_alert_pays_the_cheapest_threshold_is_one() -> None:
    rows = rows_of([0, 0, 1], [1.0, 1.0, 1.0])
    costs = Costs(false_alert=100.0, missed_fraud=1.0)
    assert cheapest_threshold(rows, np.array([3.0, 2.0, 1.0]), costs) == 1.0


def test_money_and_alerts_are_counted_as_they_stand() -> None:
    rows = rows_of([1, 1, 0, 0], [1.0, 1.0, 4.0, 4.0], hours=12)
    found = at_threshold(rows, np.array([5.0, -5.0, 5.0, -5.0]), 0.8, Costs(2.0, 50.0))
    assert found["frauds_caught"] == found["frauds_missed"] == found["false_alert_rows"] == 1
    assert (found["false_alerts"], found["alerts_a_day"]) == (4, 10)
    assert found["amount_caught"] == found["amount_missed"] == 10
    assert (found["cost"], found["cost_without_alerts"]) == (58, 100)


def figures_of(ap: float, *, keras: bool = True) -> dict[str, Any]:
    value = {"value": ap, "low": ap, "high": ap}
    return {
        "keras": keras,
        "validation_average_precision": value,
        "test": {"average_precision": value},
    }


@pytest.mark.parametrize(("spread", "chosen"), [(0.5, RECIPE), (0.001, "a net")])
def test_the_shipped_recipe_keeps_its_place_unless_a_net_is_surely_better_on_validation(
    spread: float, chosen: str
) -> None:
    rng = np.random.default_rng(0)
    models = {
        "trees": figures_of(0.9, keras=False),
        "a net": figures_of(0.8),
        RECIPE: figures_of(0.7),
    }
    again = {
        name: Resampled(
            model["validation_average_precision"]["value"] + rng.normal(scale=spread, size=100),
            rng.normal(size=100),
        )
        for name, model in models.items()
    }
    choice = choose(models, again)
    assert choice["by_validation"] == ["trees", "a net", RECIPE]
    assert (choice["name"], choice["first_keras_net"]) == (chosen, "a net")


# How rows are weighed.


def file_of(frauds: int, genuine: int, *, repeated: int = 0) -> TrainingFile:
    rows = rows_of([1] * frauds + [0] * genuine, [1.0] * (frauds + genuine))
    return TrainingFile("some.csv", "0" * 64, rows, repeated, 0, dropped=(), sorted_here=False)


def test_a_sample_of_the_ulb_data_is_weighed_up_to_all_of_its_genuine_rows() -> None:
    file, _, why = weighing.weigh(file_of(399, 55_606), full=False, weight=None, until=None)
    rows = file.transactions
    assert rows.weights[~rows.frauds].sum() == pytest.approx(283_253)
    assert (rows.weights[rows.frauds] == 1).all()
    assert "5.094 transactions" in why


@pytest.mark.parametrize(("frauds", "genuine"), [(150, 2000), (900, 50_000), (473, 283_253)])
def test_a_file_that_is_no_such_sample_is_taken_to_be_complete(frauds: int, genuine: int) -> None:
    file, _, why = weighing.weigh(file_of(frauds, genuine), full=False, weight=None, until=None)
    assert (file.transactions.weights == 1).all()
    assert "taken to be complete" in why


def test_weights_that_are_given_are_taken() -> None:
    file, sampling, _ = weighing.weigh(file_of(399, 1000), full=False, weight=2.0, until=-1.0)
    assert file.transactions.weights.sum() == 399 + 2000
    assert (sampling.genuine_weight, sampling.complete_until) == (2.0, -1.0)


def test_full_takes_the_published_file_and_no_other() -> None:
    whole = replace(file_of(473, 283_253, repeated=1_081), repeated_frauds=19)
    file, _, _ = weighing.weigh(whole, full=True, weight=None, until=None)
    assert (file.transactions.weights == 1).all()
    with pytest.raises(BadInput, match=r"some\.csv has 55 rows, 5 of them frauds; want the comp"):
        weighing.weigh(file_of(5, 50), full=True, weight=None, until=None)
