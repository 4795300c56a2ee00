"""What grows is seen, and what only jitters is not."""

import pytest

from tests.faults.soak import MOST_GROWN_MB, growth
from tests.faults.soak_picture import quantile
from tests.usage import Usage

HOUR = [10.0 * i for i in range(361)]


def flaws(
    rss_mb: list[float], *, fds: tuple[int, int] = (40, 40), threads: tuple[int, int] = (9, 9)
) -> list[str]:
    half = len(rss_mb) // 2
    samples = [
        (at_s, Usage(rss, threads[i > half], fds[i > half], 0.0))
        for i, (at_s, rss) in enumerate(zip(HOUR, rss_mb, strict=True))
    ]
    return growth(samples, warm_s=360).flaws()


def test_memory_that_jitters_after_its_warm_up_does_not_grow() -> None:
    assert flaws([50.0 if at_s < 300 else 100.0 + i % 7 for i, at_s in enumerate(HOUR)]) == []


def test_memory_that_grows_slowly_is_seen() -> None:
    (flaw,) = flaws([100 + 1.2 * MOST_GROWN_MB * at_s / 3600 for at_s in HOUR])
    assert flaw.startswith("memory grew by 10.8 MB")


def test_one_more_descriptor_or_thread_is_seen() -> None:
    flat = [100.0] * len(HOUR)
    assert flaws(flat, fds=(40, 41)) == ["fds grew from 40 to 41"]
    assert flaws(flat, threads=(9, 10)) == ["threads grew from 9 to 10"]
    assert flaws(flat, fds=(41, 40)) == []


def test_too_few_samples_tell_nothing() -> None:
    with pytest.raises(ValueError, match="want 4 at least"):
        growth([(0.0, Usage(1.0, 1, 1, 0.0))] * 3, warm_s=0)


def test_quantile_is_of_what_came_between_two_looks() -> None:
    before = {0.001: 10.0, 0.01: 10.0, float("inf"): 10.0}
    after = {0.001: 60.0, 0.01: 110.0, float("inf"): 110.0}
    assert quantile(before, after, 0.5) == pytest.approx(0.001)
    assert quantile(before, after, 0.75) == pytest.approx(0.0055)
    assert quantile(after, after, 0.5) is None


def test_quantile_beyond_the_last_bound_is_that_bound() -> None:
    assert quantile({}, {0.01: 0.0, float("inf"): 5.0}, 0.5) == pytest.approx(0.01)
