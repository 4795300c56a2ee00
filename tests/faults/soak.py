"""`python -m tests.faults.soak`: row R53, an hour at 70 % load in which nothing may grow.

Two scorers, one of each guarantee, each on topics of its own, on one broker that keeps only the
latest records. There is no verifier, as most outcomes are gone at the end: what was read must be
what was scored and dead-lettered, and the lag must return to 0.
"""

import itertools
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import click
import numpy as np
from confluent_kafka import KafkaError, Message, Producer
from rich.console import Console
from rich.progress import Progress

from stream_scorer.local_kafka import local_kafka
from tests.faults.counted import LETTERS, RECORDS, SCORED, SKIPPED, counted, latency
from tests.faults.oracle import Workload
from tests.faults.registry import BOTH
from tests.faults.soak_picture import Look, draw
from tests.integration.stream import Scorer, Stream, fresh_stream, wait_for
from tests.usage import Usage, usage

PARTITIONS = 6
# Of the broker: what is older than the latest 64 MB of a partition is deleted.
RETENTION = {
    "log.retention.bytes": str(64 * 2**20),
    "log.segment.bytes": str(16 * 2**20),
    "log.retention.check.interval.ms": "10000",
}
# Records that are drawn; they go round. Of them 1 % are bad.
DRAWN = 20_000
# Records for each scorer by which the capacity is measured, all sent at once; and their share.
MEASURED, LOAD = 100_000, 0.7
TICK_S, SAMPLE_S = 0.01, 10.0
WARM_UP = 0.1  # of the time
# MB of growth, by the slope that is fitted over all that follows the warm-up: a tenth of what a
# scorer needs. More than the noise of an allocator, less than any leak of a byte a record.
MOST_GROWN_MB = 10.0


@dataclass
class Side:
    """One guarantee: its stream, its scorer, and what was seen of it."""

    guarantee: str
    stream: Stream
    scorer: Scorer
    sent: int = 0
    looks: list[Look] = field(default_factory=list)

    def look(self, at_s: float) -> None:
        """Take a sample; raise AssertionError if the scorer has ended."""
        code = self.scorer.process.poll()
        if code is not None:
            raise AssertionError(f"{self.guarantee} ended with {code}: {self.scorer.text()}")
        now = usage(self.scorer.process.pid)
        self.looks.append(Look(at_s, now, self.lag(), latency(self.scorer)))

    def lag(self) -> int:
        """Return how many records that were sent are not committed."""
        return self.sent - self.stream.committed()


