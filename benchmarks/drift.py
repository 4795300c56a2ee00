"""Population stability indices of a file against a bundle's training, by stretches of its Time.

python benchmarks/drift.py creditcard.parquet --hours 24
"""

import json
from pathlib import Path

import click
import numpy as np
import pandas as pd

from models import reading
from stream_scorer.config import SHIPPED_MODEL
from stream_scorer.drift import FEWEST_ROWS, stability_index
from stream_scorer.model import Model


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True))
@click.option("--model", type=click.Path(path_type=Path), default=SHIPPED_MODEL)
@click.option("--hours", type=float, default=24.0, help="Length of a stretch.")
@click.option("--json", "as_json", is_flag=True)
def main(file: Path, *, model: Path, hours: float, as_json: bool) -> None:
    """Print the five largest indices of each stretch that has enough rows."""
    bundle = Model.load(model)
    table, _ = reading.read_table(file)
    features = reading.to_features(table, bundle.feature_names, file.name)
    time = pd.to_numeric(table["Time"]).to_numpy()
    found = []
    for start in np.arange(0, time.max(), hours * 3600):
        rows = features[(time >= start) & (time < start + hours * 3600)]
        if len(rows) < FEWEST_ROWS:
            continue
        indices = {
            name: stability_index(
                histogram, histogram.count(rows[:, bundle.feature_names.index(name)])
            )
            for name, histogram in bundle.histograms.items()
        }
        if bundle.score_histogram:
            logit, _ = bundle.score(rows)
            indices["score"] = stability_index(
                bundle.score_histogram, bundle.score_histogram.count(logit)
            )
        largest = sorted(indices.items(), key=lambda each: -each[1])[:5]
        found.append({"from_hour": start / 3600, "rows": len(rows), "largest": dict(largest)})
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        for each in found:
            worst = ", ".join(f"{name} {value:.2f}" for name, value in each["largest"].items())
            click.echo(f"from hour {each['from_hour']:5.1f}  {each['rows']:6d} rows  {worst}")


if __name__ == "__main__":
    main()
