"""The figures that synthetic transactions are drawn from, as fit.py writes and generate.py reads.

None of them is a row: quantiles of one column at a time, correlations, rates and shares.
"""

from importlib.resources import files

import msgspec

FEATURES = (*(f"V{i}" for i in range(1, 29)), "Amount")
COLUMNS = ("Time", *FEATURES, "Class")  # the order of the ULB data


class Component(msgspec.Struct, frozen=True):
    """One Gaussian copula with its marginals."""

    share: float  # of its class, 0 to 1
    reach: float  # standard deviations: the knots lie evenly from -reach to +reach
    values: list[list[float]]  # [feature][knot], ascending: the feature's value at that knot
    mixing: list[list[float]]  # [feature][: feature + 1], Cholesky factor of the correlations


class Figures(msgspec.Struct, frozen=True):
    """All of synthetic.json."""

    source: str
    fraud_rate: float  # frauds among all rows of the real data
    hourly: list[float]  # rows in each hour of the two days
    cents: list[float]  # share of genuine amounts >= 10 that end in .00, .01, ... .99
    genuine: list[Component]
    fraud: list[Component]


def read_figures() -> Figures:
    """Return the figures that travel with the package."""
    text = files("producer").joinpath("synthetic.json").read_bytes()
    return msgspec.json.decode(text, type=Figures)
