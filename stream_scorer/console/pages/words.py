"""Figures and times in words: with units, and never a nought for what is not known."""

from datetime import UTC, datetime

NO_ANSWER = "The database does not answer. Try again."
NOTHING_SAVED = "The database does not answer: nothing is saved. Try again."
UNKNOWN = "-"


def number(value: float | None, digits: int = 0) -> str:
    """Return a figure with its thousands apart."""
    return UNKNOWN if value is None else f"{value:,.{digits}f}"


def counted(value: int, most: int, noun: str) -> str:
    """Return a count with its noun; beyond `most` it was not counted further."""
    if value > most:
        return f"more than {most:,} {noun}s"
    return f"{value:,} {noun}{'' if value == 1 else 's'}"


def age(ms: float) -> str:
    """Return a time span in its largest unit."""
    seconds = max(0, ms) / 1000
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def clock_utc(ms: float) -> str:
    """Return a moment's time of day, in UTC."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%H:%M:%S} UTC"


def moment_utc(ms: float) -> str:
    """Return a moment, in UTC."""
    try:
        return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return UNKNOWN
