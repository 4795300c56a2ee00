"""Accounts: signing up, approval, roles; passwords are hashed by Argon2."""

import unicodedata
from dataclasses import dataclass
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from sqlalchemy import Connection, select

from stream_scorer.console import audit, schema, sessions
from stream_scorer.console.people import Person, Role
from stream_scorer.console.upserts import insert_new
from stream_scorer.errors import BadInput

LONGEST_NAME, SHORTEST_PASSWORD, LONGEST_PASSWORD = 100, 12, 1000
WAITING, ACTIVE, CLOSED = "waiting", "active", "closed"
HASHER = PasswordHasher()  # RFC 9106's second recommendation: 64 MiB
# What an unknown name is compared with, so that it takes as long as a known one.
NOBODYS = HASHER.hash("nobody has this password")


@dataclass(frozen=True, slots=True)
class Account:
    """One account, as administrators see it."""

    id: int
    name: str
    role: Role
    state: str
    created_at: int


def fold(name: str) -> str:
    """Return a name as it is compared and stored; raise BadInput for one that is none."""
    folded = unicodedata.normalize("NFKC", name).strip().casefold()
    if not 1 <= len(folded) <= LONGEST_NAME or not all(map(str.isprintable, folded)):
        raise BadInput(f"a name has 1 to {LONGEST_NAME} printable characters")
    return folded


def hash_password(password: str) -> str:
    """Return the Argon2 hash of a new password; raise BadInput for one that is too short."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise BadInput(f"a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters")
    return HASHER.hash(password)


def holds(hashed: str, password: str) -> bool:
    """Tell whether a password is the one of a hash; it takes as long for an empty hash."""
    try:
        return HASHER.verify(hashed or NOBODYS, password[:LONGEST_PASSWORD]) and bool(hashed)
    except (VerifyMismatchError, InvalidHashError):
        return False


def create(  # noqa: PLR0913 - what an account is
    connection: Connection,
    *,
    name: str,
    hashed: str,
    role: Role,
    state: str,
    now: int,
    subject: str | None = None,
) -> bool:
    """Add an account; tell whether the name was free. `name` is folded, `hashed` Argon2's.

    `subject` is a provider's name for the person, who then has no password here.
    """
    row = {
        "name": name,
        "password": hashed,
        "role": role.word,
        "state": state,
        "subject": subject,
        "created_at": now,
    }
    return insert_new(connection, schema.user, row, unique=["name"])


def find(connection: Connection, name: str) -> tuple[Account, str] | None:
    """Return the account of a folded name and its password's hash, None if there is none."""
    row = connection.execute(select(schema.user).where(schema.user.c.name == name)).one_or_none()
    if row is None:
        return None
    return as_account(row), row.password


def of_subject(connection: Connection, *, subject: str, name: str, now: int) -> Account:
    """Return the account of whom a provider knows as `subject`; a new one waits for approval.

    A name that somebody else has gets a number behind it: it is shown, and opens nothing.
    """
    table = schema.user
    row = connection.execute(select(table).where(table.c.subject == subject)).one_or_none()
    if row is None:
        stem, number = fold(name)[: LONGEST_NAME - 5], 1
        free = stem
        while not create(
            connection,
            name=free,
            hashed="",
            role=Role.VIEWER,
            state=WAITING,
            subject=subject,
            now=now,
        ):
            number += 1
            free = f"{stem} {number}"
        row = connection.execute(select(table).where(table.c.subject == subject)).one()
    return as_account(row)


def as_account(row: Any) -> Account:  # noqa: ANN401 - SQLAlchemy's row
    """Return a row as what it means."""
    return Account(row.id, row.name, Role.of(row.role), row.state, row.created_at)


def everyone(connection: Connection) -> list[Account]:
    """Return all accounts, those that wait first, then by name."""
    rows = connection.execute(
        select(schema.user).order_by(schema.user.c.state != WAITING, schema.user.c.name)
    )
    return [as_account(row) for row in rows]


def change(
    connection: Connection, by: Person, account: Account, *, role: Role, state: str, now: int
) -> None:
    """Set role and state of another's account, and end its sessions.

    Raises BadInput for one's own, for one that is not there or not as it was looked at, and for
    the last administrator.
    """
    user_id = account.id
    if not by.may(Role.ADMINISTRATOR):
        raise BadInput("only an administrator changes accounts")
    if user_id == by.user_id:
        raise BadInput("no one changes their own account: ask another administrator")
    active = select(schema.user.c.id).where(
        schema.user.c.role == Role.ADMINISTRATOR.word, schema.user.c.state == ACTIVE
    )
    # All of them, in one order: two who close each other come one after the other.
    administrators = connection.scalars(active.order_by(schema.user.c.id).with_for_update()).all()
    row = connection.execute(
        select(schema.user).where(schema.user.c.id == user_id).with_for_update()
    ).one_or_none()
    if row is None:
        raise BadInput(f"there is no account {user_id}")
    if (row.role, row.state) != (account.role.word, account.state):
        raise BadInput(f"{row.name} is {row.role}, {row.state} by now: look again")
    if row.role == Role.ADMINISTRATOR.word and row.state == ACTIVE:
        others = [each for each in administrators if each != user_id]
        if not others and (role is not Role.ADMINISTRATOR or state != ACTIVE):
            raise BadInput("the last administrator stays")
    connection.execute(
        schema.user.update().where(schema.user.c.id == user_id).values(role=role.word, state=state)
    )
    sessions.end_all(connection, user_id)
    audit.act(
        connection,
        by,
        at=now,
        action="account",
        target=f"{row.name}: {row.role}, {row.state} -> {role.word}, {state}",
    )
