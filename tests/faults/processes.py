"""Rows in which the scorer's own process is killed, stopped or paused."""

import signal
import time

from tests.faults.registry import row
from tests.faults.trial import DEFAULTS, Kept, Trial
from tests.integration.stream import Scorer, wait_for

# Rows a batch: slow enough for a kill to find work that is not committed yet.
SLOW = {"SCORER_MAX_BATCH_ROWS": "20"}
# Transactions long enough for a fault to come into the middle of one.
LONG = {**SLOW, "SCORER_COMMIT_INTERVAL_MS": "2000"}


def kill_two(trial: Trial) -> None:
    """Kill one of two scorers at a random moment under load; it is started anew."""
    pair = [trial.keep(name, **SLOW) for name in ("a", "b")]
    for kept in pair:
        kept.scorer.wait_assigned()
    for i in trial.pieces(trial.times(20, 5)):
        trial.progress()
        trial.pause(0.2, 3.0)
        trial.fault()
        pair[i % 2].kill()


row("R01", "kill -9, two scorers", guarantees=("at-least-once",))(kill_two)
row("R02", "kill -9, two scorers", guarantees=("exactly-once",))(kill_two)


@row("R03", "SIGTERM under load")
def stop_under_load(trial: Trial) -> None:
    """Stop the one scorer under load and start it anew: nothing may be repeated."""
    seconds = []
    kept = trial.keep("a", **SLOW)
    for _ in trial.pieces(trial.times(20, 5)):
        kept.scorer.wait_assigned()
        trial.progress()
        trial.pause(0.2, 2.0)
        trial.fault()
        begun = time.monotonic()
        code = kept.stop()
        seconds.append(time.monotonic() - begun)
        trial.demand(code == 0, f"exit code {code} after SIGTERM: {kept.scorer.text()}")
        kept = trial.keep("a", **SLOW)
    trial.figures["stop_max"] = f"{max(seconds):.1f} s"
    trial.demand(max(seconds) <= 10, f"a stop took {max(seconds):.1f} s: want 10 at most")
    trial.clean = True


@row("R04", "SIGTERM while it loads, joins, waits for a rebalance or for the broker")
def stop_in_odd_states(trial: Trial) -> None:
    """Stop a scorer where it is not yet, or no longer, in its loop: it must end, and truthfully."""
    seconds = []

    def stop(scorer: Scorer, codes: set[int]) -> None:
        begun = time.monotonic()
        code = scorer.stop()
        seconds.append(time.monotonic() - begun)
        trial.demand(code in codes, f"exit code {code}: {scorer.text()}")
        trial.demand("Traceback" not in scorer.text(), scorer.text())

    def start(replica: str = "odd") -> Scorer:
        return trial.stream.start(**DEFAULTS, SCORER_REPLICA=replica, **SLOW)

    kept = trial.keep("a", **SLOW)
    kept.scorer.wait_assigned()
    for _ in trial.pieces(trial.times(5, 1), lasting_s=40.0):
        trial.progress()
        trial.fault()
        loading = start()
        trial.pause(0.0, 0.5)
        stop(loading, {0, -signal.SIGTERM})
        joining = start()
        wait_for("its loop", lambda: "Scoring" in joining.text())
        stop(joining, {0})
        first, second = start(), start("odd-2")
        wait_for("its loop", lambda: "Scoring" in first.text())
        wait_for("its loop", lambda: "Scoring" in second.text())
        stop(first, {0})
        stop(second, {0})
        alone = start()
        alone.wait_assigned()
        trial.cluster.proxy.blackhole()
        trial.pause(0.5, 1.0)
        stop(alone, {0, 1})  # 0 only if nothing was left to commit
        trial.cluster.proxy.heal()
        trial.fault()
    trial.figures["stop_max"] = f"{max(seconds):.1f} s"
    trial.demand(max(seconds) <= 15, f"a stop took {max(seconds):.1f} s: want 15 at most")


@row("R05", "nine signals at once")
def many_signals(trial: Trial) -> None:
    """Send SIGTERM, SIGINT and SIGHUP in a burst: one of them stops it, the others do nothing."""
    kept = trial.keep("a", **SLOW)
    for _ in trial.pieces(trial.times(10, 3)):
        kept.scorer.wait_assigned()
        trial.progress()
        trial.fault()
        for number in 3 * (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            kept.send(number)
        code = kept.stop()
        trial.demand(code == 0, f"exit code {code}: {kept.scorer.text()}")
        trial.demand("Traceback" not in kept.scorer.text(), kept.scorer.text())
        kept = trial.keep("a", **SLOW)
    trial.clean = True


@row("R06", "paused for 5 s, within the session")
def short_pauses(trial: Trial) -> None:
    """Pause the scorer for less than its session: the group must not notice."""
    kept = trial.keep("a", **{**SLOW, "SCORER_KAFKA_CONSUMER_SESSION_TIMEOUT_MS": "15000"})
    kept.scorer.wait_assigned()
    for _ in trial.pieces(trial.times(10, 2)):
        trial.progress()
        kept.send(signal.SIGSTOP)
        time.sleep(5)
        kept.send(signal.SIGCONT)
        trial.fault()
    demand_unmoved(trial, kept)


@row("R07", "one of two paused beyond session and max.poll")
def long_pauses(trial: Trial) -> None:
    """Pause a scorer until another has its partitions, then let it go on."""
    poll = {"SCORER_KAFKA_CONSUMER_MAX_POLL_INTERVAL_MS": "10000"}
    pair = [trial.keep(name, **SLOW, **poll) for name in ("a", "b")]
    for kept in pair:
        kept.scorer.wait_assigned()
    length_s = 15 if trial.quick else 30
    for i in trial.pieces(trial.times(4, 1)):
        trial.progress()
        trial.fault()
        pair[i % 2].send(signal.SIGSTOP)
        time.sleep(length_s)
        pair[i % 2].send(signal.SIGCONT)
        trial.fault()


@row("R60", "one of two paused beyond its session, within its transaction's time-out")
def pauses_within_the_transaction(trial: Trial) -> None:
    """Pause a scorer until another has its partitions: it wakes with a transaction still open.

    Only its generation in the group keeps what it then commits from counting twice.
    """
    short = {
        "SCORER_KAFKA_CONSUMER_SESSION_TIMEOUT_MS": "6000",
        "SCORER_KAFKA_CONSUMER_HEARTBEAT_INTERVAL_MS": "1000",
    }
    pair = [trial.keep(name, **LONG, **short) for name in ("a", "b")]
    for kept in pair:
        kept.scorer.wait_assigned()
    for i in trial.pieces(trial.times(12, 4)):
        trial.progress()
        trial.pause(0.0, 0.5)
        trial.fault()
        pair[i % 2].send(signal.SIGSTOP)
        time.sleep(8.5)
        pair[i % 2].send(signal.SIGCONT)
        trial.fault()


def demand_unmoved(trial: Trial, kept: Kept) -> None:
    """Demand that a scorer lived and no partition was taken from it; note how many were."""
    trial.demand(kept.codes == [], f"it ended with {kept.codes}: {kept.scorer.text()}")
    trial.demand(went(kept) == 0, f"the group moved: {kept.scorer.text()}")
    trial.figures["rebalances"] = went(kept)


def went(kept: Kept) -> int:
    """Return how often partitions were taken from a scorer."""
    text = kept.scorer.text()
    return text.count("Partitions revoked") + text.count("Partitions lost")
