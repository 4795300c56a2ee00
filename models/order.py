"""What a comparison is asked for, and how it gives account of that."""

from dataclasses import asdict, dataclass
from typing import Any

from models.fits import Budget
from models.look import counts
from models.reading import TrainingFile
from models.scaling import Scaling
from models.transactions import AMOUNT, TIME, Sampling


@dataclass(frozen=True, slots=True)
class Order:
    """What to compare and how; costs in the currency of Amount."""

    budget: Budget
    seed: int
    threshold: float
    false_alert_cost: float
    # None for the mean Amount of a fraud before the test.
    missed_fraud_cost: float | None
    # The rows' weights, and why they are what they are, in a sentence.
    sampling: Sampling
    why_weighted: str
    # What to type to get the same figures again.
    command: str
    # Origin and licence of the file.
    source: str


def described(file: TrainingFile, order: Order) -> dict[str, Any]:
    """Return what was read and how it counts, JSON throughout."""
    return {
        "name": file.name,
        "sha256": file.sha256,
        "source": order.source,
        "weights": order.why_weighted,
        "genuine_weight": order.sampling.genuine_weight,
        "complete_until": order.sampling.complete_until,
        "repeated_rows_left_out": file.repeated,
        "repeated_frauds_left_out": file.repeated_frauds,
        "other_columns_dropped": list(file.dropped),
        "sorted_by_time_here": file.sorted_here,
        **counts(file.transactions),
    }


def stated(budget: Budget) -> dict[str, Any]:
    """Return the budget; the recipe stands with its model."""
    return {name: value for name, value in asdict(budget).items() if name != "recipe"}


def in_units(scaling: Scaling) -> dict[str, float | None]:
    """Return what Amount and Time were scaled by; None where they never varied."""

    def spread(column: int) -> float | None:
        return float(1 / scaling.factor[column]) if scaling.factor[column] else None

    return {
        "amount_median": float(scaling.centre[AMOUNT]),
        "amount_quartile_distance": spread(AMOUNT),
        "time_min_s": float(scaling.centre[TIME]),
        "time_span_s": spread(TIME),
    }
