"""The monitor's figures: those of scikit-learn and of what-if, from whole numbers alone."""

from collections import Counter

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from stream_scorer.monitor.counts import add, delay, rank_of
from stream_scorer.monitor.figures import figures, of_window
from stream_scorer.what_if.figures import Costs, Scored, figures_at

RNG = np.random.default_rng(7)
LOGIT = RNG.normal(-3, 3, 4000).astype(np.float32)
LABEL = np.where(RNG.random(4000) < 0.3, -1, RNG.random(4000) < 1 / (1 + np.exp(-LOGIT)))
PROBABILITY = (1 / (1 + np.exp(-LOGIT))).astype(np.float32)
ALERT = np.float32(0.8) <= PROBABILITY
NAMES = {1: "fraud", 0: "genuine", -1: "unlabelled"}
RANKS = np.array([rank_of(each) for each in LOGIT.tolist()])
COUNTS = dict(
    Counter(f"{NAMES[label]}.{rank}" for label, rank in zip(LABEL, RANKS, strict=True))
    + Counter(f"alerted.{NAMES[label]}" for label in LABEL[ALERT])
)
KNOWN = LABEL >= 0


def test_average_precision_is_scikit_learns_of_the_ranks() -> None:
    found = figures(COUNTS).average_precision
    assert found == pytest.approx(average_precision_score(LABEL[KNOWN], RANKS[KNOWN]), abs=1e-12)


def test_average_precision_is_near_that_of_the_scores_themselves() -> None:
    exact = average_precision_score(LABEL[KNOWN], LOGIT[KNOWN])
    assert figures(COUNTS).average_precision == pytest.approx(exact, abs=0.001)


def test_precision_and_recall_are_what_ifs() -> None:
    scored = Scored.of(PROBABILITY, LABEL.astype(np.int8), np.full(len(LABEL), np.nan))
    (of_what_if,) = figures_at([0.8], scored, Costs())
    found = figures(COUNTS)
    assert (found.precision, found.recall) == (of_what_if.precision, of_what_if.recall)
    assert (found.alerts, found.caught) == (of_what_if.alerts, of_what_if.frauds_caught)
    assert found.f1 == pytest.approx(f1_score(LABEL[KNOWN], ALERT[KNOWN]))


def test_every_transaction_is_in_one_place_of_the_table() -> None:
    found = figures(COUNTS)
    assert found.scored == len(LABEL)
    assert found.labelled == KNOWN.sum()
    assert found.caught + found.missed + found.false_alerts + found.passed == found.labelled
    assert found.alerts == found.caught + found.false_alerts + found.alerts_unlabelled


def test_of_nothing_there_is_no_figure() -> None:
    found = figures({}, top_k=10)
    assert (found.scored, found.precision, found.recall, found.f1) == (0, None, None, None)
    assert found.average_precision is None
    assert found.top_k is not None
    assert found.top_k.precision is None
    assert found.label_delay.mean_s is None


def test_highest_of_a_day_count_labelled_or_not_and_a_shared_rank_counts_in_part() -> None:
    counts = {"fraud.9": 1, "unlabelled.8": 1, "fraud.7": 1, "genuine.7": 3, "genuine.1": 50}
    found = figures(counts, top_k=4).top_k  # the two above, and half of the four of rank 7
    assert found is not None
    assert found.labelled == 3.0
    assert found.precision == (1 + 0.5) / 3


def test_highest_are_told_of_days_only() -> None:
    assert of_window(("hour", 0, ""), COUNTS, top_k=5).top_k is None
    assert of_window(("day", 0, ""), COUNTS, top_k=5).top_k is not None


def test_delays_are_a_mean_and_how_many_took_no_longer() -> None:
    counts: dict[str, int] = {}
    for ms in (0, 60_000, 60_001, 10**11):
        add(counts, delay("wait", ms))
    found = figures(counts).alert_to_label
    assert (found.count, found.mean_s) == (4, (10**11 + 120_001) / 4 / 1000)
    assert (found.within["60"], found.within["600"], found.within["7776000"]) == (2, 3, 3)


def test_label_that_is_older_than_its_alert_took_no_time() -> None:
    assert delay("wait", -5) == {"wait.60": 1, "wait.ms": 0}


@pytest.mark.parametrize(
    ("logit", "rank"),
    [(1e308, 1023), (-1e308, -1024), (16.0, 1023), (-16.0, -1024), (0.0, 0), (-1e-9, -1)],
)
def test_rank_of_any_finite_logit_is_on_the_grid(logit: float, rank: int) -> None:
    assert rank_of(logit) == rank
