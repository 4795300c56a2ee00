"""What pages are built with."""

from collections.abc import Callable
from dataclasses import dataclass

from nicegui import ui

from stream_scorer.config import Settings
from stream_scorer.console.database import Database
from stream_scorer.console.guard import PERSON
from stream_scorer.console.identity import Identity
from stream_scorer.console.jobs import Jobs
from stream_scorer.console.people import Person, Role
from stream_scorer.console.pulse import Pulse
from stream_scorer.console.shelf import Shelf
from stream_scorer.errors import BadInput


@dataclass(frozen=True, slots=True)
class Context:
    """The parts that pages share; one for the process."""

    settings: Settings
    database: Database
    identity: Identity
    pulse: Pulse
    jobs: Jobs
    shelf: Shelf
    clock: Callable[[], int]  # milliseconds since 1970
    address: str  # by which browsers reach it

    def person(self) -> Person:
        """Return who the page at hand was loaded by."""
        person: Person = ui.context.client.request.scope["state"][PERSON]
        return person

    def acting(self, loaded_by: Person, role: Role) -> Person:
        """Return who acts on a page that `loaded_by` has loaded, asked of the database again.

        Raises BadInput if the session has ended or has not the role: what acts calls this, whatever
        the page has drawn.
        """
        person = self.identity.of_session(loaded_by.session_id)
        if person is None:
            raise BadInput("the session has ended: sign in again")
        if not person.may(role):
            raise BadInput(f"this wants the role {role.word}")
        return person
