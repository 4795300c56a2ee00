"""Rows in which the network between scorer and broker misbehaves."""

import time

from tests.faults.processes import SLOW
from tests.faults.proxy import PRODUCE, Act
from tests.faults.registry import row
from tests.faults.trial import Trial
from tests.integration.stream import wait_for

# Seconds in which a delivery fails: time-outs are 3 (at least once) and 10 (exactly once).
DELIVERY_S = 12.0


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


@row("R20", "outcomes that cannot be delivered")
def unwritten(trial: Trial) -> None:
    """Let nothing that is written arrive until its delivery times out: no offset may pass it."""
    trial.keep("a", SCORER_KAFKA_PRODUCER_DELIVERY_TIMEOUT_MS="3000", **SLOW).scorer.wait_assigned()
    for _ in trial.pieces(trial.times(3, 1)):
        trial.progress()
        rule = trial.cluster.proxy.on(PRODUCE, Act.DROP_REQUEST)
        with trial.outage():
            wait_for("a write", lambda: rule.acted > 0)  # noqa: B023
            time.sleep(DELIVERY_S)
            trial.cluster.proxy.heal()
