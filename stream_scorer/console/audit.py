"""Who did what, when and from where; the database refuses to change it."""

from sqlalchemy import Connection

from stream_scorer.console import schema
from stream_scorer.console.people import Person


def note(
    connection: Connection, *, at: int, actor: str, address: str, action: str, target: str = ""
) -> None:
    """Write one line, in the transaction of what it tells of."""
    connection.execute(
        schema.audit.insert().values(
            at=at, actor=actor, address=address, action=action, target=target[:500]
        )
    )


def act(connection: Connection, by: Person, *, at: int, action: str, target: str = "") -> None:
    """Write what somebody did who is signed in."""
    note(connection, at=at, actor=by.name, address=by.address, action=action, target=target)
