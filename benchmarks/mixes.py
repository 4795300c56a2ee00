"""What alerts, bad records, Avro, features and length cost: CPU a row of the service, on Kafka.

    python -m benchmarks.mixes [--rows 200000] [--runs 3] [--long 10000000] [--json]

Each case has a topic of its own and each run is a process of its own; the cases take turns. The
last one is a single long run under a limit of 512 MB, looked at after 100,000 rows, a million, and
at its end.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from prometheus_client import CollectorRegistry

from benchmarks.throughput import (
    BAD_EVERY,
    FRAUDS,
    TOPICS,
    Figures,
    counter_of,
    events,
    fill,
    make_topics,
    medians_of,
    run_service,
    settings_for,
    write,
)
from producer.avro import AvroEncoder
from stream_scorer.config import Settings
from stream_scorer.events import Event
from stream_scorer.health import Health
from stream_scorer.local_kafka import local_kafka
from stream_scorer.metrics import STAGES
from stream_scorer.registry import connect
from stream_scorer.run import assemble, settle_memory
from tests.bundles import metadata
from tests.integration.schema_registry import schema_registry
from tests.usage import usage

HIDDEN = (64, 32, 16)  # the shipped model's
WIDTHS = (5, 30, 100, 300)
# Bytes of memory of its own: beyond that the kernel gives the long run no more.
LIMIT = 512 * 2**20


@dataclass(frozen=True)
class Case:
    """What one topic holds."""

    name: str
    topic: str
    frauds: float = FRAUDS
    bad_every: int = BAD_EVERY
    features: int = 0  # of a made-up model; 0: the shipped one
    avro: bool = False


MIXES = (
    Case("0.3 % alerts, 0.1 % bad", "usual"),
    Case("1 % alerts", "alerts-1", frauds=0.0135),
    Case("10 % alerts", "alerts-10", frauds=0.135),
    Case("1 % bad", "bad-1", bad_every=100),
    Case("50 % bad", "bad-50", bad_every=2),
)
AVRO = Case("the first, in Avro", "avro", avro=True)
CASES = (*MIXES, AVRO, *(Case(f"{n} features", f"features-{n}", features=n) for n in WIDTHS))


def write_model(path: Path, features: int) -> None:
    """Write a bundle of the shipped model's layers on any number of features; it never alerts."""
    random = np.random.default_rng(1)
    nodes = [helper.make_node("Cast", ["features"], ["x0"], to=TensorProto.FLOAT)]
    constants = [numpy_helper.from_array(np.array([-1]), "flat")]
    sizes = (features, *HIDDEN, 1)
    for i, (before, after) in enumerate(pairwise(sizes)):
        weights = random.normal(0, before**-0.5, (before, after)).astype(np.float32)
        bias = np.full(after, -9.0 if after == 1 else 0.0, dtype=np.float32)
        constants += [numpy_helper.from_array(weights, f"w{i}")]
        constants += [numpy_helper.from_array(bias, f"b{i}")]
        nodes += [helper.make_node("Gemm", [f"x{i}", f"w{i}", f"b{i}"], [f"y{i}"])]
        nodes += [helper.make_node("Relu" if after > 1 else "Identity", [f"y{i}"], [f"x{i + 1}"])]
    nodes += [helper.make_node("Reshape", [f"x{len(sizes) - 1}", "flat"], ["logit"])]
    nodes += [helper.make_node("Sigmoid", ["logit"], ["probability"])]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch"])
        for name in ("logit", "probability")
    ]
    rows = helper.make_tensor_value_info("features", TensorProto.DOUBLE, ["batch", features])
    graph = helper.make_graph(nodes, "wide", [rows], outputs, constants)
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    golden = np.zeros((4, features))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    logit, probability = session.run(["logit", "probability"], {"features": golden})
    shown = {"features": golden, "logit": logit, "probability": probability}
    entries = metadata(
        feature_names=json.dumps(names(features)),
        baseline=json.dumps([0.0] * features),
        golden=json.dumps({name: values.tolist() for name, values in shown.items()}),
    )
    helper.set_model_props(model, entries)
    onnx.save(model, path)


def names(features: int) -> list[str]:
    """Return the names of a made-up model's features."""
    return [f"V{i}" for i in range(features)]


def wide_events(rows: int, features: int) -> Iterator[bytes]:
    """Yield the values of events of that many features."""
    random, columns = np.random.default_rng(1), names(features)
    for sent in range(rows):
        event = dict(zip(columns, random.normal(size=features).tolist(), strict=True))
        yield msgspec.json.encode({"transaction_id": f"t-{sent:09d}", **event})


def in_avro(values: Iterable[bytes], url: str) -> Iterator[bytes]:
    """Yield events in Avro as `replay` writes them; one that is cut short stays so."""
    encode = AvroEncoder(connect(Settings(format="avro", registry_url=url)), AVRO.topic)
    written = b""
    for value in values:
        try:
            found = encode(Event("", value, None))
        except msgspec.DecodeError:
            yield written[:-9]
            continue
        if isinstance(found, str):
            raise SystemExit(found)
        written = found
        yield written


