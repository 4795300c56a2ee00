"""Counts and entries as tables that cannot steer a terminal, as JSON, and in a few words."""

from collections.abc import Iterable
from datetime import UTC, datetime

from rich.table import Column, Table
from rich.text import Text

from stream_scorer.alerts import printable
from stream_scorer.dead_letters.counting import Entry, Tallies, by_code

MOST_PARTITIONS = 6  # named behind a code, the ones with the most
LATEST_MS = 253_402_300_799_000  # the end of the year 9999, the last that can be shown


def count_table(tallies: Tallies) -> Table:
    """Return the counts as a table, the most frequent code first."""
    table = Table("code", "dead letters", "from", box=None)
    for code, places in by_code(tallies).items():
        named = [f"{printable(place)}: {n:,}" for place, n in places.most_common(MOST_PARTITIONS)]
        if len(places) > MOST_PARTITIONS:
            named.append(f"{len(places) - MOST_PARTITIONS} more")
        table.add_row(*map(Text, (printable(code), f"{places.total():,}", ", ".join(named))))
    return table


def entry_table(entries: Iterable[Entry]) -> Table:
    """Return dead letters as a table; nothing in it can steer a terminal."""
    firm = (Column(name, no_wrap=True) for name in ("failed (UTC)", "id and place", "code"))
    table = Table(*firm, Column("reason", overflow="fold"), "bytes", "attempt", box=None)
    for entry in entries:
        letter = entry.letter
        size = "null" if entry.value_bytes is None else f"{entry.value_bytes:,}"
        table.add_row(
            moment(letter.failed_at_ms).replace(" ", "\n"),
            Text(f"{printable(letter.id)}\nat {entry.at[0]}/{entry.at[1]}"),
            *map(Text, map(printable, (letter.code, letter.reason, size, str(letter.attempt)))),
        )
    return table


def moment(time_ms: int) -> str:
    """Return a time in ms since 1970 for a person's eyes."""
    if not 0 < time_ms <= LATEST_MS:
        return f"{time_ms} ms"
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def as_object(topic: str, entries: Iterable[Entry], tallies: Tallies) -> dict[str, object]:
    """Return the counts and the listed ones as they are printed by --json."""
    return {
        "topic": topic,
        "dead_letters": tallies.by_code.total(),
        "left_out": tallies.left_out,
        "unfit": tallies.unfit,
        "by_code": {code: dict(places) for code, places in by_code(tallies).items()},
        "listed": [
            {
                "id": each.letter.id,
                "code": each.letter.code,
                "reason": each.letter.reason,
                "failed_at_ms": each.letter.failed_at_ms,
                "timestamp_ms": each.letter.timestamp_ms,
                "value_bytes": each.value_bytes,
                "attempt": each.letter.attempt,
                "partition": each.at[0],
                "offset": each.at[1],
            }
            for each in entries
        ],
    }


def summary(topic: str, entries: list[Entry], tallies: Tallies) -> str:
    """Return the sums in a line or two, and what to do next in another."""
    count = tallies.by_code.total()
    said = f"{count:,} dead letters on {topic!r}"
    if tallies.left_out:
        said += f", {tallies.left_out:,} more that the filters leave out"
    lines = [said]
    if tallies.unfit:
        records = "1 record is" if tallies.unfit == 1 else f"{tallies.unfit:,} records are"
        lines.append(f"{records} no dead letter of a scorer: {printable(tallies.an_unfit)}")
    if entries:
        at = "/".join(map(str, entries[0].at))
        lines.append(
            f"Next: stream-scorer dead-letters show --at {at}   (everything about one), or "
            "redrive --dry-run"
        )
    elif tallies.left_out:
        lines.append("Next: stream-scorer dead-letters list   (without filters)")
    return "\n".join(lines)
