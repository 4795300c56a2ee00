"""Who may sign in, how often, and what the answer tells."""

import pytest
from sqlalchemy import Connection, select

from stream_scorer.console import accounts, schema, sessions
from stream_scorer.console.database import Database
from stream_scorer.console.people import Person, Role
from stream_scorer.console.sessions import IDLE_MS, LONGEST_MS
from stream_scorer.console.signing import MOST_TRIES, TOO_MANY, WITHIN_MS, WRONG, Desk
from stream_scorer.errors import BadInput
from tests.console.conftest import Milliseconds

PASSWORD = "correct horse battery"  # noqa: S105 - of no account but the tests'
HOME = "127.0.0.1"


@pytest.fixture
def desk(database: Database, clock: Milliseconds) -> Desk:
    return Desk(database, clock)


def add(database: Database, name: str, role: Role, state: str = accounts.ACTIVE) -> None:
    with database.writing() as connection:
        accounts.create(
            connection,
            name=name,
            hashed=accounts.hash_password(PASSWORD),
            role=role,
            state=state,
            now=0,
        )


def who(database: Database, token: str, now: int) -> Person | None:
    with database.reading() as connection:
        return sessions.find(connection, sessions.hash_of(token), now)


def actions(database: Database) -> list[str]:
    with database.reading() as connection:
        return list(connection.scalars(select(schema.audit.c.action).order_by(schema.audit.c.id)))


def test_new_account_waits_until_an_administrator_approves(
    desk: Desk, database: Database, clock: Milliseconds
) -> None:
    desk.sign_up("Ana", PASSWORD, address=HOME)
    with pytest.raises(BadInput, match=WRONG):
        desk.sign_in("Ana", PASSWORD, address=HOME)
    add(database, "root", Role.ADMINISTRATOR)
    root = who(database, desk.sign_in("root", PASSWORD, address=HOME), clock.now)
    assert root is not None
    with database.writing() as connection:
        found = accounts.find(connection, "ana")
        assert found is not None
        accounts.change(
            connection, root, found[0], role=Role.ANALYST, state="active", now=clock.now
        )
    ana = who(database, desk.sign_in(" ANA ", PASSWORD, address=HOME), clock.now)
    assert ana is not None
    assert (ana.name, ana.role) == ("ana", Role.ANALYST)
    assert actions(database) == [
        "sign up",
        "sign in refused",
        "sign in",
        "account",
        "sign in",
    ]


def test_wrong_password_unknown_name_and_waiting_account_get_one_answer(
    desk: Desk, database: Database
) -> None:
    add(database, "ana", Role.ANALYST)
    add(database, "ben", Role.ANALYST, accounts.WAITING)
    add(database, "eve", Role.ANALYST, accounts.CLOSED)
    tries = [("ana", "wrong"), ("nobody", PASSWORD), ("ben", PASSWORD), ("eve", PASSWORD)]
    for number, (name, password) in enumerate([*tries, ("", PASSWORD), ("a\x00b", PASSWORD)]):
        with pytest.raises(BadInput, match=f"^{WRONG}$"):
            desk.sign_in(name, password, address=f"10.0.0.{number}")


def test_name_that_is_taken_cannot_be_told_by_signing_up(desk: Desk, database: Database) -> None:
    add(database, "ana", Role.ADMINISTRATOR)
    desk.sign_up("ana", "another password of length", address=HOME)
    assert desk.sign_in("ana", PASSWORD, address=HOME), "nothing has changed"


@pytest.mark.parametrize("password", ["", "elevenchars", "x" * 1001])
def test_password_too_short_or_too_long_is_refused(desk: Desk, password: str) -> None:
    with pytest.raises(BadInput, match="12 to 1000"):
        desk.sign_up("ana", password, address=HOME)


