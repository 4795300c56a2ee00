"""Several scorers under one supervisor on a real Kafka: one signal, one endpoint, nothing lost."""

import os
import signal
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from producer.generate import generate
from tests.integration.stream import Scorer, Stream, fresh_stream, wait_for
from tests.integration.test_stream import events, ids

pytestmark = pytest.mark.integration
ROWS = 4000
TWO = {"SCORER_WORKERS": "2"}


@pytest.fixture(params=["at-least-once", "exactly-once"])
def stream(request: pytest.FixtureRequest, kafka: str, tmp_path: Path) -> Iterator[Stream]:
    with fresh_stream(kafka, tmp_path, SCORER_GUARANTEE=request.param) as each:
        yield each


def rows(seed: int) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    return np.concatenate(list(generate(ROWS, seed=seed, fraud_rate=0.02)))[:, :-1]


def workers(scorer: Scorer) -> list[int]:
    """Return the processes of a supervisor's workers."""
    pid = scorer.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(each) for each in children]


def test_two_workers_share_the_work_as_one_scorer_and_end_by_one_signal(stream: Stream) -> None:
    scorer = stream.start(**TWO)
    wait_for("both", lambda: len(set(owners(scorer))) == 2)
    stream.send(events(rows(1)))
    stream.wait_committed(ROWS)
    assert scorer.metric("scorer_scored_total") == ROWS
    assert scorer.metric("scorer_workers") == 2
    pids = workers(scorer)
    assert len(pids) == 2
    assert scorer.stop() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert len(ids(stream.scores())) == ROWS
    assert set(ids(stream.scores()).values()) == {1}


def owners(scorer: Scorer) -> list[str]:
    """Return the workers that were given partitions, as often as that."""
    return [
        line.split("worker ")[1][0]
        for line in scorer.text().splitlines()
        if "Partitions assigned" in line and "worker " in line
    ]


def test_killed_worker_starts_again_and_nothing_is_lost(stream: Stream) -> None:
    scorer = stream.start(**TWO)
    wait_for("both", lambda: len(set(owners(scorer))) == 2)
    sent = (event for seed in count() for event in events(rows(seed % 3), seed * ROWS))
    with stream.load(sent) as keys:
        for _ in range(2):
            before = workers(scorer)
            os.kill(before[0], signal.SIGKILL)
            wait_for("another", lambda: len(set(workers(scorer)) - set(before)) == 1)  # noqa: B023
            wait_for("its partitions", lambda: scorer.metric("scorer_workers") == 2)
    stream.wait_committed(len(keys))
    assert scorer.stop() == 0
    found = ids(stream.scores())
    assert set(found) == set(keys)
    if stream.environ["SCORER_GUARANTEE"] == "exactly-once":
        assert set(found.values()) == {1}


def test_workers_end_when_their_supervisor_is_killed(kafka: str, tmp_path: Path) -> None:
    with fresh_stream(kafka, tmp_path) as stream:
        scorer = stream.start(**TWO)
        wait_for("both", lambda: len(set(owners(scorer))) == 2)
        pids = workers(scorer)
        scorer.kill()
        wait_for("their end", partial(gone, pids), timeout_s=20)


def gone(pids: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_workers_that_cannot_start_end_with_one_line_each_and_1(kafka: str, tmp_path: Path) -> None:
    with fresh_stream(kafka, tmp_path) as stream:
        scorer = stream.start(**TWO, SCORER_ALERTS_TOPIC="nowhere")
        assert scorer.process.wait(30) == 1
        assert "worker 0: topic 'nowhere' does not exist" in scorer.text()
        assert "before it listens" in scorer.text()
