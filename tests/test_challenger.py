"""A challenger is compared and counted, and never alerts."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from stream_scorer.challenger import Challenger
from stream_scorer.errors import BadInput
from stream_scorer.model import Model
from stream_scorer.records import Comparison
from tests.bundles import GOLDEN, metadata, probability, write_bundle
from tests.records import FRAUD, GOOD, event, record
from tests.test_scorer import make_scorer


def load(path: Path, weights: tuple[float, ...], names: tuple[str, ...] = ()) -> Model:
    """Return a linear bundle with these weights; its golden rows are right."""
    width = len(weights)
    rows = np.array(GOLDEN)[:, :width]
    scores = 1 / (1 + np.exp(-(rows @ np.array(weights) - 3.0)))
    entries = {
        "golden": json.dumps({"features": rows.tolist(), "probability": scores.tolist()}),
        "baseline": json.dumps([0.0] * width),
    }
    if names:
        entries["feature_names"] = json.dumps(names)
    return Model.load(write_bundle(path, metadata(**entries), weights=weights))


def compare(champion: Model, second: Model, *values: bytes | None, sample: float = 1) -> Comparison:
    challenger = Challenger.beside(champion, second, sample=sample)
    outcome = make_scorer(champion, challenger=challenger)(
        [record(i, value) for i, value in enumerate(values)]
    )
    assert outcome.comparison is not None
    return outcome.comparison


@pytest.fixture
def eager(tmp_path: Path) -> Model:
    """Return a model that alerts on what the tiny one finds genuine: V1 of 1."""
    return load(tmp_path / "eager.onnx", (0.0, 6.0, 0.0))


def test_challenger_never_alerts_and_changes_no_alert(tiny: Model, eager: Model) -> None:
    records = [record(0, event(V1=1.0)), record(1, FRAUD), record(2, b"{")]
    alone = make_scorer(tiny)(records)
    challenger = Challenger.beside(tiny, eager, sample=1)
    beside = make_scorer(tiny, challenger=challenger)(records)
    assert [each.value for each in beside.alerts] == [each.value for each in alone.alerts]
    assert beside.comparison is not None
    assert beside.comparison.challenger_only == 1


def test_same_model_in_another_column_order_agrees_everywhere(tiny: Model, tmp_path: Path) -> None:
    rows = np.array(GOLDEN)[:, [2, 0, 1]]
    golden = {"features": rows.tolist(), "probability": probability(GOLDEN).tolist()}
    entries = metadata(
        feature_names=json.dumps(("Amount", "Time", "V1")),
        baseline=json.dumps((20.0, 0.0, 0.0)),
        golden=json.dumps(golden),
    )
    weights = (0.01, 0.0, 2.0)
    turned = Model.load(write_bundle(tmp_path / "turned.onnx", entries, weights=weights))
    found = compare(tiny, turned, GOOD, FRAUD, event(V1=2.19), event(Amount=500.0))
    assert np.abs(found.difference).max() < 1e-6
    assert (found.champion_only, found.challenger_only, found.not_finite) == (0, 0, 0)


def test_challenger_with_fewer_features_gets_its_own_columns(tiny: Model, tmp_path: Path) -> None:
    narrow = load(tmp_path / "narrow.onnx", (2.0,), ("V1",))
    found = compare(tiny, narrow, event(V1=1.5, Amount=100.0))
    wanted = 1 / (1 + np.exp(-(2.0 * 1.5 - 3.0))) - probability([(1.0, 1.5, 100.0)])[0]
    assert found.difference == pytest.approx([wanted], abs=1e-6)


def test_challenger_that_wants_what_is_not_decoded_is_refused(tiny: Model, tmp_path: Path) -> None:
    other = load(tmp_path / "other.onnx", (2.0, 1.0), ("V1", "country_risk"))
    with pytest.raises(BadInput, match="wants country_risk: it can only be given what model tiny"):
        Challenger.beside(tiny, other, sample=1)


def test_disagreement_says_what_both_models_gave(tiny: Model, eager: Model) -> None:
    found = compare(tiny, eager, event(V1=1.0, transaction_id="t-1"), FRAUD)
    (output,) = found.disagreements
    assert output.key == b"t-1"
    value = json.loads(output.value)
    assert value["champion"]["sha256"] == tiny.sha256
    assert value["champion"]["probability"] == pytest.approx(
        probability([(1.0, 1.0, 20.0)])[0], abs=1e-6
    )
    assert value["challenger"]["sha256"] == eager.sha256
    assert value["challenger"]["probability"] == pytest.approx(1 / (1 + np.exp(-3)), abs=1e-6)
    assert value["source"]["offset"] == 0
    assert "features" not in value, "an analyst's topic needs no card data"


def test_alert_of_the_champion_alone_is_counted_on_its_side(tiny: Model, tmp_path: Path) -> None:
    shy = load(tmp_path / "shy.onnx", (0.0, 0.0, 0.0))
    found = compare(tiny, shy, FRAUD, GOOD)
    assert (found.champion_only, found.challenger_only) == (1, 0)


class NoNumber:
    """A session that gives NaN for the first row and 0.9 for the others."""

    def run(self, _: object, feed: dict[str, NDArray[np.float64]]) -> list[NDArray[np.float32]]:
        scores = np.full(len(feed["features"]), 0.9, dtype=np.float32)
        scores[0] = np.nan
        return [scores, scores]


def test_challengers_score_that_is_no_number_is_counted_by_itself(tiny: Model) -> None:
    broken = replace(tiny, session=NoNumber())
    found = compare(tiny, broken, FRAUD, GOOD)
    assert found.not_finite == 1
    assert len(found.difference) == 1
    assert (found.champion_only, found.challenger_only) == (0, 1)


def test_sample_is_a_share_and_a_repeat_gives_the_same(tiny: Model, eager: Model) -> None:
    values = [event(V1=1.0)] * 1000
    first = compare(tiny, eager, *values, sample=0.3)
    again = compare(tiny, eager, *values, sample=0.3)
    assert [each.value for each in first.disagreements] == [e.value for e in again.disagreements]
    assert first.challenger_only == 1000
    assert 200 < len(first.disagreements) < 400
    assert not compare(tiny, eager, *values, sample=0).disagreements


def test_batch_without_a_row_compares_nothing(tiny: Model, eager: Model) -> None:
    found = compare(tiny, eager, b"{", None)
    assert found.difference.shape == (0,)
    assert (found.champion_only, found.challenger_only, found.not_finite) == (0, 0, 0)


def test_challenger_that_raises_is_counted_and_the_champion_alerts(
    tiny: Model, eager: Model
) -> None:
    class Raises:
        def run(self, *_: object) -> object:
            raise RuntimeError("index out of bounds")

    broken = replace(eager, session=Raises())
    challenger = Challenger.beside(tiny, broken, sample=1)
    outcome = make_scorer(tiny, challenger=challenger)([record(0, GOOD), record(1, FRAUD)])
    assert len(outcome.alerts) == 1
    assert outcome.comparison is not None
    assert outcome.comparison.not_finite == 2
    assert outcome.comparison.disagreements == []
