"""Rows about figures: memory under a backlog, a slow model, what the metrics say."""

import itertools
import time
from collections import Counter

from confluent_kafka import Consumer, TopicPartition

from tests.faults.counted import ALERTS, LETTERS, RECORDS, SCORED, counted
from tests.faults.oracle import ALERT, LETTER, SCORE, key_of
from tests.faults.processes import SLOW, demand_unmoved
from tests.faults.registry import row
from tests.faults.transactions import waiting
from tests.faults.trial import Trial
from tests.integration.stream import wait_for
from tests.usage import usage

MOST_MB = 512
NAMES = {SCORE: SCORED, ALERT: ALERTS, LETTER: LETTERS}


@row("R28", "a backlog of all records")
def backlog(trial: Trial) -> None:
    """Start with everything there already, as fast as it goes."""
    trial.send(trial.workload.records)
    begun = time.monotonic()
    kept = trial.keep("a")
    highest = 0.0
    while not trial.is_done():
        highest = max(highest, usage(kept.scorer.process.pid).rss_mb)
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


@row("R54", "idle for 10 minutes, then a burst")
def idle(trial: Trial) -> None:
    """Send nothing for a while: the group must not notice, nor a transaction stay open."""
    kept = trial.keep("a")
    kept.scorer.wait_assigned()
    trial.send(trial.workload.records // 2)
    wait_for("all records committed", trial.is_done)
    settings = trial.stream.settings
    outputs = [settings.scores_topic, settings.alerts_topic, settings.dead_letters_topic]
    begun, before = time.monotonic(), usage(kept.scorer.process.pid).cpu_s
    while (idle_s := time.monotonic() - begun) < (30 if trial.quick else 600):
        trial.demand(waiting(trial, outputs) == 0, "a transaction is open")
        time.sleep(1)
    cpu = 100 * (usage(kept.scorer.process.pid).cpu_s - before) / idle_s
    trial.figures["idle_cpu"] = f"{cpu:.1f} %"
    latency_ms = first_alert_ms(trial)
    trial.figures["first_alert"] = f"{latency_ms:.0f} ms"
    trial.send(trial.workload.records - trial.sent)
    demand_unmoved(trial, kept)


def first_alert_ms(trial: Trial) -> float:
    """Send up to the next record that alerts; return how long a committed reader waits for it."""
    n = next(n for n in itertools.count(trial.sent) if ALERT in trial.workload.expected(n))
    trial.send(n - trial.sent)
    topic = trial.stream.settings.alerts_topic
    places = trial.stream.places(topic)
    reader = Consumer(
        {
            "bootstrap.servers": trial.stream.bootstrap,
            "group.id": f"{trial.stream.settings.group_id}-reader",
            "enable.partition.eof": "true",
            "log_level": 0,
        }
    )
    reader.assign([TopicPartition(topic, each.partition, 0) for each in places])
    ended: set[int | None] = set()
    while len(ended) < len(places):  # it has read all that is there, and waits
        ended |= {each.partition() for each in reader.consume(1000, 1) if each.error()}
    begun = time.monotonic()
    trial.send(1)
    keys: list[bytes | None] = []

    def there() -> bool:
        keys.extend(each.key() for each in reader.consume(1, 0.1) if not each.error())
        return key_of(n).encode() in keys

    wait_for("the alert", there)
    reader.close()
    return 1000 * (time.monotonic() - begun)


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
        found += counted(kept.scorer)
        if i < times - 1:
            trial.demand(kept.stop() == 0, kept.scorer.text())
    kinds = [kind for n in range(trial.workload.records) for kind in trial.workload.expected(n)]
    wanted = {NAMES[kind]: count for kind, count in Counter(kinds).items()}
    wanted[RECORDS] = trial.workload.records
    trial.demand(dict(found) == wanted, f"metrics say {dict(found)}, want {wanted}")
    trial.figures["diff"] = 0
