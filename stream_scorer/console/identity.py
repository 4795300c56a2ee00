"""Who a session's cookie is of, asked of the database each time: an ended session ends at once."""

from collections.abc import Callable

from stream_scorer.console import sessions
from stream_scorer.console.database import Database
from stream_scorer.console.people import Person


class Identity:
    """Sessions, for the guard and for what acts."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        """Ask `database`; `clock` gives milliseconds since 1970."""
        self._database = database
        self._clock = clock

    def person(self, token: str) -> Person | None:
        """Return who a cookie's value is of."""
        return self.of_session(sessions.hash_of(token))

    def of_session(self, session_id: str) -> Person | None:
        """Return who a session is of, None if it has ended."""
        with self._database.reading() as connection:
            return sessions.find(connection, session_id, self._clock())

    def touch(self, person: Person) -> None:
        """Note that a person did something, unless that was noted lately."""
        now = self._clock()
        if now - person.used_at >= sessions.TOUCH_MS:
            with self._database.writing() as connection:
                sessions.touch(connection, person.session_id, now)
