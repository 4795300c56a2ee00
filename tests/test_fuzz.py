"""No bytes escape: a short run of what `make fuzz` does at length."""

import pytest

from stream_scorer.model import Model
from tests.fuzz import Record, feed, make_scorer, run_examples, run_mutations


def test_whatever_hypothesis_draws_is_scored_or_dead_lettered(tiny: Model) -> None:
    assert run_examples(make_scorer(tiny), 300, seed=1).total() >= 300


def test_mutated_events_are_scored_or_dead_lettered(tiny: Model) -> None:
    found = run_mutations(make_scorer(tiny), 10_000, seed=1)
    assert found.total() == 10_000
    assert {"scored", "DECODE", "TYPE", "MISSING", "RANGE", "NONFINITE", "DUPLICATE"} <= set(found)


def test_a_scorer_that_loses_a_record_is_noticed(tiny: Model) -> None:
    whole = make_scorer(tiny)

    class Loses:
        model = tiny

        def __call__(self, records: list[object]) -> object:
            return whole(records[1:])  # type: ignore[arg-type]

    batch: list[Record] = [(b"{", None, []), (b"{", None, [])]
    with pytest.raises(AssertionError, match="one lost"):
        feed(Loses(), batch)  # type: ignore[arg-type]
