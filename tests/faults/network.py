"""Rows in which the network between scorer and broker misbehaves."""

import time

from tests.faults.processes import SLOW
from tests.faults.registry import row
from tests.faults.trial import Trial


@row("R12", "network blackhole of 10, 45 and 90 s")
def blackhole(trial: Trial) -> None:
    """Pass nothing for a while, in the middle of the load: nothing may be committed meanwhile."""
    trial.keep("a", **SLOW).scorer.wait_assigned()
    lengths = (10,) if trial.quick else (10, 45, 90)
    for i in trial.pieces(len(lengths)):
        trial.progress()
        trial.pause(0.2, 1.0)
        trial.cluster.proxy.blackhole()
        with trial.outage():
            time.sleep(lengths[i])
            trial.cluster.proxy.heal()
