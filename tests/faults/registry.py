"""The rows of the table: a function each, known by its id.

To add one: in the module of its family (or a new one, named in `FAMILIES`) a function that takes a
`Trial`, sends the workload in pieces while it does harm, and returns with at least one scorer that
is kept alive; and `@row(id, title)` above it. What must hold is checked by the verifier; what else
the row finds it gives to `trial.figures`, and what else must hold to `trial.demand`.
Rows that ordinary tests show are in `ordinary.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from tests.faults.trial import Trial

BOTH = ("at-least-once", "exactly-once")
FAMILIES = (
    "processes",
    "brokers",
    "network",
    "transactions",
    "late_requests",
    "groups",
    "inputs",
    "figures",
    "topics",
    "three_brokers",
)


@dataclass(frozen=True)
class Row:
    """One fault or input, and what it takes to do it."""

    id: str
    title: str
    act: Callable[[Trial], None]
    guarantees: tuple[str, ...] = BOTH
    brokers: int = 1
    small_disk: bool = False  # the brokers' disk can be full; takes the right to mount
    command: tuple[str, ...] = ()  # the module that scores, and what it is given; else `run`
    allowed: tuple[str, ...] = ()  # what of the verdict the documentation does not promise here


ROWS: dict[str, Row] = {}
# Rows of the scorecard that are not here, with the reason.
NOT_HERE: dict[str, str] = {
    "R53": "`make soak`, which takes an hour by itself",
    "R57": "`make audit`, which could not reach a list of advisories where this was made",
}


def row(  # noqa: PLR0913 - what a row is
    name: str,
    title: str,
    *,
    guarantees: tuple[str, ...] = BOTH,
    brokers: int = 1,
    small_disk: bool = False,
    command: tuple[str, ...] = (),
    allowed: tuple[str, ...] = (),
) -> Callable[[Callable[[Trial], None]], Callable[[Trial], None]]:
    """Add the function below to the rows."""

    def add(act: Callable[[Trial], None]) -> Callable[[Trial], None]:
        if name in ROWS:
            raise ValueError(f"row {name} is there twice")
        ROWS[name] = Row(name, title, act, guarantees, brokers, small_disk, command, allowed)
        return act

    return add


def all_rows() -> dict[str, Row]:
    """Return every row, by id, in the order of ids."""
    for family in FAMILIES:
        import_module(f"tests.faults.{family}")
    return dict(sorted(ROWS.items()))
