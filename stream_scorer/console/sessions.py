"""Sessions: a random cookie, of which the database knows only the hash."""

import hashlib
import secrets
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from stream_scorer.console import schema
from stream_scorer.console.people import Person, Role

# Milliseconds. A session ends after the first, or after the second without a person's action.
LONGEST_MS, IDLE_MS = 8 * 3_600_000, 30 * 60_000
# Milliseconds between two notes that a session is in use.
TOUCH_MS = 60_000


def hash_of(token: str) -> str:
    """Return what is stored of a cookie's value, or of who tries to sign in."""
    return hashlib.sha256(token.encode()).hexdigest()


def begin(connection: Connection, *, user_id: int, address: str, now: int) -> str:
    """Begin a session; return the cookie's value, which is kept nowhere."""
    connection.execute(
        delete(schema.session).where(schema.session.c.created_at <= now - LONGEST_MS)
    )
    token = secrets.token_urlsafe(32)
    connection.execute(
        schema.session.insert().values(
            id=hash_of(token),
            user_id=user_id,
            form_token=secrets.token_urlsafe(32),
            address=address[:100],
            created_at=now,
            used_at=now,
        )
    )
    return token


def find(connection: Connection, session_id: str, now: int) -> Person | None:
    """Return who a session is of; None if it has ended or its account is not active."""
    row = connection.execute(
        select(schema.session, schema.user.c.name, schema.user.c.role)
        .join(schema.user)
        .where(schema.session.c.id == session_id)
        .where(schema.session.c.created_at > now - LONGEST_MS)
        .where(schema.session.c.used_at > now - IDLE_MS)
        .where(schema.user.c.state == "active")
    ).one_or_none()
    if row is None:
        return None
    role = Role.of(row.role)
    return Person(row.user_id, row.name, role, row.id, row.form_token, row.address, row.used_at)


@dataclass(frozen=True, slots=True)
class Open:
    """A session that has not ended, as administrators see it."""

    id: str
    user_id: int
    address: str
    created_at: int
    used_at: int


def still_open(connection: Connection, now: int) -> list[Open]:
    """Return the sessions that have not ended, the newest first."""
    session = schema.session.c
    rows = connection.execute(
        select(session.id, session.user_id, session.address, session.created_at, session.used_at)
        .where(session.created_at > now - LONGEST_MS, session.used_at > now - IDLE_MS)
        .order_by(session.created_at.desc(), session.id)
    )
    return [Open(*row) for row in rows]


def touch(connection: Connection, session_id: str, now: int) -> None:
    """Note that a person has used a session."""
    connection.execute(
        schema.session.update().where(schema.session.c.id == session_id).values(used_at=now)
    )


def end(connection: Connection, session_id: str) -> None:
    """End one session."""
    connection.execute(delete(schema.session).where(schema.session.c.id == session_id))


def end_all(connection: Connection, user_id: int) -> None:
    """End every session of an account."""
    connection.execute(delete(schema.session).where(schema.session.c.user_id == user_id))
