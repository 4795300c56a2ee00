"""Is this tree slower than another commit? Both score one topic in turns, as separate processes.

    python -m benchmarks.gate [--base main] [--pairs 7] [--rows 300000]

Neighbours on a machine slow both members of a pair alike, so what counts is the median of the
pairs' ratios of CPU a row. Fails if that is above 1.10 with either guarantee.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from benchmarks.throughput import TOPICS, Figures, fill, make_topics
from stream_scorer.local_kafka import local_kafka

HERE = Path(__file__).parents[1]
MOST = 1.10
LONGEST_S = 300.0
KINDS = ("stream-scorer", "exactly-once")


@contextmanager
def tree_of(commit: str) -> Iterator[Path]:
    """Check a commit out beside this tree for the length of the block."""
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name) / "base"
        git = ["git", "-C", str(HERE), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), commit], check=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def score(tree: Path, kind: str, bootstrap: str, group: str, rows: int) -> Figures:
    """Let a tree's own benchmark score the topic once; return its figures."""
    done = subprocess.run(
        [
            *(sys.executable, "benchmarks/throughput.py", "--rows", str(rows)),
            *("--child", kind, bootstrap, group),
        ],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree)},
        check=True,
        stdout=subprocess.PIPE,
        timeout=LONGEST_S,
    )
    found: Figures = json.loads(done.stdout)
    return found


def refuse_other_work(here: Figures, base: Figures) -> None:
    """Exit if the two have not done the same: less work is not faster."""
    for name in ("alerts", "dead_letters"):
        if here[name] != base[name]:
            sys.exit(f"{here[name]:.0f} {name} here, {base[name]:.0f} there: not the same work")


def slower(ratios: Mapping[str, Sequence[float]]) -> list[str]:
    """Return the kinds whose CPU a row is more than allowed, by the median of the pairs."""
    return [kind for kind, each in ratios.items() if statistics.median(each) > MOST]


@click.command()
@click.option("--base", default="main", show_default=True, help="The commit to compare with.")
@click.option("--pairs", default=7, show_default=True)
@click.option("--rows", default=300_000, show_default=True)
def gate(*, base: str, pairs: int, rows: int) -> None:
    """Fail if this tree takes 10 % more CPU a row than another commit.

    \b
    Example: python -m benchmarks.gate --base HEAD~1
    """
    ratios: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with tree_of(base) as other, local_kafka(quick=False) as kafka:
        make_topics(kafka.bootstrap, TOPICS)
        fill(kafka.bootstrap, rows)
        for pair in range(pairs):
            order = [("here", HERE), ("base", other)][:: 1 if pair % 2 else -1]
            for kind in KINDS:
                found = {
                    name: score(tree, kind, kafka.bootstrap, f"{name}-{kind}-{pair}", rows)
                    for name, tree in order
                }
                refuse_other_work(found["here"], found["base"])
                cost = {name: each["cpu_us_a_row"] for name, each in found.items()}
                ratios[kind].append(cost["here"] / cost["base"])
                click.echo(
                    f"{kind}: {cost['here']:.2f} us a row here, {cost['base']:.2f} at {base}",
                    err=True,
                )
    for kind, each in ratios.items():
        lowest, highest = min(each), max(each)
        click.echo(
            f"{kind}: {statistics.median(each):.2f} times the CPU a row of {base} "
            f"({lowest:.2f} to {highest:.2f} in {pairs} pairs); at most {MOST:.2f}"
        )
    if slower(ratios):
        sys.exit(f"slower than {base}: the stages that `make bench` prints tell where")


if __name__ == "__main__":
    gate()
