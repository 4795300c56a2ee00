"""The judge sees each kind of offence, and nothing where there is none."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.faults.judge import (
    Found,
    Sample,
    Verdict,
    commits_within,
    idleness,
    judge_commits,
    judge_faults,
    judge_order,
    judge_outcomes,
    judge_readers,
    recoveries,
)
from tests.faults.oracle import ALERT, LETTER, SCORE, Workload, key_of

WORKLOAD = Workload(1, 600, 2)
GOOD = next(n for n in range(600) if WORKLOAD.expected(n) == (SCORE,))
ALERTED = next(n for n in range(600) if ALERT in WORKLOAD.expected(n))
BAD = next(iter(WORKLOAD.bad))


PLACES = {n: (n % 2, n // 2) for n in range(600)}


def outcomes() -> list[Found]:
    """Return exactly what the oracle wants, on one partition of each topic."""
    wanted = [(n, kind) for n in range(WORKLOAD.records) for kind in WORKLOAD.expected(n)]
    return [
        Found(
            kind,
            key_of(n).encode(),
            PLACES[n],
            (kind, 0),
            n,
            digest=b"%d" % n,
            probability=0.0 if kind == LETTER else float(WORKLOAD.probability_of(n)),
            code=WORKLOAD.bad[n][0] if kind == LETTER else "",
            features=WORKLOAD.features_of(n) if kind == ALERT else {},
            reasons=WORKLOAD.reasons_of(n) if kind == ALERT else {},
        )
        for n, kind in wanted
    ]


def judged(found: Sequence[Found]) -> Verdict:
    verdict = Verdict()
    judge_outcomes(verdict, WORKLOAD, found, PLACES)
    return verdict


def of(n: int) -> Found:
    """Return a record's last outcome: of one that alerts, the alert."""
    return [each for each in outcomes() if each.key == key_of(n).encode()][-1]


def test_what_the_oracle_wants_is_without_offence() -> None:
    assert judged(outcomes()).broken(repeats_allowed=False) == {}


def test_missing_outcome_is_lost_and_named() -> None:
    verdict = judged([each for each in outcomes() if each != of(GOOD)])
    assert verdict.offenders == {"lost": f"record t{GOOD} has no score"}


def test_repeat_with_the_same_bytes_is_allowed_at_least_once_only() -> None:
    verdict = judged([*outcomes(), replace(of(GOOD), offset=9999)])
    assert verdict.broken(repeats_allowed=True) == {}
    assert set(verdict.broken(repeats_allowed=False)) == {"dup"}


def test_outcome_that_says_its_record_stands_elsewhere_is_wrong() -> None:
    for n in (GOOD, ALERTED, BAD):
        others = [each for each in outcomes() if each != of(n)]
        verdict = judged([*others, replace(of(n), source=(1, 777))])
        assert set(verdict.broken(repeats_allowed=True)) == {"wrong"}


def test_repeat_with_other_bytes_is_never_allowed() -> None:
    verdict = judged([*outcomes(), replace(of(GOOD), offset=9999, digest=b"other")])
    assert set(verdict.broken(repeats_allowed=True)) == {"differs"}


@pytest.mark.parametrize(
    "change", [{"key": b"t600"}, {"key": b"nobody"}, {"key": None}, {"kind": LETTER}]
)
def test_outcome_of_nothing_or_of_another_kind_is_a_phantom(change: dict[str, bytes]) -> None:
    phantom = replace(of(GOOD), **change)  # type: ignore[arg-type]
    assert "phantom" in judged([*outcomes(), phantom]).offenders


@pytest.mark.parametrize(
    ("n", "change"),
    [
        (GOOD, {"probability": 0.5}),
        (GOOD, {"probability": float("nan")}),
        (GOOD, {"id_holds": False}),
        (BAD, {"code": "LIMIT"}),
        (BAD, {"id_holds": False}),
        (ALERTED, {"features": WORKLOAD.features_of(ALERTED) | {"V14": 0.1}}),
        (ALERTED, {"features": {}}),
        (ALERTED, {"reasons": {}}),
        (ALERTED, {"reasons": dict(reversed(WORKLOAD.reasons_of(ALERTED).items()))}),
        (ALERTED, {"reasons": {k: v + 0.001 for k, v in WORKLOAD.reasons_of(ALERTED).items()}}),
    ],
)
def test_outcome_that_says_something_else_is_wrong(n: int, change: dict[str, Any]) -> None:
    found = [replace(each, **change) if each == of(n) else each for each in outcomes()]
    assert set(judged(found).broken(repeats_allowed=True)) == {"wrong"}


