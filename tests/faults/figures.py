"""Rows about figures: memory under a backlog, a slow model, what the metrics say."""

import time
import urllib.request
from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

from tests.faults.network import resident_mb
from tests.faults.oracle import ALERT, LETTER, SCORE
from tests.faults.processes import SLOW
from tests.faults.registry import row
from tests.faults.trial import Kept, Trial
from tests.integration.stream import wait_for

MOST_MB = 512
NAMES = {
    SCORE: "scorer_scored_total",
    ALERT: "scorer_alerts_total",
    LETTER: "scorer_dead_letters_total",
}


@row("R28", "a backlog of all records")
def backlog(trial: Trial) -> None:
    """Start with everything there already, as fast as it goes."""
    trial.send(trial.workload.records)
    begun = time.monotonic()
    kept = trial.keep("a")
    highest = 0.0
    while not trial.is_done():
        highest = max(highest, resident_mb(kept))
        trial.demand(time.monotonic() - begun < 600, "not done within 600 s")
        time.sleep(0.05)
    trial.figures["rss_max"] = f"{highest:.0f} MB"
    trial.demand(highest < MOST_MB, f"{highest:.0f} MB")


@row(
    "R29",
    "one batch slower than max.poll allows",
    command=("tests.faults.buggy", "slow-once"),
)
def slow_model(trial: Trial) -> None:
    """Let one batch take twice as long as the group waits for a poll: it must come back cleanly."""
    poll = {"SCORER_KAFKA_CONSUMER_MAX_POLL_INTERVAL_MS": "6000"}
    kept = trial.keep("a", **SLOW, **poll)
    kept.scorer.wait_assigned()
    for _ in trial.pieces(1, lasting_s=20.0):
        wait_for("the eviction", lambda: "Partitions lost" in kept.scorer.text())
        trial.fault()
    trial.figures["evictions"] = kept.scorer.text().count("Partitions lost")


@row("R46", "metrics over restarts")
def metrics_tell_the_truth(trial: Trial) -> None:
    """Add up the metrics of each process before it stops: they are what the oracle wants."""
    times = trial.times(10, 3)
    found: Counter[str] = Counter()
    for i in range(times):
        size = trial.workload.records // times if i < times - 1 else None
        kept = trial.keep("a")
        kept.scorer.wait_assigned()
        trial.send(size or trial.workload.records - trial.sent)
        wait_for("all records committed", trial.is_done)
        found += counted(kept)
        if i < times - 1:
            trial.demand(kept.stop() == 0, kept.scorer.text())
    kinds = [kind for n in range(trial.workload.records) for kind in trial.workload.expected(n)]
    wanted = {NAMES[kind]: count for kind, count in Counter(kinds).items()}
    wanted["scorer_records_total"] = trial.workload.records
    trial.demand(dict(found) == wanted, f"metrics say {dict(found)}, want {wanted}")
    trial.figures["diff"] = 0


def counted(kept: Kept) -> Counter[str]:
    """Return what a scorer has counted so far, by metric, over all labels."""
    with urllib.request.urlopen(kept.scorer.metrics_url(), timeout=5) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    wanted = {*NAMES.values(), "scorer_records_total"}
    samples = [sample for family in families for sample in family.samples]
    found: Counter[str] = Counter()
    for each in samples:
        if each.name in wanted:
            found[each.name] += int(each.value)
    return found
