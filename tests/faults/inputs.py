"""Rows in which the input itself is unusual."""

from confluent_kafka import Producer

from tests.faults.processes import SLOW
from tests.faults.registry import row
from tests.faults.transactions import waiting
from tests.faults.trial import Trial
from tests.integration.stream import wait_for

# Transactions a piece, and records in each.
MANY, IN_EACH = 20, 30


@row("R34", "aborted and open transactions in the input")
def aborted_input(trial: Trial) -> None:
    """Mix records among the workload that were aborted, or never committed: they must not count.

    Their keys are none of the workload's, so that any outcome of them is a phantom.
    """
    trial.keep("a", **SLOW).scorer.wait_assigned()
    settings = {"bootstrap.servers": trial.cluster.bootstrap, "transaction.timeout.ms": 10_000}
    mixer = Producer({**settings, "transactional.id": f"{trial.stream.settings.group_id}-mixer"})
    mixer.init_transactions(30)
    topic = trial.stream.settings.transactions_topic
    good = next(value for _, value in trial.workload.events(1, 2))

    def write() -> None:
        mixer.begin_transaction()
        for n in range(IN_EACH):
            mixer.produce(topic, good, f"aborted-{n}", n % trial.partitions)
        mixer.flush(30)

    times = trial.times(5, 2)
    for i in trial.pieces(times):
        trial.progress()
        for _ in range(MANY):
            write()
            mixer.abort_transaction(30)
        if i == times - 1:  # one is never ended: its records hold readers up until the time-out
            trial.fault()
            write()
            wait_for("the broker to abort it", lambda: waiting(trial, [topic]) == 0)
