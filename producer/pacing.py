"""When each event is due: an absolute schedule, so that no delay adds up."""

from collections.abc import Callable
from itertools import count

# Called once for each event that is to be sent, in order, with its event time (seconds, or None);
# returns the seconds after the start at which it is due, or None: at once.
Pace = Callable[[float | None], float | None]


def at_once(time_s: float | None) -> None:
    """Send as fast as Kafka takes them."""


def at_rate(events_per_s: float) -> Pace:
    """Send event i at i / rate. If the machine sleeps too long, the next ones follow in a burst."""
    numbers = count()

    def due(time_s: float | None) -> float:  # noqa: ARG001 - a Pace
        return next(numbers) / events_per_s

    return due


def at_speed(factor: float) -> Pace:
    """Send as it happened, `factor` times as fast; the first event at once."""
    first: list[float] = []

    def due(time_s: float | None) -> float:
        if time_s is None:
            raise ValueError("events without a time cannot be sent by their time")
        if not first:
            first.append(time_s)
        return (time_s - first[0]) / factor

    return due
