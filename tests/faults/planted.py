"""Runs scorers with planted bugs: each must be caught, and for what it is."""

from collections.abc import Iterator

import click

from tests.faults.bugs import BUGS
from tests.faults.cluster import Cluster, cluster
from tests.faults.registry import Row
from tests.faults.runner import Scale, run_row

# Small: a bug shows at once. Little patience: one of them never comes to an end.
SCALE = Scale(records=6000, seed=1, quick=True, drain_s=15)
# Those that `make test` plants; `make faults` plants all.
FAST = (
    "one-too-far",
    "above-not-at",
    "random-id",
    "dead-letter-dropped",
    "moves-back",
    "alerts-on-all",
    "dropped-abort",
    "keeps-its-producer",
)


def caught_as(name: str, made: Cluster) -> set[str]:
    """Run the scorer with a bug; return all that was found to be broken."""
    bug = BUGS[name]
    row = Row(name, name, bug.act, (bug.guarantee,), command=("tests.faults.buggy", name))
    finished = run_row(row, bug.guarantee, made, SCALE)
    broken = set(finished.result.broken) if finished.result else set()
    # It has worked, and not come to the end.
    unfinished = finished.error.startswith("all records committed")
    return broken | ({"unfinished"} if unfinished else set())


def plant_all() -> Iterator[bool]:
    """Plant every bug; print a line for each, and yield whether it was caught."""
    with cluster() as made:
        for name, bug in BUGS.items():
            found = caught_as(name, made)
            caught = bug.seen_as in found
            verdict = "caught" if caught else f"NOT CAUGHT as {bug.seen_as}"
            click.echo(f"BUG {name}: {verdict}, found {', '.join(sorted(found)) or 'nothing'}")
            yield caught
