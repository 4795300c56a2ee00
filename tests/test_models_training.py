"""Rules of the exported file, on a tiny model of made-up transactions."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from sklearn.metrics import average_precision_score

from models import bundle, export, golden, model_card, nets
from models.calibration import Platt, fit_platt
from models.card_figures import figure
from models.evaluate import Scored, average_precision, evaluate
from models.fitting import Fitted
from models.reading import TrainingFile
from models.recipe import THRESHOLD, Recipe
from models.scaling import fit_scaling
from models.training import Order, train
from models.transactions import AMOUNT, FEATURES, TIME, Floats, Sampling, Transactions
from stream_scorer.errors import ScorerError
from stream_scorer.model import Model

pytestmark = pytest.mark.train

# Quick and sharp: nets this small must still reach the threshold.
TINY = Recipe(
    blocks=2,
    units=4,
    epochs=15,
    batch_rows=64,
    warmup_steps=2,
    learning_rate=2e-2,
    weight_decay=0.01,
)
ORDER = Order(
    name="tiny",
    version="0.0.1",
    source="made up",
    command="stream-scorer model train tiny.csv",
    sampling=Sampling(),
    recipe=TINY,
)
Texts = dict[str, Any]


def made_up(*, seed: int = 0) -> TrainingFile:
    """Return 600 rows, a tenth of them frauds, which lie 4 away in V4 and V14."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(600, len(FEATURES)))
    frauds = rng.random(600) < 0.1
    features[frauds, FEATURES.index("V14")] -= 4.0
    features[frauds, FEATURES.index("V4")] += 4.0
    features[:, TIME] = np.sort(rng.integers(0, 1000, 600))
    features[:, AMOUNT] = np.exp(features[:, AMOUNT]).round(2)
    rows = Transactions(features, frauds, np.ones(600))
    return TrainingFile("tiny.csv", "0" * 64, rows, 0, 0, dropped=(), sorted_here=False)


def silent(_text: str, _share: float) -> None:
    """Show no progress."""


@pytest.fixture(scope="module")
def content() -> bytes:
    """Return the file of the tiny model."""
    return train(made_up(), ORDER, silent)


@pytest.fixture(scope="module")
def texts(content: bytes) -> Texts:
    """Return the metadata of the file, decoded where it is JSON."""
    plain = {"name", "version", "training_data_sha256", "bundle_schema"}
    entries = bundle.metadata_texts(content)
    return {key: text if key in plain else json.loads(text) for key, text in entries.items()}


def test_the_exported_file_gives_the_probabilities_of_keras() -> None:
    rng = np.random.default_rng(0)
    used = np.array([name != "Time" for name in FEATURES])
    recipe = Recipe()
    several = [nets.build(recipe, inputs=int(used.sum()), log_odds=-5.0) for _ in range(3)]
    for net in several:  # as if fitted: spreads, which are squares, stay positive
        net.set_weights(
            [rng.uniform(0.1, 0.6, size=w.shape) - 0.3 * (w.ndim > 1) for w in net.weights]
        )
    scaling = fit_scaling(made_up().transactions, clip=recipe.clip_sd)
    fitted = Fitted(scaling, used, several, Platt(1.2, -3.0), calibrated_from=0.0)
    graph = export.to_onnx(scaling, export.fold(several, fitted.platt, used=used), name="any")

    rows = made_up(seed=1).transactions.features
    rows = np.vstack([rows, rows * 1e3])  # most of these are beyond the clip
    logit, probability = fitted.keras_score(rows)
    found_logit, found_probability = bundle.score(graph.SerializeToString(), rows)

    assert probability.min() < 0.2
    assert probability.max() > 0.8
    assert np.abs(found_probability - probability).max() <= bundle.TOLERANCE
    assert np.abs(found_logit - logit).max() <= 1e-4


def test_the_same_seed_gives_the_same_bytes(content: bytes) -> None:
    assert train(made_up(), ORDER, silent) == content


def test_a_file_that_differs_from_keras_is_not_written() -> None:
    off = np.array([0.5 + 2 * bundle.TOLERANCE], dtype=np.float32)
    for found in (off, np.array([np.nan], dtype=np.float32)):
        with pytest.raises(
            ScorerError, match=r"differs from the model .* by .* on the golden rows"
        ):
            bundle.check_parity(np.array([0.5]), found, rows="golden rows")


@pytest.mark.parametrize("seconds", [-1e9, 1.0, 2_592_000.0, 1_700_000_000.0])
def test_time_changes_nothing(content: bytes, seconds: float) -> None:
    features = made_up().transactions.features
    shifted = features.copy()
    shifted[:, TIME] += seconds
    assert np.array_equal(bundle.score(content, features), bundle.score(content, shifted))


def test_a_feature_that_is_not_a_number_gives_no_probability(content: bytes) -> None:
    features = made_up().transactions.features[: len(FEATURES)].copy()
    np.fill_diagonal(features, np.nan)
    assert np.isnan(bundle.score(content, features)).all()


def test_the_file_keeps_the_contract_of_its_interface(content: bytes) -> None:
    graph = onnx.load_from_string(content).graph
    dimensions = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert dimensions == {"features": ["batch", 30], "logit": ["batch"], "probability": ["batch"]}
    assert not graph.value_info
    for rows in (1, 7):
        logit, probability = bundle.score(content, np.zeros((rows, 30)))
        assert logit.shape == probability.shape == (rows,)


def test_the_golden_rows_include_alerts_and_both_sides_of_the_threshold(texts: Texts) -> None:
    probability = np.array(texts["golden"]["probability"])
    assert len(probability) >= 32
    assert (probability >= THRESHOLD).sum() >= 8
    near = probability[np.abs(probability - THRESHOLD) < 0.05]
    assert near.min() < THRESHOLD <= near.max()
    assert texts["golden"]["features"][0] == texts["baseline"]


