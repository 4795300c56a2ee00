"""Draws docs/dashboard.png: each panel of the dashboard, from its own queries to a real Prometheus.

    python -m tests.dashboard_picture [--minutes 14] [--output docs/dashboard.png]

The composition's processes run on this machine (tests/integration/installed.py) while three things
go wrong, as STORY says. Grafana reads the same file and asks the same queries; colours are its own.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from confluent_kafka import Producer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import EngFormatter

from stream_scorer.config import Settings
from tests.compose import started
from tests.environ import own_environ
from tests.integration.installed import Installation, installed
from tests.test_deploy import dashboard, expressions

BAD = 600
BAD_RATE = 10
STORY = (
    f"labels come after a minute; A: {BAD:,} records that cannot be scored; "
    "B: one of two scorers is killed; C: it is back"
)
# Of the whole time.
AT = {"A": 0.4, "B": 0.6, "C": 0.75}
RATE = 500
# Seconds between two points of a line.
STEP_S = 10
# Inches of one unit of the dashboard's grid, which is 24 wide.
WIDTH, HEIGHT = 0.7, 0.36
# Of Grafana's "short", "s", "percentunit" and "bytes".
UNITS: Mapping[str, Callable[[float], str]] = {
    "short": EngFormatter(sep="").format_eng,
    "s": EngFormatter("s", sep=" ").format_eng,
    "percentunit": lambda value: f"{100 * value:.3g}%",
    "bytes": EngFormatter("B", sep=" ").format_eng,
}
# Grafana's names of colours, light enough for black text.
GROUNDS = {"red": "#f2a0a0", "green": "#a6d8a8", "orange": "#ffd08a", "yellow": "#ffeb99"}
MOST_NAMED, LONGEST_NAME = 5, 32


@dataclass(frozen=True)
class Seen:
    """What was asked, over what time, and where in it something happened."""

    begin: float
    end: float
    marks: Mapping[str, float]
    answers: Mapping[str, Sequence[Any]]  # query -> series


def label(target: Mapping[str, Any], metric: Mapping[str, str]) -> str:
    """Return a series' name as the panel has it."""
    return re.sub(r"{{ *(\w+) *}}", lambda found: metric.get(found[1], ""), target["legendFormat"])


def draw_stat(axes: Axes, panel: Mapping[str, Any], seen: Seen) -> None:
    """Draw the last value of the one series, on the colour of its threshold."""
    defaults = panel["fieldConfig"]["defaults"]
    series = seen.answers[panel["targets"][0]["expr"]]
    axes.set_axis_off()
    axes.set_title(panel["title"], fontsize=9, loc="left")
    if not series:
        axes.text(0.5, 0.5, "No data", ha="center", va="center")
        return
    value = float(series[0]["values"][-1][1])
    steps = defaults.get("thresholds", {"steps": ()})["steps"]
    reached = [each["color"] for each in steps if value >= (each["value"] or 0)]
    axes.add_patch(Rectangle((0, 0), 1, 1, color=GROUNDS[reached[-1]] if reached else "#eeeeee"))
    text = UNITS[defaults["unit"]](float(f"{value:.3g}"))
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=20)


def draw_lines(axes: Axes, panel: Mapping[str, Any], seen: Seen) -> None:
    """Draw each series of each query over the minutes."""
    for target in panel["targets"]:
        for each in seen.answers[target["expr"]]:
            moments, values = zip(*each["values"], strict=True)
            minutes = [(moment - seen.begin) / 60 for moment in moments]
            name = label(target, each["metric"])
            axes.plot(minutes, [float(value) for value in values], linewidth=1.2, label=name)
    for name, moment in seen.marks.items():
        at = (moment - seen.begin) / 60
        axes.axvline(at, color="#999999", linewidth=0.8, linestyle=":")
        axes.annotate(name, (at, 1), xycoords=("data", "axes fraction"), fontsize=6, va="bottom")
    axes.set_title(panel["title"], fontsize=9, loc="left")
    axes.set_xlim(0, (seen.end - seen.begin) / 60)
    axes.set_ylim(bottom=panel["fieldConfig"]["defaults"].get("min"))
    unit = UNITS[panel["fieldConfig"]["defaults"]["unit"]]
    axes.yaxis.set_major_formatter(lambda value, _: unit(value))
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e4e4e4")
    if axes.lines[len(seen.marks) :]:
        handles, names = axes.get_legend_handles_labels()
        short = [name[:LONGEST_NAME] for name in names[:MOST_NAMED]]
        axes.legend(handles[:MOST_NAMED], short, fontsize=6, frameon=False)
    else:
        axes.text(0.5, 0.5, "No data", ha="center", va="center", transform=axes.transAxes)