def test_what_only_one_reader_saw_is_torn() -> None:
    verdict = Verdict()
    judge_readers(verdict, outcomes(), outcomes()[1:])
    assert verdict.counts == {"torn": 1}


def test_outcomes_of_a_partition_that_go_back_are_misordered() -> None:
    verdict = Verdict()
    judge_order(verdict, [replace(of(n), offset=-n) for n in (GOOD, GOOD + 2)])
    assert set(verdict.offenders) == {"misordered"}


def sample(at_s: float, committed: int, *, written: int = 600, sent: int = 300) -> Sample:
    """Return a moment at which both partitions are committed up to there."""
    ends = {(kind, 0): written for kind in (SCORE, LETTER, "alert")}
    return Sample(at_s, {0: committed, 1: committed}, {0: sent, 1: sent}, ends)


def test_commit_is_ahead_if_an_outcome_before_it_was_not_written_yet() -> None:
    for written, what in ((200, set()), (150, {"ahead"})):
        verdict = Verdict()
        judge_commits(verdict, [sample(1.0, 100, written=written)], outcomes())
        assert set(verdict.offenders) == what


def test_commit_that_moves_back_is_seen() -> None:
    verdict = Verdict()
    judge_commits(verdict, [sample(1.0, 100), sample(1.1, 90)], [])
    assert set(verdict.offenders) == {"back"}


def test_stream_is_there_again_once_something_newer_than_the_fault_is_committed() -> None:
    samples = [
        sample(1.0, 50, sent=100),
        sample(2.0, 100, sent=150),
        sample(3.0, 101, sent=150),
        sample(4.0, 150, sent=150),
    ]
    assert recoveries(samples, [1.5, 3.5]) == [1.5, None]


def test_what_was_sent_while_nothing_could_be_looked_at_is_no_sign_of_life() -> None:
    samples = [
        sample(1.0, 50, sent=50),
        sample(60.0, 60, sent=300),  # of before the outage, and the first look after it
        sample(70.0, 300, sent=400),
    ]
    assert recoveries(samples, [5.0]) == [65.0]


def test_broker_that_is_back_is_no_sign_of_life_if_nothing_was_sent_meanwhile() -> None:
    samples = [sample(60.0, 50, sent=50), sample(70.0, 50, sent=100), sample(75.0, 51, sent=100)]
    assert recoveries(samples, [59.0]) == [16.0]


def test_commit_beyond_the_end_is_seen() -> None:
    verdict = Verdict()
    judge_commits(verdict, [sample(1.0, 301, sent=300)], [])
    assert set(verdict.offenders) == {"beyond"}


def test_commits_within_an_outage_are_counted() -> None:
    samples = [sample(1.0, 50), sample(2.0, 50), sample(3.0, 60)]
    assert commits_within(samples, 0.5, 2.5) == 0
    assert commits_within(samples, 1.5, 3.5) == 20


@pytest.mark.parametrize(
    ("committed", "sent", "flaw"),
    [
        ((50, 60, 90), (100, 100, 100), ""),
        ((100, 100, 110), (100, 100, 110), ""),
        ((100, 101, 120), (100, 120, 120), ""),
        ((0, 50, 100), (100, 100, 100), ""),  # committed just before it, seen just after it
        ((0, 0, 100), (100, 100, 100), "nothing was committed before it"),
        ((50, 50, 50), (100, 100, 100), "nothing was committed after it"),
        ((100, 100, 100, 110), (100, 100, 100, 110), "nothing was sent, and all was committed"),
    ],
)
def test_fault_proves_something_only_if_it_met_work(
    committed: tuple[int, ...], sent: tuple[int, ...], flaw: str
) -> None:
    pairs = enumerate(zip(committed, sent, strict=True))
    samples = [sample(1.0 + 2 * i, done, sent=there) for i, (done, there) in pairs]
    assert idleness(samples, 2.0) == flaw


@pytest.mark.parametrize(
    ("at_s", "committed", "found"),
    [(61.0, 110, set()), (63.0, 110, {"slow"}), (61.0, 90, {"stuck"})],
)
def test_stream_must_be_there_again_within_a_minute(
    at_s: float, committed: int, found: set[str]
) -> None:
    verdict = Verdict()
    judge_faults(verdict, [sample(2.0, 50, sent=100), sample(at_s, committed, sent=120)], [2.0])
    assert set(verdict.offenders) == found
