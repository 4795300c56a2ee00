"""The monitor on a million events: memory is flat, figures are those computed anew.

    python -m benchmarks.monitor [--events 1000000] [--keep 20000] [--json]

Starts a Kafka and a monitor, writes scores, alerts and labels as fast as they are read, and looks
at the monitor's memory. Exits 1 if it grows after the monitor began to let transactions go, or if a
figure is not that of an offline computation on the same topics, to the last digit.
"""

import json
import random
import tempfile
import time
from pathlib import Path

import click
import numpy as np

from stream_scorer.local_kafka import local_kafka
from tests.integration.monitored import BEGIN_MS, Monitor, Watched, watched
from tests.integration.stream import wait_for
from tests.usage import usage

# Of the memory at the middle: how much more there may be at the end.
MOST_GROWTH = 0.05
LONGEST_S = 3600.0


@click.command()
@click.option("--events", default=1_000_000, help="Scores, alerts and labels in all.")
@click.option("--keep", default=20_000, help="SCORER_MONITOR_KEEP.")
@click.option("--json", "as_json", is_flag=True, help="The figures as JSON.")
def main(*, events: int, keep: int, as_json: bool) -> None:
    """Measure the monitor's memory and rate, and check its figures."""
    with (
        tempfile.TemporaryDirectory(prefix="million-") as folder,
        local_kafka(quick=False) as kafka,
        watched(kafka.bootstrap, Path(folder)) as topics,
    ):
        monitor = topics.start(SCORER_MONITOR_KEEP=str(keep))
        monitor.wait_owner()
        begun = time.monotonic()
        rss_mb = feed(topics, monitor, events, ahead=keep // 4)
        wait_for("all events", lambda: read(topics, monitor) >= events, timeout_s=LONGEST_S)
        seconds = time.monotonic() - begun
        topics.wait_figures(timeout_s=LONGEST_S)
    # Half of a run is long behind the moment when transactions began to be let go.
    half = rss_mb[len(rss_mb) // 2 :]
    growth = float(np.polyfit(np.arange(len(half)), half, 1)[0]) * len(half) / half[0]
    found = {
        "events": events,
        "keep": keep,
        "events_a_second": round(events / seconds),
        "rss_mb_at_the_middle": round(half[0]),
        "rss_mb_at_the_end": round(half[-1]),
        "growth": round(growth, 4),
        "figures": "as computed anew",
    }
    print(json.dumps(found) if as_json else "\n".join(f"{k}: {v}" for k, v in found.items()))
    if growth > MOST_GROWTH:
        raise SystemExit(f"the memory grows by {growth:.1%} in the second half")


def feed(topics: Watched, monitor: Monitor, events: int, *, ahead: int) -> list[float]:
    """Write events, about `ahead` of the monitor at most; return its memory in MB meanwhile.

    What is written at once is far less than is held: the topics are read side by side, not by time.
    """
    rng = random.Random(0)  # noqa: S311 - no secret
    written, number = 0, 0
    rss_mb: list[float] = []
    while written < events:
        for _ in range(ahead // 2):
            logit = rng.gauss(-2, 2.5)  # so many alerts that they are let go soon, too
            topics.score(number, logit=logit, alert=logit > 1.4, time_ms=BEGIN_MS + number * 20)
            written += 1 + (logit > 1.4)
            if rng.random() < 0.2:
                about = max(0, number - rng.randint(0, ahead // 2))
                label = rng.choice([0, 0, 0, 1])
                topics.label(about, label, time_ms=BEGIN_MS + number * 20 + 1000)
                written += 1
            number += 1
        topics.flush()
        wait_for(
            "the monitor",
            lambda: read(topics, monitor) > written - ahead,  # noqa: B023 - called at once
            timeout_s=LONGEST_S,
        )
        rss_mb.append(usage(monitor.process.pid).rss_mb)
    return rss_mb


def read(topics: Watched, monitor: Monitor) -> float:
    """Return how many records the monitor has read."""
    names = [f'monitor_records_total{{topic="{topic}"}}' for topic in topics.sources]
    return sum(max(0.0, monitor.metric(name)) for name in names)


if __name__ == "__main__":
    main()
