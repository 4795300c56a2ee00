"""Why a row alerted."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

from stream_scorer import reasons
from stream_scorer.model import Model


def explain(model: Model, *rows: list[float]) -> list[list[reasons.Reason]]:
    matrix = np.array(rows)
    found = reasons.explain(model, matrix, model.score(matrix)[0])
    assert all(explanation.unexplained == [] for explanation in found)
    return [explanation.reasons for explanation in found]


def test_reason_is_what_the_typical_value_would_take_away(tiny: Model) -> None:
    (found,) = explain(tiny, [5.0, 3.0, 220.0])
    assert [(r["feature"], r["effect"]) for r in found] == [("V1", 6.0), ("Amount", 2.0)]


def test_feature_that_speaks_against_fraud_is_no_reason(tiny: Model) -> None:
    (found,) = explain(tiny, [0.0, 4.0, 0.0])
    assert [r["feature"] for r in found] == ["V1"]


def test_typical_row_has_no_reasons(tiny: Model) -> None:
    assert explain(tiny, tiny.baseline.tolist()) == [[]]


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_rows_reasons_do_not_depend_on_the_rows_beside_it(tiny: Model, count: int) -> None:
    rows = np.random.default_rng(0).normal(size=(count, 3)).tolist()
    assert explain(tiny, *rows) == [explain(tiny, row)[0] for row in rows]


@pytest.mark.parametrize("at_once", [0.5, 1, 3, 100])
def test_many_rows_are_explained_a_part_at_a_time(tiny: Model, at_once: float) -> None:
    rows = np.random.default_rng(0).normal(size=(10, 3))
    logit = tiny.score(rows)[0]
    limited = reasons.explain(tiny, rows, logit, largest_bytes=int(at_once * 8 * 9))
    assert limited == reasons.explain(tiny, rows, logit)


def test_model_that_cannot_score_the_copies_explains_nothing_and_says_so(tiny: Model) -> None:
    class OneAtATime:
        def run(self, _: object, feed: dict[str, NDArray[np.float64]]) -> list[NDArray[np.float32]]:
            if len(feed["features"]) > 1:
                raise Fail("one at a time")
            return [np.ones(1, dtype=np.float32)] * 2

    model = replace(tiny, session=OneAtATime())
    (found,) = reasons.explain(model, np.ones((1, 3)), np.ones(1, dtype=np.float32))
    assert found == ([], ["Time", "V1", "Amount"])
