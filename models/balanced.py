"""The comparison once more on as many genuine rows as frauds, and what that hides."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from models.folds import Parts
from models.measures import Draws, draws, rank, with_intervals
from models.transactions import Flags, Floats, Transactions
from models.tuning import Contender, Setup, contend, finish


def compare_balanced(
    contenders: Sequence[Contender], setup: Setup, threshold: float, resamples: Draws
) -> dict[str, Any]:
    """Return each family's figures, fitted on balanced rows, on a balanced and on the whole test.

    `resamples` are those of the whole test.
    """
    parts = setup.parts
    half = half_of(parts.test, seed=setup.seed)
    small = _alone(parts.test.where(half))
    train, validation = (
        _alone(part.where(half_of(part, seed=setup.seed)))
        for part in (parts.train, parts.validation)
    )
    balanced = Parts(train, validation, parts.test)
    of_half = draws(small.frauds, rounds=len(resamples), seed=setup.seed)
    figures = []
    for each in contenders:
        setup.next_step(f"{each.family}, balanced")
        again = replace(setup, parts=balanced)
        logits = finish(contend(each.family, each.settings, "none", again), again).test
        figures.append(
            {
                "name": each.family,
                "on_balanced_test": _figures(small, logits[half], threshold, of_half),
                "on_whole_test": _figures(parts.test, logits, threshold, resamples),
            }
        )
    return {
        "train_rows": len(balanced.train),
        "validation_rows": len(balanced.validation),
        "test_rows": len(small),
        "models": figures,
    }


def half_of(rows: Transactions, *, seed: int) -> Flags:
    """Return bool (n,): all rows of the rarer kind and as many of the other, drawn at random."""
    rng = np.random.default_rng(seed)
    kinds = [np.flatnonzero(kind) for kind in (rows.frauds, ~rows.frauds)]
    size = min(map(len, kinds))
    kept: Flags = np.zeros(len(rows), dtype=bool)
    for kind in kinds:
        kept[rng.choice(kind, size, replace=False)] = True
    return kept


def _alone(rows: Transactions) -> Transactions:
    """Return the rows, each standing for itself."""
    return replace(rows, weights=np.ones(len(rows)))


def _figures(
    rows: Transactions, logits: Floats, threshold: float, resamples: Draws
) -> dict[str, dict[str, float | None]]:
    return with_intervals(rank(rows, logits, threshold=threshold), resamples)[0]
