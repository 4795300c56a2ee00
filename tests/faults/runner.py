"""Runs rows one after the other on real brokers, and says what came of each."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click

from tests.faults.cluster import Cluster, cluster
from tests.faults.oracle import Workload
from tests.faults.registry import Row
from tests.faults.table import Finished
from tests.faults.trial import trial

PARTITIONS = 6
# Characters of a failure that one line shows; the folder that is named has the rest.
SHOWN = 600


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    records: int
    seed: int
    quick: bool = False  # fewer and shorter faults
    drain_s: float = 180.0  # within which all is committed once the last fault is over


def run_rows(chosen: Sequence[tuple[Row, str]], scale: Scale) -> Iterator[Finished]:
    """Run each row with its guarantee; rows that want the same brokers share them."""
    kinds = sorted({(row.brokers, row.small_disk) for row, _ in chosen})
    for brokers, small_disk in kinds:
        with cluster(brokers=brokers, small_disk=small_disk) as made:
            for row, guarantee in chosen:
                if (row.brokers, row.small_disk) == (brokers, small_disk):
                    yield run_row(row, guarantee, made, scale)


def run_row(
    row: Row,
    guarantee: str,
    made: Cluster,
    scale: Scale,
    *,
    say: Callable[[str], None] = click.echo,
) -> Finished:
    """Run one row with one guarantee, print its CHECK line; its logs stay if it does not hold."""
    folder = Path(tempfile.mkdtemp(prefix=f"faults-{row.id}-"))
    workload = Workload(scale.seed, scale.records, PARTITIONS)
    begun = time.monotonic()
    result, error = None, ""
    with ExitStack() as stack:
        stack.callback(made.mend)
        one = stack.enter_context(
            trial(row.id, guarantee, made, workload, folder, quick=scale.quick)
        )
        one.command = row.command
        try:
            row.act(one)
            one.finish(scale.drain_s)
            result = one.verdict(row.allowed)
        except (TimeoutError, AssertionError, subprocess.TimeoutExpired) as exc:
            error = str(exc)
    finished = Finished(row, guarantee, time.monotonic() - begun, result, error)
    if result is not None:
        say(f"{result.line()} [{finished.seconds:.0f} s]")
    else:
        say(f"CHECK {row.id} {guarantee}: BROKEN OFF: {error[-SHOWN:]} [{finished.seconds:.0f} s]")
    if finished.holds:
        shutil.rmtree(folder)
    else:
        say(f"  logs: {folder}")
    return finished
