"""Where time is cut: what is tested, which block a net skips, what the calibration sees."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.transactions import Flags, Floats, Transactions
from stream_scorer.errors import BadInput

# The test period unless told otherwise: the last fifth of the time span.
TEST_SHARE = 0.2
# What is tuned and calibrated on, before that: on the ULB data's two days long enough to hold hours
# of day and of night.
VALIDATION_SHARE = 0.3
# Of each kind in each part of a comparison. Fewer calibrate nothing.
MIN_ROWS_OF_A_KIND = 10
# Fewer leave a block, or the calibration, to a single transaction.
MIN_FRAUDS_PER_BLOCK = 2


def split(
    transactions: Transactions, *, test_from: float | None
) -> tuple[Transactions, Transactions]:
    """Return the rows before `test_from` (seconds) and those at or after it."""
    times = transactions.times
    start = times[-1] - TEST_SHARE * (times[-1] - times[0]) if test_from is None else test_from
    later = times >= start
    fit, test = transactions.where(~later), transactions.where(later)
    for part, where in ((fit, "before"), (test, "in")):
        frauds = int(part.frauds.sum())
        if frauds in (0, len(part)):
            raise BadInput(
                f"{frauds} of the {len(part)} rows {where} the test period are frauds; want frauds "
                f"and genuine rows on both sides of its start, Time {start:g} (--test-from)"
            )
    return fit, test


@dataclass(frozen=True, slots=True)
class Parts:
    """Rows that follow each other in time; no row of a part is as late as the next part's first."""

    train: Transactions
    validation: Transactions
    test: Transactions

    @property
    def before_test(self) -> Transactions:
        """Return the rows of train and validation, in order."""
        return self.train.then(self.validation)

    def named(self) -> dict[str, Transactions]:
        return {"train": self.train, "validation": self.validation, "test": self.test}


def parts(transactions: Transactions) -> Parts:
    """Cut by fixed shares of the time span; raise BadInput if a part lacks frauds or others."""
    times = transactions.times
    span = times[-1] - times[0]
    test_from = times[-1] - TEST_SHARE * span
    validation_from = test_from - VALIDATION_SHARE * span
    cut = Parts(
        transactions.where(times < validation_from),
        transactions.where((times >= validation_from) & (times < test_from)),
        transactions.where(times >= test_from),
    )
    for name, part in cut.named().items():
        frauds = int(part.frauds.sum())
        if min(frauds, len(part) - frauds) < MIN_ROWS_OF_A_KIND:
            raise BadInput(
                f"{frauds} of the {len(part)} {name} rows are frauds; want at least "
                f"{MIN_ROWS_OF_A_KIND} frauds and as many genuine rows in each part (train to Time "
                f"{validation_from:g}, validation to {test_from:g}, test after)"
            )
    return cut


def blocks(times: Floats, frauds: Flags, *, count: int) -> npt.NDArray[np.int64]:
    """Return int64 (n,): the block, 0 to count - 1, of each row.

    Blocks follow each other in time and hold equally many frauds, give or take those that share
    one `Time`: rows of the same second are never in two blocks.
    """
    fraud_times = times[frauds]
    starts = fraud_times[[len(fraud_times) * block // count for block in range(1, count)]]
    block_of = np.searchsorted(starts, times, side="right")
    smallest = int(np.bincount(block_of[frauds], minlength=count).min())
    if smallest < MIN_FRAUDS_PER_BLOCK:
        raise BadInput(
            f"too few frauds before the test period: {len(fraud_times)} leave {smallest} in one of "
            f"{count} blocks of time; want at least {MIN_FRAUDS_PER_BLOCK} in each"
        )
    if np.bincount(block_of[~frauds], minlength=count).min() == 0:
        raise BadInput(
            f"no genuine row in one of {count} blocks of time before the test period; want one in "
            "each: are the labels right?"
        )
    return block_of


def calibration_start(times: Floats, frauds: Flags, *, share: float) -> float:
    """Return the `Time` in seconds from which the latest `share` of the frauds happened."""
    fraud_times = times[frauds]
    return float(fraud_times[min(int(len(fraud_times) * (1 - share)), len(fraud_times) - 1)])