def test_no_golden_row_is_a_row_of_the_file(texts: Texts) -> None:
    rows = {tuple(row) for row in made_up().transactions.features[:, 1:]}
    assert not rows & {tuple(row[1:]) for row in texts["golden"]["features"]}


def test_the_baseline_is_the_median_genuine_row_before_the_test(texts: Texts) -> None:
    rows = made_up().transactions
    early = rows.where((rows.times < texts["evaluation"]["time_from"]) & ~rows.frauds)
    middle = np.quantile(early.features, 0.5, axis=0, method="inverted_cdf")
    assert texts["baseline"] == middle.tolist()


def test_the_histograms_count_every_fitted_row_once(texts: Texts) -> None:
    assert list(texts["histograms"]) == list(FEATURES)
    for histogram in texts["histograms"].values():
        assert sum(histogram["counts"]) == texts["trained_on"]["rows"]
        assert len(histogram["edges"]) == len(histogram["counts"]) + 1
        assert (np.diff(histogram["edges"]) > 0).all()


def test_scores_and_features_that_weigh_are_what_drift_is_measured_on(
    texts: Texts, content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    loaded = Model.load(path)
    assert texts["weightless"] == ["Time"]
    assert list(loaded.histograms) == list(FEATURES[1:])
    assert loaded.score_histogram is not None
    assert loaded.score_histogram.counts.sum() == texts["trained_on"]["rows"]


def test_the_card_is_written_from_the_file_alone_and_has_its_figures(
    content: bytes, texts: Texts
) -> None:
    card = model_card.render(
        bundle.metadata_texts(content), sha256=bundle.sha256(content), size=len(content)
    )
    assert bundle.sha256(content) in card
    for name in ("average_precision", "recall", "precision"):
        assert f"{texts['evaluation'][name]['value']:.3f} [" in card
    assert ORDER.command in card


def test_a_model_that_hardly_alerts_on_made_up_frauds_has_no_golden_rows() -> None:
    def shy(features: Floats) -> tuple[Floats, Floats]:
        return np.zeros(len(features)), np.full(len(features), 0.5)

    rows = made_up().transactions
    with pytest.raises(ScorerError, match=r"of 200 made-up frauds 0 reach 0\.8, want 8"):
        golden.make(rows, baseline=rows.features[0], keras_score=shy, seed=0)


def test_nets_that_rank_frauds_last_are_refused() -> None:
    frauds = np.arange(100) < 20
    with pytest.raises(ScorerError, match="no better than chance"):
        fit_platt(np.arange(100.0), frauds, np.ones(100))


def test_frauds_that_are_told_apart_wholly_still_give_a_bounded_slope() -> None:
    frauds = np.arange(100) < 20
    assert 0 < fit_platt(np.where(frauds, 3.0, -3.0), frauds, np.ones(100)).slope < 2


def test_the_calibrated_share_of_frauds_is_the_true_one() -> None:
    rng = np.random.default_rng(0)
    frauds = rng.random(20_000) < 0.1
    weights = np.where(frauds, 1.0, 5.0)
    logits = rng.normal(size=20_000) + 2 * frauds
    platt = fit_platt(logits, frauds, weights)
    predicted = 1 / (1 + np.exp(-(platt.slope * logits + platt.offset)))
    true_share = weights[frauds].sum() / weights.sum()
    assert np.average(predicted, weights=weights) == pytest.approx(true_share, rel=0.01)


def scored(labels: list[int], logits: list[float], weights: list[float] | None = None) -> Scored:
    """Return test rows with these labels and scores."""
    logit = np.array(logits, dtype=np.float32)
    features: Floats = np.zeros((len(labels), len(FEATURES)))
    rows = Transactions(
        features, np.array(labels, dtype=bool), np.array(weights or [1.0] * len(labels))
    )
    return Scored(rows, logit, (1 / (1 + np.exp(-logit))).astype(np.float32))


def test_precision_counts_a_false_alert_as_often_as_it_stands_for() -> None:
    figures = evaluate(scored([1, 1, 0, 0], [9, 8, 7, -9], [1, 1, 4, 4]), seed=0, rounds=20)
    assert figures["precision"]["value"] == pytest.approx(2 / 6)
    assert figures["false_alerts_weighted"] == 4


def test_average_precision_is_that_of_scikit_learn_with_weights_and_ties() -> None:
    rng = np.random.default_rng(0)
    logit = -np.sort(-rng.integers(0, 40, 300)).astype(np.float32)
    frauds, weights = rng.random(300) < 0.2, rng.integers(0, 5, 300).astype(float)
    wanted = average_precision_score(frauds, logit, sample_weight=weights)
    assert average_precision(logit, frauds, weights) == pytest.approx(wanted)


def test_every_interval_holds_its_figure() -> None:
    figures = evaluate(
        scored([1] * 9 + [0] * 9, [*range(-4, 5), *range(-8, 1)]), seed=0, rounds=200
    )
    for name in ("average_precision", "precision", "recall"):
        interval = figures[name]
        assert interval["low"] <= interval["value"] <= interval["high"]
    for row in figures["reliability"]:
        assert row["low"] <= row["seen"] <= row["high"]


def test_a_test_period_without_alerts_has_a_recall_of_zero_and_no_precision() -> None:
    figures = evaluate(scored([1, 0], [-1, -2]), seed=0, rounds=20)
    assert figures["recall"]["value"] == 0
    assert figures["precision"] == {"value": None, "low": None, "high": None}
    assert figure(figures["precision"]) == "none (no alert)"