class Load:
    """Sends the same records to every side, round its partitions."""

    def __init__(self, bootstrap: str, sides: Sequence[Side]) -> None:
        """Begin with the first record."""
        drawn = list(Workload(1, DRAWN, PARTITIONS).events(0, DRAWN))
        self._events: Iterator[tuple[int, tuple[str, bytes | None]]] = enumerate(
            itertools.cycle(drawn)
        )
        self._sides = sides
        self._refused: list[KafkaError] = []
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "linger.ms": 5,
                "enable.idempotence": True,
                "log_level": 0,
            }
        )

    def send(self, size: int) -> None:
        """Send so many records to each side; not all need be acknowledged yet."""
        for n, (key, value) in itertools.islice(self._events, size):
            for side in self._sides:
                topic = side.stream.settings.transactions_topic
                while True:
                    try:
                        self._producer.produce(
                            topic, value, key, n % PARTITIONS, on_delivery=self._took
                        )
                        break
                    except BufferError:
                        self._producer.poll(0.1)
        for side in self._sides:
            side.sent += size
        self._producer.poll(0)

    def settle(self) -> None:
        """Return when all that was sent is acknowledged and committed."""
        waiting = self._producer.flush(60)
        if waiting or self._refused:
            raise AssertionError(f"not taken: {waiting} waiting, {self._refused[:1]}")
        for side in self._sides:
            wait_for(f"all of {side.guarantee}", lambda: side.lag() <= 0, timeout_s=300)

    def _took(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._refused.append(error)


@dataclass(frozen=True)
class Growth:
    """What became of a process after its warm-up."""

    rss_mb: float  # at the end
    slope_mb_h: float
    grown_mb: float  # by that slope, over the time that was watched
    fds: tuple[int, int]  # medians of the first half and of the second
    threads: tuple[int, int]

    def flaws(self) -> list[str]:
        """Say what grew."""
        found = []
        if not self.grown_mb <= MOST_GROWN_MB:
            found.append(f"memory grew by {self.grown_mb:.1f} MB: want {MOST_GROWN_MB:.0f} at most")
        for name, (before, after) in (("fds", self.fds), ("threads", self.threads)):
            if after > before:
                found.append(f"{name} grew from {before} to {after}")
        return found


def growth(samples: Sequence[tuple[float, Usage]], warm_s: float) -> Growth:
    """Fit a line to the memory after `warm_s`; raise ValueError if too few samples follow it."""
    rest = [(at_s, each) for at_s, each in samples if at_s >= warm_s]
    if len(rest) < 4:
        raise ValueError(f"{len(rest)} samples after the warm-up: want 4 at least")
    hours = np.array([at_s for at_s, _ in rest]) / 3600
    slope, _ = np.polyfit(hours, [each.rss_mb for _, each in rest], 1)
    halves = rest[: len(rest) // 2], rest[len(rest) // 2 :]
    fds = [int(np.median([each.fds for _, each in half])) for half in halves]
    threads = [int(np.median([each.threads for _, each in half])) for half in halves]
    return Growth(
        rss_mb=rest[-1][1].rss_mb,
        slope_mb_h=float(slope),
        grown_mb=float(slope * (hours[-1] - hours[0])),
        fds=(fds[0], fds[1]),
        threads=(threads[0], threads[1]),
    )


def capacity(load: Load) -> float:
    """Return how many records a second each side takes while the other does, and we send."""
    begun = time.monotonic()
    load.send(MEASURED)
    load.settle()
    return MEASURED / (time.monotonic() - begun)


def soak(load: Load, sides: Sequence[Side], *, rate: float, lasting_s: float) -> None:
    """Send at a rate for so long, and look at the scorers meanwhile."""
    console = Console(stderr=True)
    begun, sent, looks = time.monotonic(), 0, 0
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("soak", total=lasting_s)
        while (at_s := time.monotonic() - begun) < lasting_s:
            due = int(rate * at_s)
            load.send(due - sent)
            sent = due
            if at_s >= looks * SAMPLE_S:
                looks += 1
                for side in sides:
                    side.look(at_s)
            progress.update(task, completed=at_s)
            time.sleep(TICK_S)
    load.settle()


def check(side: Side, *, rate: float, lasting_s: float) -> bool:
    """Stop a scorer, print its CHECK line, and tell whether all holds."""
    counts = counted(side.scorer)
    read, outcomes = counts[RECORDS], counts[SCORED] + counts[LETTERS] + counts[SKIPPED]
    code = side.scorer.stop()
    found = growth([(look.at_s, look.usage) for look in side.looks], WARM_UP * lasting_s)
    flaws = found.flaws()
    if code != 0:
        flaws.append(f"exit code {code} after SIGTERM")
    if not side.sent == read == outcomes:
        flaws.append("the books do not close")
    most_lag = max(look.lag for look in side.looks)
    line = (
        f"CHECK R53 {side.guarantee}: {lasting_s / 60:.1f} min at {rate:.0f} records/s, "
        f"sent={side.sent} consumed={read} scored={counts[SCORED]} dead_lettered={counts[LETTERS]} "
        f"skipped={counts[SKIPPED]}, lag={side.lag()} (at most {most_lag}), "
        f"rss={found.rss_mb:.0f} MB, rss_slope={found.slope_mb_h:+.1f} MB/h, "
        f"fds={found.fds[0]}..{found.fds[1]}, threads={found.threads[0]}..{found.threads[1]}"
    )
    click.echo(f"{line}, BROKEN {'; '.join(flaws)}" if flaws else line)
    return not flaws


@click.command()
@click.option("--minutes", type=click.FloatRange(min=1), default=60, show_default=True)
@click.option(
    "--rate",
    type=click.IntRange(min=1),
    help="Records a second for each scorer; otherwise 70 % of what is measured before.",
)
@click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw memory, descriptors, lag and latency over the time into this SVG file.",
)
def main(*, minutes: float, rate: int | None, picture: Path | None) -> None:
    """Let two scorers work for an hour: memory, file descriptors and threads must not grow.

    \b
    Example: python -m tests.faults.soak --minutes 3

    Ends with 1 if something grew, a record is missing in the books, or the lag does not end.
    """
    lasting_s = 60 * minutes
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        kafka = stack.enter_context(local_kafka(quick=False, settings=RETENTION))
        sides = []
        for guarantee in BOTH:
            own = folder / guarantee
            own.mkdir()
            stream = stack.enter_context(
                fresh_stream(
                    kafka.bootstrap, own, partitions=PARTITIONS, SCORER_GUARANTEE=guarantee
                )
            )
            sides.append(Side(guarantee, stream, stream.start()))
        try:
            for side in sides:
                side.scorer.wait_assigned()
            load = Load(kafka.bootstrap, sides)
            measured = capacity(load)
            wanted = rate or LOAD * measured
            click.echo(f"each takes {measured:.0f} records/s at once; {wanted:.0f} are sent")
            soak(load, sides, rate=wanted, lasting_s=lasting_s)
        except (AssertionError, TimeoutError) as exc:
            click.echo(f"CHECK R53: BROKEN OFF: {exc}")
            sys.exit(1)
        verdicts = [check(side, rate=wanted, lasting_s=lasting_s) for side in sides]
    if picture:
        today = f"{datetime.now(UTC):%Y-%m-%d}"
        title = f"{minutes:.0f} minutes at {wanted:,.0f} transactions/s each, {today}"
        draw({side.guarantee: side.looks for side in sides}, picture, title=title)
    sys.exit(0 if all(verdicts) else 1)


if __name__ == "__main__":
    main()
