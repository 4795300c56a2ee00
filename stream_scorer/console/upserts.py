"""Inserting what may be there already, in both databases alike."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, literal, select
from sqlalchemy.dialects import postgresql, sqlite


def insert(connection: Connection, table: Table) -> Any:  # noqa: ANN401 - one of two dialects' own
    """Return the database's own INSERT, which knows ON CONFLICT."""
    makes = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    return makes(table)


def insert_new(
    connection: Connection, table: Table, row: Mapping[str, Any], *, unique: Sequence[str]
) -> bool:
    """Insert a row unless one with the same unique columns is there; tell whether it was not."""
    if connection.dialect.name == "postgresql":  # a conflict would use up an id, and ids count
        known = select(literal(1)).where(*(table.c[name] == row[name] for name in unique))
        if connection.execute(known.limit(1)).first() is not None:
            return False
    statement = insert(connection, table).values(dict(row))
    statement = statement.on_conflict_do_nothing(index_elements=list(unique))
    return connection.execute(statement.returning(literal(1))).first() is not None


def insert_or_update(
    connection: Connection, table: Table, row: Mapping[str, Any], *, unique: Sequence[str]
) -> None:
    """Insert a row, or give the one with the same unique columns these values."""
    statement = insert(connection, table).values(dict(row))
    others = {name: value for name, value in row.items() if name not in unique}
    connection.execute(statement.on_conflict_do_update(index_elements=list(unique), set_=others))
