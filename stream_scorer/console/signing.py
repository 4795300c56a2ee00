"""Signing up and in: one answer, and equal work, whether a name is known or not."""

from collections.abc import Callable

from sqlalchemy import delete, func, select

from stream_scorer.console import accounts, audit, schema, sessions
from stream_scorer.console.database import Database
from stream_scorer.console.people import Role
from stream_scorer.errors import BadInput

# Wrong tries within a minute, of one name or from one address, after which none is looked at.
MOST_TRIES, WITHIN_MS = 5, 60_000
WRONG = "Name or password is not right, or the account is not approved yet."
TOO_MANY = "Too many tries. Try again in a minute."
WAITS = "Your account waits for approval by an administrator."


class Desk:
    """Where people sign up and in."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        """Use `database`; `clock` gives milliseconds since 1970."""
        self._database = database
        self._clock = clock

    def sign_up(self, name: str, password: str, *, address: str) -> None:
        """Ask for an account; it waits for approval. A name that is taken gets the same answer.

        Raises BadInput for a name or password that cannot be one, or too many tries.
        """
        folded = accounts.fold(name)
        self._count_try(address)
        hashed = accounts.hash_password(password)
        with self._database.writing() as connection:
            made = accounts.create(
                connection,
                name=folded,
                hashed=hashed,
                role=Role.VIEWER,
                state=accounts.WAITING,
                now=self._clock(),
            )
            audit.note(
                connection,
                at=self._clock(),
                actor=folded,
                address=address,
                action="sign up" if made else "sign up with a name that is taken",
            )

    def sign_in(self, name: str, password: str, *, address: str) -> str:
        """Return a new session's cookie value; raise BadInput with what to show otherwise."""
        try:
            folded = accounts.fold(name)
        except BadInput:
            raise BadInput(WRONG) from None
        tries = self._count_try(address, folded)
        with self._database.reading() as connection:
            found = accounts.find(connection, folded)
        right = accounts.holds(found[1] if found else "", password)
        now, token = self._clock(), None
        with self._database.writing() as connection:
            if right and found and found[0].state == accounts.ACTIVE:
                connection.execute(delete(schema.attempt).where(schema.attempt.c.id.in_(tries)))
                token = sessions.begin(connection, user_id=found[0].id, address=address, now=now)
            action = "sign in" if token else "sign in refused"
            audit.note(connection, at=now, actor=folded, address=address, action=action)
        if token is None:
            raise BadInput(WRONG)
        return token

    def _count_try(self, *who: str) -> list[int]:
        """Note a try of each; raise BadInput if one had too many; return the notes' ids."""
        now = self._clock()
        hashed = [sessions.hash_of(each) for each in who]
        attempt = schema.attempt
        with self._database.writing() as connection:
            connection.execute(delete(attempt).where(attempt.c.at <= now - WITHIN_MS))
            most = max(
                connection.scalar(
                    select(func.count()).select_from(attempt).where(attempt.c.who == each)
                )
                or 0
                for each in hashed
            )
            if most < MOST_TRIES:
                return [
                    connection.scalars(
                        attempt.insert().values(who=each, at=now).returning(attempt.c.id)
                    ).one()
                    for each in hashed
                ]
        raise BadInput(TOO_MANY)
