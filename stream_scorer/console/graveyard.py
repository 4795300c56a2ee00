"""Dead letters as operators look at them: counts, page by page, and one with its bytes."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from confluent_kafka import Message
from sqlalchemy import Connection, func, select

from stream_scorer.console import schema
from stream_scorer.dead_letters import letters
from stream_scorer.dead_letters.letters import Letter
from stream_scorer.records import Headers, Place

LETTER = schema.dead_letter.c
ROWS = 50
# Counting further takes as long as reading so many.
MOST_COUNTED = 10_000
# Codes that are told apart; a scorer knows ten, a forger any number.
MOST_CODES = 30
# Bytes of a value, of one header, and headers, that are shown.
VALUE_SHOWN, HEADER_SHOWN, HEADERS_SHOWN = 4096, 1024, 200
GONE = "It is no longer in the topic"


@dataclass(frozen=True, slots=True)
class Row:
    """One dead letter as the list shows it."""

    id: int
    topic: str
    partition: int
    offset: int
    source: str
    code: str
    reason: str
    key: bytes | None
    size: int
    failed_at: int

    @property
    def place(self) -> Place:
        """Where it stands."""
        return self.topic, self.partition, self.offset


@dataclass(frozen=True, slots=True)
class Page:
    """Some dead letters, and where the next ones begin."""

    rows: Sequence[Row]
    after: int | None  # None: these are the last


def counts(connection: Connection) -> dict[str, int]:
    """Return how many there are of each code, MOST_COUNTED + 1 for more than that, most first."""
    found: dict[str, int] = {}
    last = ""
    while len(found) < MOST_CODES:
        code = connection.scalar(select(func.min(LETTER.code)).where(LETTER.code > last))
        if code is None:
            break
        some = select(LETTER.id).where(LETTER.code == code).limit(MOST_COUNTED + 1).subquery()
        found[code] = connection.scalars(select(func.count()).select_from(some)).one()
        last = code
    return dict(sorted(found.items(), key=lambda each: -each[1]))


def page(connection: Connection, code: str, *, after: int | None = None) -> Page:
    """Return a page, the newest first, of one code or of all; the cost does not grow."""
    query = select(schema.dead_letter).order_by(LETTER.id.desc()).limit(ROWS + 1)
    if code:
        query = query.where(LETTER.code == code)
    if after is not None:
        query = query.where(LETTER.id < after)
    rows = [Row(*each) for each in connection.execute(query)]
    return Page(rows[:ROWS], rows[ROWS - 1].id if len(rows) > ROWS else None)


def one(connection: Connection, row_id: int) -> Row | None:
    """Return one, None if there is none of that id."""
    row = connection.execute(select(schema.dead_letter).where(LETTER.id == row_id)).one_or_none()
    return None if row is None else Row(*row)


@dataclass(frozen=True, slots=True)
class Body:
    """What Kafka holds of a dead letter."""

    headers: Headers  # in their order, doubled ones too
    key: bytes | None
    value: bytes | None


class Reads(Protocol):
    """What is needed of `places.PlaceReader`."""

    def fetch(self, places: Collection[Place]) -> Iterator[tuple[Place, Message | str]]: ...


def body(reads: Reads, row: Row) -> Body | str:
    """Fetch a dead letter from its topic; return why there is none if it is gone."""
    ((_, found),) = reads.fetch([row.place])
    if isinstance(found, str):
        return f"{GONE}: {found}."
    headers, letter = letters.read(found)
    if not isinstance(letter, Letter) or letter.id != row.source:
        return f"{GONE}: another record has its place."
    return Body(headers, found.key(), found.value())


def shown(content: bytes | None, most: int) -> tuple[str, str]:
    r"""Return what bytes are, and they themselves: text if they are UTF-8, else hexadecimal.

    `most` bytes are shown, and what does not print is \xNN: nothing turns the direction of writing
    or hides.
    """
    if content is None:
        return "null", ""
    part = content[:most]
    of = f"{len(content):,} bytes"
    if len(content) > most:
        of = f"the first {most:,} of {of}"
    try:
        text = part.decode()
    except UnicodeDecodeError as exc:
        cut = len(content) > most and len(part) - exc.start < 4  # noqa: PLR2004 - within a character
        if not cut or exc.reason != "unexpected end of data":
            lines = (part[start : start + 16].hex(" ") for start in range(0, len(part), 16))
            return f"hexadecimal, {of}", "\n".join(lines)
        text = part[: exc.start].decode()
    return f"text, {of}", "".join(
        each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text
    )
