"""`python -m benchmarks.peers`: measure, in turns; write the figures, the page and the picture."""

import json
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.peers.environments import command_of
from benchmarks.peers.measuring import Failed, Topics, backlog, latency, oracle
from benchmarks.peers.page import write
from benchmarks.peers.table import PEERS, Peer
from benchmarks.throughput import TOPICS, Figures, fill, make_topics, medians_of
from producer.figures import COLUMNS
from producer.generate import generate
from stream_scorer import __version__
from stream_scorer.local_kafka import LocalKafka, local_kafka

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs"


@click.command()
@click.option("--only", default="", help="Names, or parts of them, with commas; otherwise all.")
@click.option("--rows", default=400_000, show_default=True)
@click.option("--runs", default=3, show_default=True, help="Of each; their medians are reported.")
@click.option("--seconds", default=20.0, show_default=True, help="Of latency, of each; 0: none.")
@click.option("--write/--no-write", "keep", default=True, help="The page, or figures only.")
@click.option(
    "--environments",
    type=click.Path(path_type=Path),
    default=Path(".peers"),
    show_default=True,
    help="Where what the peers run in is made, once.",
)
def peers(
    *, only: str, rows: int, runs: int, seconds: float, keep: bool, environments: Path
) -> None:
    """Measure stream-scorer beside its peers.

    \b
    Example: python -m benchmarks.peers --only stream-scorer,Quix --runs 1 --no-write
    """
    wanted = [name.lower() for name in only.split(",")]
    chosen = [peer for peer in PEERS if any(name in peer.name.lower() for name in wanted)]
    if not chosen:
        raise click.BadParameter(f"{only!r} names none of {[peer.name for peer in PEERS]}")
    commands = {}
    for peer in chosen:
        say(f"preparing {peer.name}")
        commands[peer.name] = command_of(peer, environments)
    with local_kafka(quick=False) as kafka:
        found = measure(kafka, chosen, commands, rows=rows, runs=runs, seconds=seconds)
    found |= {
        "made": datetime.now(UTC).isoformat(timespec="minutes"),
        "command": "make bench-peers",
        "machine": machine(),
        "needs": {peer.name: [f"stream-scorer=={__version__}", *peer.needs] for peer in chosen},
    }
    if keep:
        (HERE / "figures.json").write_text(json.dumps(found, indent=1) + "\n")
        write(found, chosen, DOCS)
        say(f"{DOCS / 'peers.md'} is written")
    else:
        click.echo(json.dumps(found))


def measure(
    kafka: LocalKafka,
    chosen: list[Peer],
    commands: dict[str, list[str]],
    *,
    rows: int,
    runs: int,
    seconds: float,
) -> dict[str, Any]:
    """Run all in turn, `runs` times; then the latency of each."""
    source = TOPICS[0]
    make_topics(kafka.bootstrap, [source])
    say(f"writing {rows:,} events")
    topic = fill(kafka.bootstrap, rows)
    wanted = oracle(kafka.bootstrap, source)
    found: dict[str, list[Figures]] = {peer.name: [] for peer in chosen}
    for run in range(runs):
        for number, peer in enumerate(chosen):
            topics = Topics.make(kafka.bootstrap, f"run-{run}-{number}", source)
            try:
                each = backlog(peer, commands[peer.name], kafka.bootstrap, topics, wanted)
            except Failed as exc:
                sys.exit(str(exc))
            say(f"run {run + 1} of {runs}: {peer.name}: {shown(each)}")
            found[peer.name].append(each)
    waits: dict[str, Figures] = {}
    if seconds:
        sample = np.concatenate(list(generate(20_000, seed=1, fraud_rate=0.05)))
        for number, peer in enumerate(chosen):
            topics = Topics.make(kafka.bootstrap, f"latency-{number}")
            try:
                waits[peer.name] = latency(
                    *(peer, commands[peer.name], kafka.bootstrap, topics),
                    sample[:, : len(COLUMNS) - 1],
                    seconds=seconds,
                )
            except Failed as exc:
                sys.exit(str(exc))
            say(f"latency: {peer.name}: {shown(waits[peer.name])}")
    alerts = {"alerts": len(wanted)}
    medians = medians_of(found)
    return {"topic": topic | alerts, "runs": found, "medians": medians, "latency": waits}


def shown(figures: Figures) -> str:
    """Return figures as a line."""
    return ", ".join(f"{name} {value:,.7g}" for name, value in figures.items())


def machine() -> dict[str, str]:
    """Return what was measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    memory = Path("/proc/meminfo").read_text().split()[1]
    return {
        "processor": f"{len(models)} x {models[0] if models else platform.machine()}",
        "memory": f"{int(memory) / 1e6:.0f} GB",
        "python": platform.python_version(),
        "kernel": platform.release(),
    }


def say(text: str) -> None:
    """Tell a person how far it is."""
    click.echo(text, err=True)


if __name__ == "__main__":
    peers()
