"""The broker dies under load and comes back: the scorer goes on by itself and loses nothing."""

import os
import signal
from collections import Counter
from contextlib import ExitStack
from itertools import chain, count, islice
from pathlib import Path

import numpy as np
import pytest

from producer.generate import generate
from stream_scorer.local_kafka import LocalKafka, free_ports, local_kafka
from tests.integration.stream import fresh_stream, wait_for
from tests.integration.test_stream import events, ids

pytestmark = pytest.mark.integration

ROWS = 6000
PIECE = 15_000


def end(cluster: LocalKafka, number: int) -> None:
    """Send a signal to the Java of a cluster's one broker, which its guardian started."""
    guardian = cluster.brokers[0].guardian.pid
    children = Path(f"/proc/{guardian}/task/{guardian}/children").read_text().split()
    for child in children:
        os.kill(int(child), number)


@pytest.mark.parametrize(
    ("guarantee", "number"),
    [
        ("at-least-once", signal.SIGKILL),
        ("exactly-once", signal.SIGKILL),
        ("exactly-once", signal.SIGTERM),
    ],
    ids=["at-least-once-kill", "exactly-once-kill", "exactly-once-stop"],
)
def test_broker_that_ends_and_comes_back_costs_nothing(
    tmp_path: Path, guarantee: str, number: int
) -> None:
    rows = np.concatenate(list(generate(ROWS, seed=19, fraud_rate=0.05)))[:, :-1]
    endless = chain.from_iterable(events(rows, start=k * ROWS) for k in count())
    (port,) = free_ports(1)
    data = tmp_path / "kafka"
    sent: list[str] = []

    def piece() -> list[tuple[str, bytes]]:
        found = list(islice(endless, PIECE))
        sent.extend(key for key, _ in found)
        return found

    with ExitStack() as whole:
        broker = ExitStack()
        whole.callback(lambda: broker.close())  # noqa: PLW0108 - the one of then
        cluster = broker.enter_context(local_kafka(data=data, port=port))
        stream = whole.enter_context(
            fresh_stream(cluster.bootstrap, tmp_path, SCORER_GUARANTEE=guarantee)
        )
        scorer = stream.start(SCORER_MAX_BATCH_ROWS="20")
        stream.send(piece())
        wait_for("progress", lambda: stream.committed() > 0)
        end(cluster, number)
        broker.close()
        broker = ExitStack()
        broker.enter_context(local_kafka(data=data, port=port))
        stream.send(piece())
        stream.wait_committed(len(sent))
        assert scorer.stop() == 0
        scored = ids(stream.scores())
    assert set(scored) == set(sent)
    if guarantee == "exactly-once":
        assert scored == Counter(sent)
