"""Rows in which a request reaches the broker after the client has repeated it.

A proxy, a sidecar or a load balancer has taken the request, the client's connection breaks, and the
client repeats it on another one: librdkafka does so by itself and reports success.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.faults.answers import (
    ADD_OFFSETS_TO_TXN,
    END_TXN,
    OFFSET_COMMIT,
    PRODUCE,
    TXN_OFFSET_COMMIT,
)
from tests.faults.processes import LONG, SLOW
from tests.faults.registry import BOTH, row
from tests.faults.transactions import EOS
from tests.faults.trial import Kept, Trial
from tests.integration.stream import wait_for

TAKEN = 0


@dataclass(frozen=True)
class Moment:
    """When a late request arrives: after which answers, and whether its sender was killed."""

    name: str
    then: Sequence[int]
    killed: bool = False


def moments(api_key: int, guarantee: str) -> list[Moment]:
    """Return the moments: when its repetition is answered, in the next commit, after a kill."""
    if guarantee in EOS:
        rest = [] if api_key == END_TXN else [END_TXN]
        later = [api_key, *rest, PRODUCE]
    else:
        later = [api_key, api_key]
    return [
        Moment("at once", [api_key]),
        Moment("next", later),
        Moment("killed", later, killed=True),
    ]


def arrive_late(trial: Trial, kept: Kept, api_key: int, moment: Moment) -> set[int]:
    """Let one request arrive late; return the broker's error codes."""
    proxy = trial.cluster.proxy
    late = proxy.late(api_key, moment.then, by_itself=not moment.killed)
    wait_for("a late request that is due", lambda: late.due)
    if moment.killed:
        kept.kill()
        proxy.deliver(late)
    trial.fault()
    wait_for("the late request's answer", lambda: bool(late.answer))
    return late.codes()


def late(api_key: int, *, refused: bool) -> Callable[[Trial], None]:
    """Return a row's act: requests of an api key arrive late, three times at each moment.

    `refused`: the broker must refuse each that arrives after the commit that it belongs to.
    """

    def act(trial: Trial) -> None:
        pace = LONG if trial.guarantee in EOS else SLOW
        kept = trial.keep("a", **pace)
        kept.scorer.wait_assigned()
        chosen = moments(api_key, trial.guarantee) * trial.times(3, 1)
        answers: dict[str, list[int]] = {}
        for i in trial.pieces(len(chosen)):
            trial.progress()
            codes = arrive_late(trial, kept, api_key, chosen[i])
            answers.setdefault(chosen[i].name, []).extend(codes)
        trial.figures["answers"] = answers
        after = [*answers["next"], *answers["killed"]]
        trial.demand(not refused or TAKEN not in after, f"late requests were taken: {answers}")

    return act


late_end = late(END_TXN, refused=False)  # for a planted bug: what comes of it is judged
row("R61", "the end of a transaction arrives late", guarantees=EOS)(late(END_TXN, refused=True))
row("R62", "a transaction's offsets arrive late", guarantees=EOS)(
    late(TXN_OFFSET_COMMIT, refused=True)
)
row("R63", "a transaction's group is announced late", guarantees=EOS)(
    late(ADD_OFFSETS_TO_TXN, refused=True)
)
row("R64", "records arrive late", guarantees=BOTH)(late(PRODUCE, refused=False))
row("R65", "a commit arrives late", guarantees=("at-least-once",), allowed=("back",))(
    late(OFFSET_COMMIT, refused=False)
)
