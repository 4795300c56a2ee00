"""Uploads in the database: their state, their rows, page by page; each is its owner's alone."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, or_, select

from stream_scorer.console import audit, schema
from stream_scorer.console.people import Person
from stream_scorer.errors import BadInput

WAITING, SCORING, DONE, FAILED, CANCELLED = "waiting", "scoring", "done", "failed", "cancelled"
RUNNING = (WAITING, SCORING)
HOLDER = "uploads/"  # leases of consoles that score begin so
KEEP_MS = 7 * 86_400_000
ROWS, CHUNK = 50, 5_000
DECISIONS = ("all", "fraud", "genuine", "not scored")
UPLOAD, ROW = schema.upload.c, schema.upload_row.c


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload, without its rows."""

    id: str
    owner: str
    name: str
    state: str
    problem: str
    progress: float
    summary: dict[str, Any]  # empty until it is done
    created_at: int


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """What became of one row of a file."""

    line: int
    transaction_id: str
    probability: float | None
    decision: str
    reasons: str


def begin(  # noqa: PLR0913 - what is known of a file
    connection: Connection,
    by: Person,
    *,
    upload_id: str,
    name: str,
    size: int,
    holder: str,
    now: int,
) -> None:
    """Note a file that has arrived; `holder` is the lease of the console that will score it."""
    connection.execute(
        schema.upload.insert().values(
            id=upload_id,
            owner=by.name,
            name=name,
            state=WAITING,
            problem="",
            progress=0.0,
            summary="",
            holder=holder,
            created_at=now,
        )
    )
    audit.act(
        connection,
        by,
        at=now,
        action="upload",
        target=f"{name}, {size} bytes",
    )


def move(connection: Connection, upload_id: str, **values: Any) -> bool:  # noqa: ANN401 - columns
    """Change an upload that still runs; tell whether it does."""
    done = connection.execute(
        schema.upload.update()
        .where(UPLOAD.id == upload_id)
        .where(UPLOAD.state.in_(RUNNING))
        .values(**values)
        .returning(UPLOAD.id)
    )
    return done.first() is not None


def store(connection: Connection, upload_id: str, rows: Sequence[ScoredRow]) -> None:
    """Add rows of an upload."""
    connection.execute(
        schema.upload_row.insert(),
        [
            {
                "upload_id": upload_id,
                "line": row.line,
                "transaction_id": row.transaction_id[:500].replace("\0", ""),
                "probability": row.probability,
                "decision": row.decision,
                "reasons": row.reasons[:1000].replace("\0", ""),
            }
            for row in rows
        ],
    )


def of_owner(connection: Connection, by: Person) -> list[Upload]:
    """Return a person's uploads, the newest first."""
    rows = connection.execute(
        select(schema.upload)
        .where(UPLOAD.owner == by.name)
        .order_by(UPLOAD.created_at.desc())
        .limit(100)
    )
    return [as_upload(row) for row in rows]


def find(connection: Connection, by: Person, upload_id: str) -> Upload | None:
    """Return one of a person's uploads; None if there is none of that id, or another's."""
    row = connection.execute(
        select(schema.upload).where(UPLOAD.id == upload_id).where(UPLOAD.owner == by.name)
    ).one_or_none()
    return None if row is None else as_upload(row)


def as_upload(row: Any) -> Upload:  # noqa: ANN401 - SQLAlchemy's row
    """Return a row as what it means."""
    summary = json.loads(row.summary) if row.summary else {}
    return Upload(
        row.id, row.owner, row.name, row.state, row.problem, row.progress, summary, row.created_at
    )


def page(
    connection: Connection, upload_id: str, *, decision: str, after: tuple[float, int] | None
) -> list[ScoredRow]:
    """Return rows by falling probability, those behind `after` (probability and line)."""
    if decision not in DECISIONS:
        raise BadInput(f"decision {decision!r}: want {', '.join(DECISIONS)}")
    query = chosen(upload_id)
    if decision == "not scored":
        query = query.where(ROW.probability.is_(None)).order_by(ROW.line)
        if after:
            query = query.where(ROW.line > after[1])
    else:
        query = query.where(ROW.probability.is_not(None))
        query = query.order_by(ROW.probability.desc(), ROW.line.desc())
        if decision != "all":
            query = query.where(ROW.decision == decision)
        if after:
            query = query.where(
                or_(
                    ROW.probability < after[0],
                    and_(ROW.probability == after[0], ROW.line < after[1]),
                )
            )
    return [ScoredRow(*row) for row in connection.execute(query.limit(ROWS))]


def every_row(connection: Connection, upload_id: str) -> Iterator[ScoredRow]:
    """Yield all rows in the file's order; no more than a few thousand are held."""
    last = -1
    while True:
        rows = connection.execute(
            chosen(upload_id).where(ROW.line > last).order_by(ROW.line).limit(CHUNK)
        ).all()
        if not rows:
            return
        yield from (ScoredRow(*row) for row in rows)
        last = rows[-1].line


def chosen(upload_id: str) -> Select[Any]:
    """Return the query for an upload's rows."""
    return select(ROW.line, ROW.transaction_id, ROW.probability, ROW.decision, ROW.reasons).where(
        ROW.upload_id == upload_id
    )


def remove(connection: Connection, by: Person, *, upload_id: str, now: int) -> None:
    """Delete one of a person's uploads with all its rows; raise BadInput if there is none."""
    found = find(connection, by, upload_id)
    if found is None:
        raise BadInput("there is no such upload")
    connection.execute(delete(schema.upload).where(UPLOAD.id == upload_id))
    audit.act(
        connection,
        by,
        at=now,
        action="delete upload",
        target=found.name,
    )


def forget(connection: Connection, now: int) -> None:
    """Delete what is older than is kept."""
    connection.execute(delete(schema.upload).where(UPLOAD.created_at <= now - KEEP_MS))


def interrupted(connection: Connection, now: int) -> None:
    """Give up what a console was scoring that has ended: its lease has run out."""
    lease = schema.lease.c
    connection.execute(
        delete(schema.lease).where(lease.name.like(f"{HOLDER}%"), lease.until <= now)
    )
    connection.execute(
        schema.upload.update()
        .where(UPLOAD.state.in_(RUNNING))
        .where(UPLOAD.holder.not_in(select(lease.name)))
        .values(state=FAILED, problem="the console was stopped meanwhile: upload it again")
    )
