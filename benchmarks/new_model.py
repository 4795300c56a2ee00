"""What a challenger costs a row, and how long a batch waits while a new model comes in.

    python benchmarks/new_model.py [--batches 400] [--runs 5] [--json]

No Kafka: the same batches of 512 events go through the scorer, with and without a challenger in
turns; then a file is replaced under a scorer at work, and each batch is timed by what the model was
doing meanwhile. Ratios hold on a shared machine, absolute figures move.
"""

import json
import shutil
import statistics
import tempfile
import threading
import time
from pathlib import Path

import click
import msgspec
import numpy as np
from confluent_kafka import Message
from prometheus_client import CollectorRegistry

from producer.figures import COLUMNS
from producer.generate import generate
from stream_scorer.config import SHIPPED_MODEL, Settings
from stream_scorer.live import LiveScorer
from stream_scorer.metrics import Metrics
from stream_scorer.model import Model
from stream_scorer.reload import Reloader, signature
from stream_scorer.run import build_scorer, settle_memory
from stream_scorer.scorer import Scorer

ROWS = 512
SHADOW_ROWS = 20_000
Batch = list[Message]


def make_batches(count: int) -> list[Batch]:
    """Return batches of synthetic events, 0.3 % of them alerts."""
    rows = np.concatenate(list(generate(count * ROWS, seed=1, fraud_rate=0.004)))[:, :-1]
    rows[:, 1:29] += np.random.default_rng(1).normal(0, 1e-9, (len(rows), 28))
    return [
        [
            Message(
                topic="bench",
                partition=0,
                offset=start + i,
                value=msgspec.json.encode(dict(zip(COLUMNS, row, strict=False))),
                timestamp=(1, 1_700_000_000_000),
            )
            for i, row in enumerate(rows[start : start + ROWS].tolist())
        ]
        for start in range(0, len(rows), ROWS)
    ]


def cpu_us_a_row(scorer: Scorer, batches: list[Batch]) -> float:
    """Return the CPU time of one pass."""
    start = time.process_time()
    for batch in batches:
        scorer(batch)
    return (time.process_time() - start) / (len(batches) * ROWS) * 1e6


def challenger_cost(batches: list[Batch], runs: int) -> dict[str, float]:
    """Score the same batches with and without a challenger, in turns."""
    model = Model.load(SHIPPED_MODEL)
    alone = build_scorer(Settings(), model, cluster_id="", second=None)
    beside = build_scorer(Settings(), model, cluster_id="", second=Model.load(SHIPPED_MODEL))
    settle_memory()
    pairs = [
        (cpu_us_a_row(alone, batches), cpu_us_a_row(beside, batches)) for _ in range(runs + 1)
    ][1:]
    return {
        "alone_us_a_row": statistics.median(a for a, _ in pairs),
        "challenger_us_a_row": statistics.median(b - a for a, b in pairs),
    }


def reload_pause(batches: list[Batch], folder: Path) -> dict[str, float]:
    """Replace the model's file under a scorer at work; time each batch by what went on."""
    path = folder / "fraud.onnx"
    shutil.copy(SHIPPED_MODEL, path)
    seen = signature(path)
    metrics = Metrics(CollectorRegistry(), Model.load(path))
    settings = Settings(model=path)
    offered = threading.Event()

    def build(model: Model) -> Scorer:
        return build_scorer(settings, model, cluster_id="", second=None)

    live = LiveScorer(build(Model.load(path)), metrics, group="g", shadow_rows=SHADOW_ROWS)

    def offer(model: Model) -> None:
        live.offer(build(model))
        offered.set()

    failures: list[str] = []
    reloader = Reloader(path, pin="", seen=seen, offer=offer, refuse=failures.append)
    before = live.model.sha256
    waits: dict[str, list[float]] = {"usual": [], "loading": [], "shadow": [], "after": []}

    def turn(batch: Batch) -> None:
        """Do what the loop does; a batch waits for its scores and for the shadow before it."""
        start = time.perf_counter()
        outcome = live(batch)
        live.shadow(batch, outcome)
        seconds = time.perf_counter() - start
        swapped, shadow = live.model.sha256 != before, offered.is_set()
        waits["after" if swapped else "shadow" if shadow else state].append(seconds)

    state = "usual"
    settle_memory()
    for batch in batches:
        turn(batch)
    beside = folder / "new"
    beside.write_bytes(another(SHIPPED_MODEL.read_bytes()))
    beside.replace(path)
    with reloader.looking(lambda exc: failures.append(str(exc))):
        state = "loading"
        while len(waits["after"]) < len(batches) and not failures:
            for batch in batches:
                turn(batch)
    if failures:
        raise click.ClickException(failures[0])
    return summarise(waits)


def summarise(waits: dict[str, list[float]]) -> dict[str, float]:
    """Return medians as ratios to the usual one, and the longest waits in milliseconds."""
    usual = statistics.median(waits["usual"])
    found = {"usual_ms": usual * 1e3, "usual_max_ms": max(waits["usual"]) * 1e3}
    for state in ("loading", "shadow", "after"):
        found[f"{state}_times_usual"] = statistics.median(waits[state]) / usual
        found[f"{state}_max_ms"] = max(waits[state]) * 1e3
    return found


def another(content: bytes) -> bytes:
    """Return the same model under another version, so under another sha256."""
    import onnx

    model = onnx.load_from_string(content)
    entries = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, {**entries, "version": "bench"})
    changed: bytes = model.SerializeToString()
    return changed


@click.command()
@click.option("--batches", type=click.IntRange(10), default=400)
@click.option("--runs", type=click.IntRange(1), default=5)
@click.option("--json", "as_json", is_flag=True)
def main(*, batches: int, runs: int, as_json: bool) -> None:
    """Measure both."""
    prepared = make_batches(batches)
    with tempfile.TemporaryDirectory() as folder:
        found = challenger_cost(prepared, runs) | reload_pause(prepared, Path(folder))
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        for name, value in found.items():
            click.echo(f"{name:24} {value:8.3f}")


if __name__ == "__main__":
    main()