def draw(seen: Seen, file: Path) -> None:
    """Draw all panels where the dashboard has them."""
    panels = dashboard()["panels"]
    rows = 2 + max(each["gridPos"]["y"] + each["gridPos"]["h"] for each in panels)
    figure = Figure((24 * WIDTH, rows * HEIGHT))
    figure.text(0.01, 1 - 0.5 / rows, "stream-scorer", fontsize=14, va="center")
    figure.text(0.12, 1 - 0.5 / rows, f"{RATE} transactions/s; {STORY}", fontsize=9, va="center")
    for panel in panels:
        at = panel["gridPos"]
        left, top = at["x"] / 24, 1 - (at["y"] + 1) / rows
        if panel["type"] == "row":
            figure.text(left + 0.01, top - 0.5 / rows, panel["title"], weight="bold", va="center")
            continue
        axes = figure.add_axes(
            (
                left + 0.7 / 24,
                top - (at["h"] - 0.9) / rows,
                (at["w"] - 1) / 24,
                (at["h"] - 2) / rows,
            )
        )
        (draw_stat if panel["type"] == "stat" else draw_lines)(axes, panel, seen)
    figure.savefig(file)


def live_through(found: Installation, folder: Path, seconds: float) -> Seen:
    """Let the story happen; return what Prometheus saw of it."""
    begin, marks = time.time(), {}

    def wait(name: str) -> None:
        time.sleep(max(0.0, begin + AT[name] * seconds - time.time()))
        marks[name] = time.time()

    asked = ["replay", "--generate", str(int(2 * seconds * RATE)), "--rate", str(RATE), "--labels"]
    replay = subprocess.Popen(
        [sys.executable, "-m", "stream_scorer", *asked, "--label-delay", "60"],
        env={**own_environ(), "SCORER_KAFKA_BOOTSTRAP_SERVERS": found.kafka},
        cwd=folder,
    )
    with ExitStack() as stack:
        stack.callback(replay.terminate)
        wait("A")
        producer = Producer({"bootstrap.servers": found.kafka})
        for number in range(BAD):
            producer.produce(Settings().transactions_topic, b"{", str(number))
            producer.poll(1 / BAD_RATE)
        producer.flush(30)
        wait("B")
        first = found.scorers[0]
        os.kill(first.process.pid, signal.SIGKILL)
        wait("C")
        port = first.environ["SCORER_HTTP_PORT"]
        stack.enter_context(started(first.name, folder, found.here, SCORER_HTTP_PORT=port))
        time.sleep(max(0.0, begin + seconds - time.time()))
        end = time.time()
        answers = {each: found.watch.over(each, begin, end, STEP_S) for each in expressions()}
        if replay.poll() is not None:
            sys.exit(f"the replay has ended with exit code {replay.returncode}")
    replay.wait(30)
    return Seen(begin, end, marks, answers)


@click.command()
@click.option("--minutes", default=14.0, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=Path("docs/dashboard.png"))
def main(*, minutes: float, output: Path) -> None:
    """Run all, let things go wrong, draw."""
    with tempfile.TemporaryDirectory() as name, installed(Path(name)) as found:
        seen = live_through(found, Path(name), minutes * 60)
    draw(seen, output)
    click.echo(f"{output} is written")


if __name__ == "__main__":
    main()
