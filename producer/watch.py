"""What a person sees while a replay runs, and how they stop it."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from producer.summary import Summary
from stream_scorer.tables import Malformed

# Seconds between two writes of the resume file: what a crash leaves to look up in the topic.
SAVE_S = 1.0


@dataclass(slots=True)
class Signals:
    """The signal that came, if one did."""

    received: int | None = None


@contextmanager
def signals() -> Iterator[Signals]:
    """Note the first SIGINT or SIGTERM for the loop to see; a second one ends the process."""
    seen = Signals()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's
        seen.received = number
        for each in before:
            signal.signal(each, signal.SIG_DFL)

    for number in before:
        signal.signal(number, note)
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(slots=True)
class Watch:
    """The watcher of the command line: a bar on a terminal, malformed rows as lines."""

    signals: Signals
    save: Callable[[], None]
    position: Callable[[], int]  # how much is read
    bar: Progress
    task: TaskID
    next_save_s: float = 0.0

    def stopping(self) -> bool:
        """Tell whether a signal came."""
        return self.signals.received is not None

    def malformed(self, row: Malformed) -> None:
        """Say where and why."""
        click.echo(f"stream-scorer: line {row.line}: {row.reason}", err=True)

    def progress(self, summary: Summary) -> None:
        """Move the bar; save the position once a second."""
        rate = f"{summary.confirmed:,} confirmed, {summary.rows_per_s:,.0f} rows/s"
        self.bar.update(self.task, completed=self.position(), rate=rate)
        if time.monotonic() >= self.next_save_s:
            self.save()
            self.next_save_s = time.monotonic() + SAVE_S

    def waiting(self, labels: int, seconds: float) -> None:
        """Say that all events are sent and what we still wait for."""
        click.echo(
            f"all events are sent; {labels:,} labels follow as they fall due, "
            f"the last in {seconds:,.1f} s",
            err=True,
        )


@contextmanager
def watching(
    seen: Signals,
    *,
    total: int | None,
    position: Callable[[], int],
    save: Callable[[], None],
) -> Iterator[Watch]:
    """Show a bar on standard error if it is a terminal; `total` is what `position` ends at."""
    console = Console(stderr=True)
    bar = Progress(
        BarColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    with bar:
        yield Watch(seen, save, position, bar, bar.add_task("", total=total, rate=""))