@pytest.mark.parametrize("same", ["name", "address"])
def test_after_five_wrong_tries_none_is_looked_at_for_a_minute(
    desk: Desk, database: Database, clock: Milliseconds, same: str
) -> None:
    add(database, "ana", Role.ANALYST)
    for number in range(MOST_TRIES):
        name = "ana" if same == "name" else f"n{number}"
        address = HOME if same == "address" else f"10.0.0.{number}"
        with pytest.raises(BadInput, match=WRONG):
            desk.sign_in(name, "wrong", address=address)
    with pytest.raises(BadInput, match=TOO_MANY):
        desk.sign_in("ana", PASSWORD, address=HOME)
    clock.now += WITHIN_MS
    assert desk.sign_in("ana", PASSWORD, address=HOME)


def test_right_sign_ins_are_no_tries(desk: Desk, database: Database) -> None:
    add(database, "ana", Role.ANALYST)
    for _ in range(MOST_TRIES + 1):
        desk.sign_in("ana", PASSWORD, address=HOME)


def test_session_is_new_at_every_sign_in_and_only_its_hash_is_stored(
    desk: Desk, database: Database
) -> None:
    add(database, "ana", Role.ANALYST)
    tokens = [desk.sign_in("ana", PASSWORD, address=HOME) for _ in range(2)]
    assert len(set(tokens)) == 2
    with database.reading() as connection:
        stored = set(connection.scalars(select(schema.session.c.id)))
    assert stored == {sessions.hash_of(token) for token in tokens}


def test_session_ends_when_idle_and_at_the_latest_after_its_time(
    desk: Desk, database: Database, clock: Milliseconds
) -> None:
    add(database, "ana", Role.ANALYST)
    token, begun = desk.sign_in("ana", PASSWORD, address=HOME), clock.now
    assert who(database, token, begun + IDLE_MS - 1)
    assert not who(database, token, begun + IDLE_MS)
    for now in range(begun, begun + LONGEST_MS, IDLE_MS // 2):
        assert who(database, token, now)
        with database.writing() as connection:
            sessions.touch(connection, sessions.hash_of(token), now)
    assert not who(database, token, begun + LONGEST_MS)


def test_no_one_changes_their_own_account_and_the_last_administrator_stays(
    desk: Desk, database: Database, clock: Milliseconds
) -> None:
    add(database, "root", Role.ADMINISTRATOR)
    add(database, "two", Role.ADMINISTRATOR)
    add(database, "ana", Role.ANALYST)
    people = {
        name: who(database, desk.sign_in(name, PASSWORD, address=HOME), clock.now)
        for name in ("root", "two", "ana")
    }
    root, two, ana = people["root"], people["two"], people["ana"]
    assert root and two and ana  # noqa: PT018

    def change(by: Person, of: Person, role: Role, state: str = "active") -> None:
        with database.writing() as connection:
            account = account_of(connection, of.name)
            accounts.change(connection, by, account, role=role, state=state, now=clock.now)

    with pytest.raises(BadInput, match="their own"):
        change(root, root, Role.VIEWER)
    with pytest.raises(BadInput, match="only an administrator"):
        change(ana, two, Role.VIEWER)
    change(root, two, Role.ADMINISTRATOR, "closed")
    with pytest.raises(BadInput, match="last administrator"):
        change(two, root, Role.OPERATOR)
    assert not who(database, two.session_id, clock.now)


def account_of(connection: Connection, name: str) -> accounts.Account:
    found = accounts.find(connection, name)
    assert found is not None
    return found[0]


def test_changed_role_ends_the_sessions_of_the_account(
    desk: Desk, database: Database, clock: Milliseconds
) -> None:
    add(database, "root", Role.ADMINISTRATOR)
    add(database, "ana", Role.VIEWER)
    token = desk.sign_in("ana", PASSWORD, address=HOME)
    root = who(database, desk.sign_in("root", PASSWORD, address=HOME), clock.now)
    ana = who(database, token, clock.now)
    assert root and ana  # noqa: PT018
    with database.writing() as connection:
        account = account_of(connection, "ana")
        accounts.change(connection, root, account, role=Role.ANALYST, state="active", now=clock.now)
    assert who(database, token, clock.now) is None
    # Another administrator, whose page is from before.
    with (
        database.writing() as connection,
        pytest.raises(BadInput, match="ana is analyst, active by now: look again"),
    ):
        accounts.change(connection, root, account, role=Role.VIEWER, state="closed", now=clock.now)
