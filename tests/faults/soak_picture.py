"""Draws what a soak saw: memory, file descriptors, lag and latency over its time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.usage import Usage

Buckets = Mapping[float, float]  # upper bound in seconds -> how many at most that long, so far


@dataclass(frozen=True, slots=True)
class Look:
    """A scorer at one moment."""

    at_s: float  # since the begin
    usage: Usage
    lag: int
    latency: Buckets  # from a transaction's timestamp to its alert's acknowledgement


def quantile(before: Buckets, after: Buckets, share: float) -> float | None:
    """Return the seconds below which a share of what came between two looks stays; None: nothing.

    Linear within a bucket, as Prometheus' histogram_quantile has it.
    """
    counts = [(bound, after[bound] - before.get(bound, 0)) for bound in sorted(after)]
    total = counts[-1][1] if counts else 0
    if not total:
        return None
    wanted, lower, below = share * total, 0.0, 0.0
    for bound, count in counts:
        if count >= wanted:
            if bound == float("inf"):
                return lower
            return lower + (bound - lower) * (wanted - below) / (count - below)
        lower, below = bound, count
    return lower


def draw(looks: Mapping[str, Sequence[Look]], file: Path, *, title: str) -> None:
    """Draw a line for each guarantee."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "soak"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(4, 1, figsize=(9, 9), sharex=True)
    for colour, (name, each) in zip(("C0", "C1"), looks.items(), strict=True):
        minutes = [look.at_s / 60 for look in each]
        axes[0].plot(minutes, [look.usage.rss_mb for look in each], colour, label=name)
        axes[1].plot(minutes, [look.usage.fds for look in each], colour, label=name)
        axes[2].plot(minutes, [look.lag for look in each], colour, label=name)
        for share, style in ((0.5, "-"), (0.99, ":")):
            waits = [quantile(a.latency, b.latency, share) for a, b in pairwise(each)]
            ms = [float("nan") if wait is None else wait * 1000 for wait in waits]
            axes[3].plot(minutes[1:], ms, colour + style, label=f"{name}, {share:.0%} within")
    for axis, what in zip(
        axes,
        ("memory, MB", "file descriptors", "lag, records", "event to alert, ms"),
        strict=True,
    ):
        axis.set_title(what, fontsize=10, loc="left")
        axis.set_ylim(bottom=0)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(fontsize=8, frameon=False, loc="lower right")
    axes[3].set_ylim(bottom=0.1)
    axes[3].set_yscale("log")
    axes[3].set_xlabel("minutes")
    figure.suptitle(title, fontsize=10)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
