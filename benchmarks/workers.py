"""What more workers give: CPU a row and rows/s of `run` with SCORER_WORKERS, on one full topic.

    python -m benchmarks.workers [--rows 3000000] [--workers 1,2,4] [--runs 3] [--json]

Each run is a supervisor with its workers, started as an operator would, and the numbers take turns.
CPU is that of all its processes, from the moment when each worker has its partitions to the last
record.
The broker has the same cores: where those are full, rows/s say what it leaves, CPU a row does not.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from benchmarks.throughput import (
    BAD_EVERY,
    FRAUDS,
    Figures,
    events,
    make_topics,
    medians_of,
    write,
)
from stream_scorer.local_kafka import local_kafka
from tests.environ import own_environ
from tests.integration.stream import Scorer, wait_for
from tests.usage import processes, usage

PARTITIONS = 4
TOPIC, OUTPUTS = "workers", ("workers-alerts", "workers-dlq")
# Seconds between two looks: each look collects the metrics of every worker.
LOOK_S = 0.2


def cpu_s(pid: int) -> float:
    """Return the seconds of CPU that a process and all that it has started have taken."""
    return sum(usage(each).cpu_s for each in processes(pid))


def run(bootstrap: str, group: str, workers: int, rows: int, folder: Path) -> Figures:
    """Score the topic with so many workers."""
    log = folder / f"{group}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "stream_scorer", "run"],
            stderr=output,
            env={
                **own_environ(),
                "SCORER_KAFKA_BOOTSTRAP_SERVERS": bootstrap,
                "SCORER_TRANSACTIONS_TOPIC": TOPIC,
                "SCORER_ALERTS_TOPIC": OUTPUTS[0],
                "SCORER_DEAD_LETTERS_TOPIC": OUTPUTS[1],
                "SCORER_GROUP_ID": group,
                "SCORER_REPLICA": group,
                "SCORER_HTTP_PORT": "0",
                "SCORER_WORKERS": str(workers),
            },
        )
    scorer = Scorer(process, log)
    try:
        wait_for("the metrics", lambda: "/metrics" in scorer.text())
        first, begun, cpu = 0.0, 0.0, 0.0
        while (done := scorer.metric("scorer_records_total")) < rows:
            if not first and scorer.text().count("Partitions assigned") >= workers:
                first, begun, cpu = done, time.perf_counter(), cpu_s(process.pid)
            time.sleep(LOOK_S)
        if not first:
            raise SystemExit(f"{workers} workers were done before each had its share: more --rows")
        wall, cpu = time.perf_counter() - begun, cpu_s(process.pid) - cpu
        memory = sum(usage(each).rss_mb for each in processes(process.pid))
    finally:
        if (code := scorer.stop()) != 0:
            raise SystemExit(f"it ended with {code}: {scorer.text()}")
    return {
        "rows_a_second": (rows - first) / wall,
        "cpu_us_a_row": cpu / (rows - first) * 1e6,
        "rss_mb": memory,
    }


def numbers(text: str) -> list[int]:
    """Return the numbers of workers that a text like 1,2,4 names; raise BadParameter."""
    try:
        return [int(each) for each in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"--workers {text!r}: want numbers such as 1,2,4") from None


@click.command()
@click.option("--rows", default=3_000_000, show_default=True)
@click.option("--workers", "text", default="1,2,4", show_default=True)
@click.option("--runs", default=3, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The figures as JSON.")
def main(*, rows: int, text: str, runs: int, as_json: bool) -> None:
    """Measure."""
    found: dict[str, list[Figures]] = {str(count): [] for count in numbers(text)}
    with local_kafka(quick=False) as kafka, tempfile.TemporaryDirectory() as folder:
        make_topics(kafka.bootstrap, [TOPIC, *OUTPUTS], partitions=PARTITIONS)
        write(kafka.bootstrap, TOPIC, events(rows, frauds=FRAUDS, bad_every=BAD_EVERY))
        for turn in range(runs):
            for count, before in found.items():
                group = f"workers-{count}-{turn}"
                before.append(run(kafka.bootstrap, group, int(count), rows, Path(folder)))
                click.echo(as_line(count, before[-1]), err=True)
    medians = medians_of(found)
    if as_json:
        click.echo(json.dumps({"rows": rows, "runs": found, "medians": medians}))
        return
    click.echo(f"{rows:,} rows on {PARTITIONS} partitions, medians of {runs}:")
    for count, each in medians.items():
        click.echo(as_line(count, each))


def as_line(count: str, figures: Figures) -> str:
    """Return the figures of so many workers as a line."""
    return (
        f"{count:>2} workers {figures['rows_a_second']:>10,.0f} rows/s  "
        f"{figures['cpu_us_a_row']:6.2f} us CPU a row  {figures['rss_mb']:.0f} MB in all"
    )


if __name__ == "__main__":
    main()
