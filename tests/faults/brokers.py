"""Rows in which a broker's process is killed, stopped or paused."""

import signal
import time

from tests.faults.processes import SLOW
from tests.faults.registry import row
from tests.faults.trial import Trial


def end_broker(trial: Trial, number: int) -> None:
    """End the one broker under load, a few times, and start it again on the same records."""
    trial.keep("a", **SLOW).scorer.wait_assigned()
    for _ in trial.pieces(trial.times(5, 2)):
        trial.progress()
        trial.pause(0.2, 1.0)
        trial.cluster.end(number)
        trial.cluster.start()
        trial.fault()


@row("R08", "broker stopped and started")
def stop_broker(trial: Trial) -> None:
    """End the broker in an orderly way."""
    end_broker(trial, signal.SIGTERM)


@row("R09", "broker kill -9 and started")
def kill_broker(trial: Trial) -> None:
    """End the broker without a word."""
    end_broker(trial, signal.SIGKILL)


@row("R16", "broker paused for 20 s")
def pause_broker(trial: Trial) -> None:
    """Pause the broker's process: connections stay open, and nothing answers."""
    trial.keep("a", **SLOW).scorer.wait_assigned()
    for _ in trial.pieces(trial.times(3, 1)):
        trial.progress()
        trial.cluster.send(signal.SIGSTOP)
        time.sleep(10 if trial.quick else 20)
        trial.cluster.send(signal.SIGCONT)
        trial.fault()
