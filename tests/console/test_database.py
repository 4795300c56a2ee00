"""The tables are those of the migrations; what only grows is refused to shrink or change."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.exc import DBAPIError

from stream_scorer.console import audit, schema
from stream_scorer.console.database import Database
from stream_scorer.errors import BadInput


def test_migrations_make_the_tables_that_the_code_knows(database: Database) -> None:
    with database.reading() as connection:
        found = compare_metadata(MigrationContext.configure(connection), schema.metadata)
    assert found == []


def test_second_start_changes_nothing(database: Database, url: str) -> None:
    with database.writing() as connection:
        audit.note(connection, at=1, actor="ana", address="", action="sign in")
    again = Database(url)
    with again.reading() as connection:
        assert connection.scalar(schema.audit.select().with_only_columns(schema.audit.c.id)) == 1
    again.close()


def test_database_of_the_first_release_is_brought_up_with_its_rows(
    database: Database, url: str
) -> None:
    with database.writing() as connection:  # as revision 0001 left it
        for statement in (
            "ALTER TABLE ingest DROP COLUMN topic_id",
            "DROP INDEX ix_alert_assignee_state",
            "UPDATE alembic_version SET version_num = '0001'",
            "INSERT INTO ingest VALUES ('fraud-alerts', 0, 7)",
        ):
            connection.exec_driver_sql(statement)
    again = Database(url)
    with again.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
        (row,) = connection.execute(schema.ingest.select()).all()
    again.close()
    assert tuple(row) == ("fraud-alerts", 0, 7, "")


@pytest.mark.parametrize("change", ["UPDATE audit SET actor = 'eve'", "DELETE FROM audit"])
def test_audit_trail_cannot_be_edited(database: Database, change: str) -> None:
    with database.writing() as connection:
        audit.note(connection, at=1, actor="ana", address="", action="sign in")
    with pytest.raises(DBAPIError, match="audit only grows"), database.writing() as connection:
        connection.exec_driver_sql(change)
    with database.reading() as connection:
        assert connection.scalar(schema.audit.select().with_only_columns(schema.audit.c.actor)) == (
            "ana"
        )


def test_what_raises_within_a_transaction_is_undone(database: Database) -> None:
    def fail() -> None:
        with database.writing() as connection:
            audit.note(connection, at=1, actor="ana", address="", action="sign in")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with database.reading() as connection:
        assert connection.execute(schema.audit.select()).all() == []


def test_database_of_a_later_release_is_refused(database: Database, url: str) -> None:
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(BadInput, match=r"later release \(revision 9999\)"):
        Database(url)


@pytest.mark.parametrize("wrong", ["console.db", "mysql://h/n", "sqlite:////no/such/folder/c.db"])
def test_url_that_names_no_database_is_refused_by_the_settings_name(wrong: str) -> None:
    with pytest.raises(BadInput, match=r"^SCORER_CONSOLE_DATABASE "):
        Database(wrong)


def test_password_of_a_url_is_never_told() -> None:
    with pytest.raises(BadInput) as caught:
        Database("postgresql://ana:hidden@127.0.0.1:1/none?connect_timeout=2")
    assert "hidden" not in str(caught.value)
