"""Rows in which the scorer's own process is killed, stopped or paused."""

import time

from tests.faults.registry import row
from tests.faults.trial import Trial

# Rows a batch: slow enough for a kill to find work that is not committed yet.
SLOW = {"SCORER_MAX_BATCH_ROWS": "20"}


def kill_two(trial: Trial) -> None:
    """Kill one of two scorers at a random moment under load; it is started anew."""
    pair = [trial.keep(name, **SLOW) for name in ("a", "b")]
    for kept in pair:
        kept.scorer.wait_assigned()
    times = trial.times(20, 5)
    for i in trial.pieces(times):
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
    trial.clean = True