def run_case(case: Case, bootstrap: str, group: str, rows: int, folder: Path, url: str) -> Figures:
    """Score one case's topic in this process; `url` is the schema registry's."""
    changes: dict[str, Any] = {"transactions_topic": case.topic}
    if case.avro:
        changes |= {"format": "avro", "registry_url": url}
    if case.features:
        changes["model"] = folder / f"{case.features}.onnx"
    return run_service(bootstrap, group, rows, **changes)


def run_long(bootstrap: str, rows: int) -> list[Figures]:
    """Score a long topic in this process; look at it after 10^5 rows, 10^6, ..., and at the end."""
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))
    registry = CollectorRegistry()
    service, *_ = assemble(settings_for(bootstrap, "long"), registry, Health())
    count, looks = counter_of(registry), list[Figures]()

    def observe() -> None:
        while not (first := count()):
            time.sleep(0.001)
        begun = time.process_time()
        for stop in (10**5, 10**6, 10**7, rows):
            if stop > rows or (looks and looks[-1]["rows"] >= stop):
                continue
            while (now := count()) < stop:
                time.sleep(0.005)
            cpu = (time.process_time() - begun) / (now - first) * 1e6
            rss = usage(os.getpid()).rss_mb
            looks.append({"rows": now, "cpu_us_a_row": cpu, "rss_mb": rss})
        service.stop()

    settle_memory()
    watcher = threading.Thread(target=observe, daemon=True)  # the service may end by an error
    watcher.start()
    service.run()
    watcher.join()
    return looks


def child(*arguments: str) -> Any:  # noqa: ANN401 - JSON
    """Run this module in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.mixes", "--child", json.dumps(arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(done.stdout)


def answer(bootstrap: str, rows: str, name: str, group: str, folder: str, url: str) -> object:
    """Do what `child` was asked for."""
    if name == "long":
        return run_long(bootstrap, int(rows))
    case = next(case for case in CASES if case.name == name)
    return run_case(case, bootstrap, group, int(rows), Path(folder), url)


def measure(bootstrap: str, *, rows: int, runs: int, long: int) -> dict[str, Any]:
    """Fill the topics, run the cases in turns, then the long one."""
    make_topics(bootstrap, [*TOPICS, *(case.topic for case in CASES)])
    runs_of: dict[str, list[Figures]] = {case.name: [] for case in CASES}
    with tempfile.TemporaryDirectory() as folder, schema_registry(Path(folder)) as registry:
        sizes = {}
        for case in CASES:
            if case.features:
                write_model(Path(folder) / f"{case.features}.onnx", case.features)
                values = wide_events(rows, case.features)
            else:
                values = events(rows, frauds=case.frauds, bad_every=case.bad_every)
                if case.avro:
                    values = in_avro(values, registry.url)
            sizes[case.name] = write(bootstrap, case.topic, values)["bytes_a_row"]
        for run in range(runs):
            for case in CASES:
                group = f"{case.topic}-{run}"
                found = child(bootstrap, str(rows), case.name, group, folder, registry.url)
                runs_of[case.name].append(found)
                click.echo(as_line(case.name, found, rows), err=True)
        medians = medians_of(runs_of)
        looks: list[Figures] = []
        if long:
            click.echo(f"writing {long:,} events", err=True)
            fill(bootstrap, long)
            looks = child(bootstrap, str(long), "long", "long", folder, registry.url)
    return {"rows": rows, "bytes_a_row": sizes, "medians": medians, "runs": runs_of, "long": looks}


def as_line(name: str, figures: Mapping[str, float], rows: int) -> str:
    """Return one case's figures as a line: what a row costs, and in which stage."""
    stages = "  ".join(f"{stage} {figures[f'{stage}_us_a_row']:.2f}" for stage in STAGES)
    shares = f"{figures['alerts'] / rows:6.2%} alerts {figures['dead_letters'] / rows:6.2%} bad"
    return f"{name:24} {figures['cpu_us_a_row']:6.2f} us CPU a row  {shares}  {stages}"


@click.command()
@click.option("--rows", default=200_000, show_default=True, help="Of each case.")
@click.option("--runs", default=3, show_default=True)
@click.option("--long", default=10_000_000, show_default=True, help="Rows of the last; 0: none.")
@click.option("--json", "as_json", is_flag=True)
@click.option("--child", "asked", hidden=True)
def main(*, rows: int, runs: int, long: int, as_json: bool, asked: str | None) -> None:
    """Measure."""
    if asked:
        click.echo(json.dumps(answer(*json.loads(asked))))
        return
    with local_kafka(quick=False) as kafka:
        found = measure(kafka.bootstrap, rows=rows, runs=runs, long=long)
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(f"{rows:,} rows each, medians of {runs}; stages are wall time in us a row:")
    for name, each in found["medians"].items():
        click.echo(as_line(name, each, rows))
    for look in found["long"]:
        click.echo(
            f"after {look['rows']:>12,} rows  {look['cpu_us_a_row']:.2f} us CPU a row  "
            f"{look['rss_mb']:.0f} MB"
        )


if __name__ == "__main__":
    main()
