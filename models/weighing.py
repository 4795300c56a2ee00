"""Tell a sample of the ULB data from the complete file, and weigh its rows accordingly."""

from dataclasses import replace

from models.reading import TrainingFile
from models.transactions import Sampling, Transactions
from stream_scorer.errors import BadInput

# Of the published creditcard.csv: rows and frauds in it, and without repeated rows.
FULL_ROWS, FULL_FRAUDS = 284_807, 492
DIFFERENT_GENUINE, DIFFERENT_FRAUDS = 283_253, 473
LAST_TIME_S = 172_792.0


def weigh(
    file: TrainingFile, *, full: bool, weight: float | None, until: float | None
) -> tuple[TrainingFile, Sampling, str]:
    """Return the file with weighted rows, their weights, and a sentence on why these.

    `full`: raise BadInput unless it is the complete file. `weight` and `until`: see Sampling; None
    where a person said nothing.
    """
    if full:
        check_full(file)
        return (
            file,
            Sampling(),
            "none: the file is the complete one, and each row stands for itself",
        )
    sampling, why = guessed(file.transactions) if weight is None else said(weight, until)
    rows = file.transactions
    weighted = replace(rows, weights=sampling.weights(rows.times, rows.frauds))
    return replace(file, transactions=weighted), sampling, why


def check_full(file: TrainingFile) -> None:
    """Raise BadInput unless the file has as many rows and frauds as the published one."""
    rows = len(file.transactions) + file.repeated
    frauds = int(file.transactions.frauds.sum()) + file.repeated_frauds
    if (rows, frauds) != (FULL_ROWS, FULL_FRAUDS):
        raise BadInput(
            f"{file.name} has {rows:,} rows, {frauds:,} of them frauds; want the complete "
            f"creditcard.csv with --full, {FULL_ROWS:,} rows and {FULL_FRAUDS} frauds"
        )


def said(weight: float, until: float | None) -> tuple[Sampling, str]:
    """Return the weights that a person gave."""
    start = "" if until is None else f" after Time {until:,.0f} s, for itself up to then"
    return Sampling(weight, until), (
        f"as given: a genuine row stands for {weight:g} transactions{start}; a fraud for itself"
    )


def guessed(rows: Transactions) -> tuple[Sampling, str]:
    """Return the weights of a file about which nothing was said.

    What holds most of the ULB data's frauds, but not all of its genuine rows, is weighed up to
    these; any other file is taken to be complete.
    """
    frauds = int(rows.frauds.sum())
    genuine = len(rows) - frauds
    most_frauds = DIFFERENT_FRAUDS / 2 < frauds <= DIFFERENT_FRAUDS
    in_its_time = rows.times[0] >= 0 and rows.times[-1] <= LAST_TIME_S
    if most_frauds and in_its_time and genuine < DIFFERENT_GENUINE:
        weight = DIFFERENT_GENUINE / genuine
        return Sampling(weight), (
            f"the file was taken for a sample of the ULB data: a genuine row stands for "
            f"{weight:.4g} transactions ({DIFFERENT_GENUINE:,} different genuine rows there, "
            f"{genuine:,} here), a fraud for itself; --genuine-weight tells otherwise"
        )
    return Sampling(), "none: the file was taken to be complete, and each row stands for itself"
