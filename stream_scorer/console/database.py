"""Opens the console's database, SQLite or PostgreSQL, and brings its tables up to date."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, OperationalError

from stream_scorer.errors import BadInput

MIGRATIONS = Path(__file__).parent / "migrations"
# Milliseconds that a writer waits for another one.
BUSY_MS = 10_000
DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}


class Database:
    """One database: readers see what is committed, writers come one after the other in SQLite."""

    def __init__(self, url: str) -> None:
        """Connect, and apply the migrations that are missing.

        Raises BadInput if the URL names no database that we know, or it cannot be opened.
        """
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise BadInput(
                "SCORER_CONSOLE_DATABASE is no URL: want sqlite:///console.db or "
                "postgresql://user@host/name"
            ) from None
        if parsed.drivername not in DRIVERS:
            raise BadInput(
                f"SCORER_CONSOLE_DATABASE begins with {parsed.drivername!r}: want one of "
                f"{', '.join(DRIVERS)}"
            )
        self.shown = parsed.render_as_string(hide_password=True)
        self.engine: Engine = create_engine(
            parsed.set(drivername=DRIVERS[parsed.drivername]), pool_pre_ping=True
        )
        if parsed.drivername == "sqlite":
            event.listen(self.engine, "connect", tune_sqlite)
            event.listen(self.engine, "begin", begin_sqlite)
        else:
            event.listen(self.engine, "connect", tune_postgresql)
        try:
            upgrade(self.engine)
        except OperationalError as exc:
            self.close()
            raise BadInput(f"SCORER_CONSOLE_DATABASE {self.shown}: {exc.orig}".strip()) from exc
        except BadInput:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that writes nothing."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection in a transaction that ends with the block, or is undone if it raises.

        In SQLite it takes the one writer's place at once: to ask for it later may fail.
        """
        with self.engine.connect() as connection:
            connection.execution_options(writes=True)
            with connection.begin():
                yield connection

    def close(self) -> None:
        """Let the connections go."""
        self.engine.dispose()


def tune_sqlite(connection: sqlite3.Connection, _: Any) -> None:  # noqa: ANN401 - SQLAlchemy's
    """Let readers go on beside the writer, and transactions begin when we say."""
    connection.isolation_level = None
    for pragma in (
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_MS}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def tune_postgresql(connection: Any, _: Any) -> None:  # noqa: ANN401 - psycopg's, SQLAlchemy's
    """Wait no longer for a row that somebody else has locked than for SQLite's one writer."""
    connection.execute(f"SET lock_timeout = {BUSY_MS}")
    connection.commit()


def begin_sqlite(connection: Connection) -> None:
    """Begin a transaction, a writer's if the connection is one."""
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def upgrade(engine: Engine) -> None:
    """Apply the migrations that are missing; raise BadInput where the database is from later."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.connect() as connection:
        connection.execution_options(writes=True)
        with connection.begin():
            if engine.dialect.name == "postgresql":  # two consoles may start at once
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7244371)")
            found = MigrationContext.configure(connection).get_current_revision()
            known = {each.revision for each in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}
            if found is not None and found not in known:
                raise BadInput(
                    f"the console's database is of a later release (revision {found}): "
                    "want that release, or a backup from before"
                )
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
