"""Administration: accounts and roles, sessions, the audit trail, and how far each topic is read."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from nicegui import run, ui
from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError

from stream_scorer.console import accounts, audit, schema, sessions
from stream_scorer.console.accounts import ACTIVE, CLOSED, WAITING, Account
from stream_scorer.console.context import Context
from stream_scorer.console.pages.elements import Words, columns, rows_table
from stream_scorer.console.pages.frame import frame
from stream_scorer.console.pages.words import NOTHING_SAVED, moment_utc, number
from stream_scorer.console.people import Person, Role
from stream_scorer.console.sessions import Open
from stream_scorer.errors import BadInput

AUDIT_ROWS = 100
PROBLEM_ROWS = 20


@dataclass(frozen=True, slots=True)
class Found:
    """What the page shows; rows of tables as words."""

    everyone: list[Account]
    open_sessions: list[Open]
    trail: list[dict[str, str]]
    read: list[dict[str, str]]  # how far each partition is
    problems: list[dict[str, str]]  # records that were passed over, the newest first


class Office:
    """One administrator's page."""

    def __init__(self, context: Context, person: Person) -> None:
        """Draw nothing yet."""
        self.context = context
        self.person = person
        self.said: Words
        self.reads = 0
        self.chosen: dict[int, str] = {}  # roles that are chosen and not set, by account

    async def change(self, account: Account, *, role: Role, state: str) -> None:
        """Set an account's role and state."""

        def act(connection: Connection, by: Person) -> None:
            now = self.context.clock()
            accounts.change(connection, by, account, role=role, state=state, now=now)

        said = f"{account.name} is {role.word}, {state}; its sessions have ended."
        await self._act(act, said, done=lambda: self.chosen.pop(account.id, None))

    async def sign_out_everywhere(self, account: Account) -> None:
        """End an account's sessions."""

        def act(connection: Connection, by: Person) -> None:
            sessions.end_all(connection, account.id)
            audit.act(
                connection,
                by,
                at=self.context.clock(),
                action="end sessions",
                target=account.name,
            )

        await self._act(act, f"The sessions of {account.name} have ended.")

    async def sign_out(self, account: Account, session: Open) -> None:
        """End one session."""

        def act(connection: Connection, by: Person) -> None:
            sessions.end(connection, session.id)
            target = f"{account.name}, from {session.address}"
            audit.act(connection, by, at=self.context.clock(), action="end session", target=target)

        await self._act(act, f"A session of {account.name} has ended.")

    async def _act(
        self,
        act: Callable[[Connection, Person], None],
        said: str,
        done: Callable[[], object] = lambda: None,
    ) -> None:
        def do() -> None:
            by = self.context.acting(self.person, Role.ADMINISTRATOR)
            with self.context.database.writing() as connection:
                act(connection, by)

        try:
            await run.io_bound(do)
            done()
        except BadInput as exc:
            said = str(exc)
        except SQLAlchemyError:
            said = NOTHING_SAVED
        self.said.set_text(said)
        self.reads += 1
        read = self.reads
        with suppress(SQLAlchemyError):  # what is shown stays
            found = await run.io_bound(self.read)
            if read == self.reads:  # nobody has asked again meanwhile
                await self.draw.refresh(found)

    def read(self) -> Found:
        with self.context.database.reading() as connection:
            everyone = accounts.everyone(connection)
            open_sessions = sessions.still_open(connection, self.context.clock())
            trail = connection.execute(
                select(schema.audit).order_by(schema.audit.c.id.desc()).limit(AUDIT_ROWS)
            )
            read = connection.execute(select(schema.ingest).order_by(schema.ingest.c.topic))
            error = schema.ingest_error
            problems = connection.execute(
                select(error).order_by(error.c.id.desc()).limit(PROBLEM_ROWS)
            )
            return Found(
                everyone,
                open_sessions,
                [
                    {
                        "when": moment_utc(row.at),
                        "who": row.actor,
                        "from": row.address,
                        "what": row.action,
                        "of": row.target,
                    }
                    for row in trail
                ],
                [
                    {
                        "topic": row.topic,
                        "partition": str(row.partition),
                        "next offset": number(row.next_offset),
                    }
                    for row in read
                ],
                [
                    {
                        "record": f"{row.topic}[{row.partition}]@{row.offset}",
                        "what is wrong": row.problem,
                    }
                    for row in problems
                ],
            )

    @ui.refreshable_method
    def draw(self, found: Found | None) -> None:
        """Draw everything as it is now, in one step: no two drawings mix."""
        if found is None:  # the server stops
            return
        everyone, open_sessions = found.everyone, found.open_sessions
        waiting = sum(each.state == WAITING for each in everyone)
        Words("h2", f"Accounts ({waiting} wait for approval)")
        with ui.element("ul").classes("accounts"):
            for account in everyone:
                with ui.element("li").props(f'data-state="{account.state}"'):
                    own = [each for each in open_sessions if each.user_id == account.id]
                    self.draw_account(account, own)
        Words("h2", "Labels for Kafka")
        waits = self.context.pulse.snapshot.labels_waiting
        Words("p", f"{waits} wait." if waits else "None waits.")
        Words("h2", "Read from Kafka")
        rows_table(columns("topic", "partition", "next offset"), found.read)
        if found.problems:
            Words("h3", f"Records that are not what their topic holds (the last {PROBLEM_ROWS})")
            rows_table(columns("record", "what is wrong"), found.problems)
        with ui.expansion("Settings in force").classes("w-full"):
            shown = self.context.settings.shown().items()
            rows = [{"setting": name, "value": str(value)} for name, value in shown]
            rows_table(columns("setting", "value"), rows)
        Words("h2", f"Audit trail (the last {AUDIT_ROWS})")
        rows_table(columns("when", "who", "from", "what", "of"), found.trail)

    def draw_account(self, account: Account, open_sessions: list[Open]) -> None:
        """Draw one account with what can be done to it."""
        Words("strong", account.name)
        Words("span", f"{account.role.word}, {account.state}")
        if account.id == self.person.user_id:
            Words("span", "(you)")
        else:
            self.draw_choices(account)
        self.draw_sessions(account, open_sessions)

    def draw_choices(self, account: Account) -> None:
        """Draw what can be done to somebody else's account."""
        chosen = self.chosen
        role = ui.select(
            [each.word for each in Role],
            value=chosen.get(account.id, account.role.word),
            label=f"Role of {account.name}",
            on_change=lambda event: chosen.update({account.id: str(event.value)}),
        ).classes("w-40")
        words = {WAITING: "Approve", ACTIVE: "Set role", CLOSED: "Open again"}
        ui.button(
            words[account.state],
            on_click=lambda: self.change(account, role=Role.of(str(role.value)), state=ACTIVE),
        )
        if account.state != CLOSED:
            ui.button(
                "Close",
                on_click=lambda: self.change(account, role=account.role, state=CLOSED),
                color=None,
            ).props("outline").classes("quiet")

    def draw_sessions(self, account: Account, open_sessions: list[Open]) -> None:
        """Draw where an account is signed in, each to be ended."""
        others = [each for each in open_sessions if each.id != self.person.session_id]
        count = len(open_sessions)
        with ui.expansion(f"{count} session{'' if count == 1 else 's'}").classes("w-full"):
            with ui.element("ul"):
                for each in open_sessions:
                    since, used = moment_utc(each.created_at), moment_utc(each.used_at)
                    with ui.element("li"):
                        Words("span", f"from {each.address}, since {since}, last used {used}")
                        if each not in others:
                            Words("span", "(this one)")
                            continue
                        ui.button(
                            "Sign out",
                            on_click=lambda each=each: self.sign_out(account, each),
                            color=None,
                        ).props("flat dense").classes("quiet")
            if others and account.id != self.person.user_id:
                ui.button(
                    "Sign out everywhere",
                    on_click=lambda: self.sign_out_everywhere(account),
                    color=None,
                ).props("flat").classes("quiet")


def register(context: Context) -> None:
    """Add the page."""

    @ui.page("/administration")
    async def administration() -> None:
        with frame(context, "Administration", "/administration") as person:
            office = Office(context, person)
            office.said = Words("p", "").props('role="status"').classes("said")
            office.draw(await run.io_bound(office.read))
