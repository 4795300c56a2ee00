"""The command line of a replay, checked."""

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from producer.pacing import Pace, at_once, at_rate, at_speed
from producer.reading import Reading, file_reading, synthetic_reading
from producer.steps import Way
from stream_scorer.config import Settings

MAX = "max"
# Events a second. From here on they wait for each other up to so many ms, to fill the requests:
# twice as many a second get through. Below, each leaves at once.
BUSY_RATE, BUSY_LINGER_MS = 5_000.0, "5"


def to_speed(text: str) -> float | str:
    """Return the factor, or `max`."""
    if text == MAX:
        return MAX
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not 0 < factor < math.inf:
        raise click.BadParameter(f"{text!r} is neither {MAX!r} nor a number above 0")
    return factor


def to_milliseconds(text: str) -> int:
    """Return an ISO 8601 time as milliseconds since 1970; without an offset it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise click.BadParameter(f"{text!r} is no time such as 2026-01-31T12:00:00Z") from exc
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class Options:
    """The command line, after click."""

    file: str | None
    generate: int | None
    seed: int | None
    rate: float | None
    speed: float | str | None
    start_at: int | None  # milliseconds since 1970
    loop: bool
    limit: int | None
    key: str
    labels: bool
    label_delay: float | None  # seconds
    resume: Path | None
    on_malformed: str
    as_json: bool

    def check(self) -> None:
        """Raise UsageError for flags that do not go together."""
        wrong = {
            "give a FILE or --generate N, one of them": (self.file is None)
            == (self.generate is None),
            "--seed goes with --generate": self.seed is not None and self.generate is None,
            "--rate and --speed exclude each other": None not in (self.rate, self.speed),
            "--label-delay goes with --labels": self.label_delay is not None and not self.labels,
            "--loop needs a file that can be read again, not -": self.loop and self.file == "-",
            "--resume needs a file that can be read again, not -": self.file == "-"
            and self.resume is not None,
        }
        for message, applies in wrong.items():
            if applies:
                raise click.UsageError(message)

    def reading(self) -> AbstractContextManager[Reading]:
        """Return where the rows come from."""
        if self.generate is not None:
            return synthetic_reading(self.generate, seed=self.seed or 0)
        return file_reading(self.file or "-")

    def pace(self) -> Pace:
        """Return when each event is due."""
        if self.rate is not None:
            return at_rate(self.rate)
        return at_speed(self.speed) if isinstance(self.speed, float) else at_once

    def way(self) -> Way:
        """Return how rows become steps."""
        timed = isinstance(self.speed, float) or self.start_at is not None
        return Way(self.key, timed, self.start_at, self.loop, self.limit)

    def client(self, settings: Settings) -> dict[str, str]:
        """Return what the Kafka client needs for the pace, unless a person has set it."""
        if {"linger.ms", "producer.linger.ms"} & settings.kafka.keys():
            return {}
        slow = isinstance(self.speed, float) or (self.rate is not None and self.rate < BUSY_RATE)
        return {} if slow else {"linger.ms": BUSY_LINGER_MS}

    def about(self) -> dict[str, str]:
        """Return the options that a resumed run must share with the first."""
        return {
            "--key": self.key,
            "--start-at": str(self.start_at),
            "--loop": str(self.loop),
            "--limit": str(self.limit),
        }
