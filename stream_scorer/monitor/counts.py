"""Whole numbers that a window's figures are made of: they add up exactly, in any order."""

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from stream_scorer.monitor.joined import Joined, Label, Seen

# What is counted -> how often: see `tally`.
Counts: TypeAlias = dict[str, int]
Window: TypeAlias = tuple[str, int, str]  # kind, start in ms (0: of all time), the model's sha256

HOUR, DAY, ALL = "hour", "day", "all"
LENGTH_MS: Mapping[str, int] = {HOUR: 3_600_000, DAY: 86_400_000}
# Seconds: how long labels take, in steps that a person thinks in.
DELAYS_S = (60, 600, 3_600, 21_600, 86_400, 259_200, 604_800, 2_592_000, 7_776_000)
# A grid of log-odds: scores within 1/64 (1.6 % of the odds) are one rank; beyond 16 all are.
RANKS_A_UNIT, HIGHEST_RANK = 64, 1024


def rank_of(logit: float) -> int:
    """Return the place of a logit on the grid: exact, as 64 is a power of two."""
    furthest = HIGHEST_RANK / RANKS_A_UNIT
    within = max(-furthest, min(furthest, logit))  # first: a large logit times 64 is no number
    return min(HIGHEST_RANK - 1, int(within * RANKS_A_UNIT // 1))


def windows_of(seen: Seen) -> Iterator[Window]:
    """Yield the windows that a transaction belongs to, by its own time.

    Its own, not the score's: a backlog or a second scoring does not move it, so that a window means
    the same whenever it is computed.
    """
    yield ALL, 0, seen.sha256
    if seen.time_ms:
        for kind, length in LENGTH_MS.items():
            yield kind, seen.time_ms - seen.time_ms % length, seen.sha256


def tally(seen: Seen, label: Label | None) -> Counts:
    """Return what one transaction adds to each of its windows.

    `fraud`, `genuine` or `unlabelled` with its rank; the same behind `alerted.` if it alerted;
    `label.` and the bucket of its delay, from the transaction to the label, and `label.ms` for the
    sum; likewise `wait.`, from the alert to the label. A label that is older than what it is
    about, as after a replay, took no time.
    """
    truth = label.fraud if label else None
    name = "unlabelled" if truth is None else "fraud" if truth else "genuine"
    counts = {f"{name}.{seen.rank}": 1}
    if seen.alert_ms is not None:
        counts[f"alerted.{name}"] = 1
    if label is not None and truth is not None:
        if seen.time_ms:
            counts |= delay("label", label.time_ms - seen.time_ms)
        if seen.alert_ms is not None:
            counts |= delay("wait", label.time_ms - seen.alert_ms)
    return counts


def delay(name: str, ms: int) -> Counts:
    """Return a delay as counts: its bucket, by its upper bound in seconds, and its length."""
    ms = max(0, ms)
    bound = next((str(s) for s in DELAYS_S if ms <= s * 1000), "more")
    return {f"{name}.{bound}": 1, f"{name}.ms": ms}


def parts(joined: Joined) -> Iterator[tuple[Window, Counts]]:
    """Yield what one transaction adds to which window."""
    for seen in joined.seen:
        counts = tally(seen, joined.label)
        for window in windows_of(seen):
            yield window, counts


def add(total: Counts, counts: Counts, times: int = 1) -> None:
    """Add counts to others; what comes to nothing goes."""
    for name, count in counts.items():
        found = total.get(name, 0) + times * count
        if found:
            total[name] = found
        else:
            total.pop(name, None)
