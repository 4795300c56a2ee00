"""The rule."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer import decision


def test_probability_at_the_threshold_alerts_and_the_one_below_does_not() -> None:
    at = np.float32(0.8)
    below = np.nextafter(at, np.float32(0))
    assert decision.alerts(np.array([below, at], dtype=np.float32), 0.8).tolist() == [1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_probability_that_is_not_finite_is_never_compared(value: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        decision.alerts(np.array([0.5, value], dtype=np.float32), 0.8)


@given(
    st.lists(st.floats(0, 1, width=32), max_size=50),
    st.floats(0, 1),
)
def test_alerts_are_those_at_or_above_the_rounded_threshold(
    values: list[float], threshold: float
) -> None:
    rows = decision.alerts(np.array(values, dtype=np.float32), threshold)
    assert rows.tolist() == [
        i for i, value in enumerate(values) if np.float32(value) >= np.float32(threshold)
    ]


def test_no_rows_no_alerts() -> None:
    assert decision.alerts(np.array([], dtype=np.float32), 0.8).tolist() == []
