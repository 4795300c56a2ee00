"""Rules of cutting time: nothing later ever teaches, or calibrates, what is tested earlier."""

import numpy as np
import pytest

from models.folds import blocks, calibration_start, split
from models.transactions import FEATURES, Flags, Floats, Transactions
from stream_scorer.errors import BadInput


def transactions(times: Floats, frauds: Flags) -> Transactions:
    """Return rows that have nothing but a time."""
    features = np.zeros((len(times), len(FEATURES)))
    features[:, 0] = times
    return Transactions(features, frauds, np.ones(len(times)))


def seconds(count: int, *, seed: int) -> tuple[Floats, Flags]:
    """Return rising times, many of them shared, and labels, about a fifth of them frauds."""
    rng = np.random.default_rng(seed)
    return np.sort(rng.integers(0, count // 2, count)).astype(float), rng.random(count) < 0.2


def test_every_test_row_is_later_than_every_fitted_row() -> None:
    fit, test = split(transactions(*seconds(400, seed=1)), test_from=None)
    assert fit.times.max() < test.times.min()
    assert len(fit) + len(test) == 400


def test_the_test_period_is_the_last_fifth_of_the_time_unless_told_otherwise() -> None:
    rows = transactions(np.arange(101.0), np.arange(101) % 7 == 0)
    assert split(rows, test_from=None)[1].times[0] == 80
    assert split(rows, test_from=50)[1].times[0] == 50


@pytest.mark.parametrize("test_from", [-1.0, 1000.0])
def test_a_side_of_the_split_without_frauds_is_named(test_from: float) -> None:
    rows = transactions(np.arange(101.0), np.arange(101) % 7 == 0)
    with pytest.raises(BadInput, match=rf"0 of the 0 rows .* Time {test_from:g} \(--test-from\)"):
        split(rows, test_from=test_from)


@pytest.mark.parametrize("seed", range(5))
def test_blocks_never_mix_times(seed: int) -> None:
    times, frauds = seconds(500, seed=seed)
    block_of = blocks(times, frauds, count=5)
    for block in range(4):
        assert times[block_of == block].max() < times[block_of == block + 1].min()


def test_blocks_hold_equally_many_frauds_when_no_two_share_a_second() -> None:
    frauds = np.random.default_rng(0).random(1000) < 0.1
    block_of = blocks(np.arange(1000.0), frauds, count=5)
    counts = np.bincount(block_of[frauds])
    assert counts.max() - counts.min() <= 1


def test_too_few_frauds_for_the_blocks_are_counted() -> None:
    with pytest.raises(BadInput, match=r"7 leave 1 in one of 5 blocks of time; want at least 2"):
        blocks(np.arange(70.0), np.arange(70) % 10 == 0, count=5)


def test_a_block_without_a_genuine_row_is_refused() -> None:
    with pytest.raises(BadInput, match="no genuine row in one of 2 blocks of time"):
        blocks(np.arange(20.0), np.arange(20) >= 5, count=2)


def test_the_calibration_sees_the_period_of_the_latest_half_of_the_frauds() -> None:
    times, frauds = np.arange(100.0), np.arange(100) % 10 == 0
    start = calibration_start(times, frauds, share=0.5)
    assert frauds[times >= start].sum() == 5
