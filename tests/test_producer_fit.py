"""The rules by which the figures of the generator are fitted."""

import numpy as np
import pytest

from producer.figures import FEATURES
from producer.fit import cents, component, hourly, parts, weights
from producer.generate import Sampler
from stream_scorer.errors import BadInput

RNG = np.random.default_rng(1)


def test_a_genuine_row_of_the_sampled_part_stands_for_4_9_rows() -> None:
    time, fraud = np.array([0.0, 19_899, 19_900, 19_900]), np.array([False, False, False, True])
    assert weights(time, fraud).tolist() == [1, 1, 4.9, 1]


def test_rows_of_the_full_data_stand_for_themselves() -> None:
    assert set(weights(np.full(284_807, 1e5), np.zeros(284_807, bool))) == {1.0}


def test_the_most_suspicious_rows_are_a_part_of_their_own() -> None:
    suspicion = np.arange(10_000.0)
    part = parts(suspicion, np.ones(10_000))
    assert np.bincount(part).tolist() == [5, 35, 9960]
    assert set(part[-5:]) == {0}


def test_a_component_draws_what_it_was_fitted_to() -> None:
    normal = RNG.standard_normal((20_000, len(FEATURES)))
    normal[:, 1] = 0.8 * normal[:, 0] + 0.6 * normal[:, 1]
    x = np.exp(normal)
    fitted = component(x, np.ones(len(x)), share=1.0)
    drawn = Sampler(fitted).draw(RNG.standard_normal((20_000, len(FEATURES))))
    for q in (0.01, 0.5, 0.99):
        assert np.quantile(drawn[:, 3], q) == pytest.approx(np.quantile(x[:, 3], q), rel=0.1)
    assert np.corrcoef(np.log(drawn[:, 0].clip(1e-9)), np.log(drawn[:, 1].clip(1e-9)))[
        0, 1
    ] == pytest.approx(0.8, abs=0.03)


def test_few_rows_give_few_quantiles_and_no_table_lists_them() -> None:
    x = RNG.normal(size=(40, len(FEATURES)))
    fitted = component(x, np.ones(40), share=1.0)
    assert len(fitted.values[0]) == 10
    assert not {round(value, 9) for value in fitted.values[0]} & set(x[:, 0].round(9))


def test_hours_that_lack_repeat_the_day_before_at_the_later_days_level() -> None:
    time = np.concatenate([np.repeat(np.arange(24), 10), np.repeat(np.arange(24, 36), 5)]) * 3600.0
    hours = hourly(np.append(time, 36 * 3600.0), np.ones(len(time) + 1))
    assert sum(hours) == pytest.approx(284_807, rel=1e-4)
    assert hours[40] / hours[16] == pytest.approx(0.5, rel=1e-3)


def test_less_than_a_day_is_refused() -> None:
    with pytest.raises(BadInput, match="want a day"):
        hourly(np.arange(3600.0), np.ones(3600))


def test_cents_are_counted_from_ten_on() -> None:
    share = cents(np.array([9.99, 10.0, 12.5, 20.0, 30.99]), np.ones(5))
    assert (share[0], share[50], share[99]) == (0.5, 0.25, 0.25)
