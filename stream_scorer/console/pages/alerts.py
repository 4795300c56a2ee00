"""Alerts: the queue on the left, one alert on the right; labelled by two keys."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from fastapi import Request
from nicegui import run, ui
from nicegui.events import KeyEventArguments
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from stream_scorer.console import labels, queue, rescoring
from stream_scorer.console.context import Context
from stream_scorer.console.labels import ConflictError, Said
from stream_scorer.console.pages import live
from stream_scorer.console.pages.alert_detail import draw_detail, draw_history
from stream_scorer.console.pages.alert_filters import (
    draw_filters,
    keys_dialog,
    page_of,
    read,
    written,
)
from stream_scorer.console.pages.alert_marks import Marks
from stream_scorer.console.pages.elements import WIDE, Words, clicked_table, keys
from stream_scorer.console.pages.frame import frame
from stream_scorer.console.pages.words import NO_ANSWER, NOTHING_SAVED, counted
from stream_scorer.console.people import Person, Role
from stream_scorer.console.queue import MOST_COUNTED, Cursor, Detail, Filter, Listed
from stream_scorer.errors import BadInput, ScorerError
from stream_scorer.model import Model

T = TypeVar("T")
# Seconds between two notes that a person looks at an alert, and between two looks at the outbox.
PRESENT_S, SENT_S = 30.0, 1.0
LONGEST_ID = 100  # characters of an alert's id
NONE_OPEN = "Open an alert first: j."
NO_ALERTS = "No open alerts. New ones appear here by themselves: press r."
BUSY = "Still saving what was pressed before."
COLUMNS: list[dict[str, Any]] = [
    {"name": "risk", "label": "Risk", "field": "risk", "align": "right"},
    {"name": "amount", "label": "Amount", "field": "amount", "align": "right"},
    {"name": "reason", "label": "First reason", "field": "reason", "align": "left"},
    {
        "name": "transaction",
        "label": "Transaction",
        "field": "transaction",
        "align": "left",
        **WIDE,
    },
    {"name": "age", "label": "Age", "field": "age", "align": "right", **WIDE},
    {"name": "state", "label": "Label", "field": "state", "align": "left"},
    {"name": "who", "label": "Assigned", "field": "who", "align": "left", **WIDE},
]


@dataclass(frozen=True)
class Listing:
    """A page of the queue as it was read."""

    rows: list[Listed] = field(default_factory=list)
    after: Cursor | None = None
    total: int = 0
    newest: int = 0  # row of the newest alert of all then


@dataclass
class View:
    """What one page shows: kept on the server, and in the address for reload and links."""

    wanted: Filter
    cursors: list[Cursor] = field(default_factory=list)  # of the pages before this one
    queue: Listing = field(default_factory=Listing)
    detail: Detail | None = None
    model: Model | None = None  # that scored the open alert, if the console has it
    history: list[Said] = field(default_factory=list)  # what was said of the open alert

    @property
    def opened(self) -> str:
        """Return the id of the open alert, empty if none is."""
        return self.detail.row.alert_id if self.detail else ""

    def address(self) -> str:
        """Return the page's address as it is now."""
        after = self.cursors[-1] if self.cursors else None
        return written(self.wanted, opened=self.opened, after=after)

    def beside(self, alert_id: str, step: int) -> str | None:
        """Return the alert before or after one in the queue; the first if that is not in it."""
        ids = [each.alert_id for each in self.queue.rows]
        if not ids:
            return None
        if alert_id not in ids:
            return ids[0]
        place = ids.index(alert_id) + step
        return ids[place] if 0 <= place < len(ids) else None


def cells(alert: Listed, now_ms: int) -> dict[str, str]:
    """Return an alert's cells in the queue."""
    return {
        **live.cells(alert, now_ms),
        "state": alert.state,
        "who": alert.assignee or "",
    }


class Desk:
    """One person's page of alerts, and what they do on it.

    What a button does, it does to the alert that it was drawn with, and `1`, `2`, `3` and `z` press
    buttons (static/keys.js): so a label is of the alert that the person had before their eyes,
    however late it comes.
    """

    def __init__(self, context: Context, view: View, person: Person) -> None:
        """Draw nothing yet."""
        self.context = context
        self.view = view
        self.person = person
        self.client = ui.context.client
        self.said: Words
        self.verified: Words
        self.table: ui.table
        self.title: Words
        self.more: ui.button
        self.marks = Marks(self)
        self.keys = keys_dialog()
        self.actions: dict[str, Callable[[], object]] = {
            **dict.fromkeys("123z", self.no_button),
            "j": lambda: self.open(self.view.beside(self.asked, 1)),
            "k": lambda: self.open(self.view.beside(self.asked, -1)),
            "s": self.next_free,
            "x": lambda: self.choose_open(self.marks.toggle),
            "X": lambda: self.choose_open(self.marks.span),
            "r": lambda: self.filter(self.view.wanted),
            "]": lambda: self.turn(forward=True),
            "[": lambda: self.turn(forward=False),
            "?": self.keys.open,
            "c": self.copy_link,
        }
        self.hint: Words  # what to do where the queue is empty
        self.asked = ""  # alert that was asked for last
        self.saving = asyncio.Lock()  # one thing is done to alerts at a time
        self.undoing = False
        # Of the alert that was labelled last, for undo; None: another was opened since.
        self.labelled: tuple[str, int] | None = None  # its id and its version then
        self.notes: dict[str, str] = {}  # that are typed and not stored, by alert
        self.reads = self.opens = 0  # of the queue, of alerts: the last one counts
        self.arrived: ui.button  # says how many have come since
        self.looked_up_to = 0  # row of the newest alert that was looked at for that
        self.unfolded: set[str] = set()  # titles of the alert's parts that stand open

    # What the database is asked, away from the event loop.

    def _listing(self, wanted: Filter, after: Cursor | None) -> Listing:
        with self.context.database.reading() as connection:
            page = queue.page(connection, wanted, after=after)
            total = queue.count(connection, wanted)
            return Listing(list(page.rows), page.after, total, queue.newest(connection))

    def _look(self, alert_id: str) -> None:
        with suppress(SQLAlchemyError), self.context.database.writing() as connection:
            queue.look(connection, alert_id, self.person, self.context.clock())

    def _open(self, alert_id: str) -> tuple[Detail | None, list[Said], Model | None]:
        if self.asked == alert_id:  # a key that is held down passes by
            self._look(alert_id)
        now = self.context.clock()
        with self.context.database.reading() as connection:
            detail = queue.detail(connection, alert_id, by=self.person, now=now)
            history = labels.history(connection, alert_id)
        return detail, history, None if detail is None else self._scored_by(detail)

    def _history(self, alert_id: str) -> list[Said]:
        with self.context.database.reading() as connection:
            return labels.history(connection, alert_id)

    def _scored_by(self, detail: Detail) -> Model | None:
        try:
            model = self.context.shelf.card().model
        except BadInput:  # the page Model says so
            return None
        fits = model.sha256 == (detail.body.get("model") or {}).get("sha256")
        return model if fits else None

    async def ask(self, what: Callable[..., T], *given: object) -> T | None:
        """Ask the database away from the event loop; None if it does not answer, which is said.

        None as well if the server stops.
        """
        try:
            return await run.io_bound(what, *given)
        except SQLAlchemyError:
            self.said.set_text(NO_ANSWER)
            return None

    # What a person does.

    async def show(self, cursors: list[Cursor] | None = None) -> bool:
        """Draw the queue as it is now, or another page of it by its cursors.

        False if that was not possible, or is asked for again: then nothing is changed.
        """
        self.reads += 1
        read = self.reads
        cursors = self.view.cursors if cursors is None else cursors
        found = await self.ask(self._listing, self.view.wanted, cursors[-1] if cursors else None)
        if found is None or read != self.reads:
            return False
        self.view.queue, self.view.cursors = found, cursors
        now = self.context.clock()
        self.table.rows = [cells(each, now) for each in found.rows]
        self.marks.keep()
        self.point()
        self.arrived.set_visibility(False)
        count = counted(found.total, MOST_COUNTED, "alert")
        self.title.set_text(count)
        with self.client:
            ui.page_title(f"Alerts ({count}) - stream-scorer")
        self.more.set_visibility(found.after is not None)
        unfiltered = self.view.wanted == Filter()
        self.hint.set_visibility(not found.rows)
        self.hint.set_text(NO_ALERTS if unfiltered else "No alert matches. Change the filter.")
        return True

    def point(self) -> None:
        """Show in the queue what is marked, and which one is open."""
        for row in self.table.rows:
            row |= {
                "called": row["transaction"],
                "marked": row["id"] in self.marks.chosen,
                "opened": row["id"] == self.view.opened,
            }
        self.table.update()

    async def open(self, alert_id: str | None) -> None:
        """Open an alert on the right, as a person asks for it."""
        if alert_id is not None:
            self.labelled = None
            self.said.set_text("")
            await self.go_to(alert_id)

    async def go_to(self, alert_id: str) -> None:
        """Read an alert and draw it in one step, unless another is asked for meanwhile."""
        self.asked = alert_id
        self.opens += 1
        opens = self.opens
        found = await self.ask(self._open, alert_id)
        if opens != self.opens:
            return
        if found is None:
            self.asked = self.view.opened
            return
        self.view.detail, self.view.history, self.view.model = found
        if self.view.detail is None:
            self.said.set_text("There is no such alert here: it may be older than what is kept.")
        await self.redraw()

    async def redraw(self) -> None:
        """Draw the alert that is open, and say so in the address and in the queue."""
        with self.client:
            ui.navigate.history.replace(self.view.address())
        self.point()
        await self.draw.refresh()

    async def mark(self, row: Listed, verdict: str, note: str) -> None:
        """Label an alert, and go on to the next if that is still the one that is looked at.

        Until that is drawn, another press is a finger that came twice: it does nothing more.
        """
        if self.saving.locked():
            self.said.set_text(BUSY)
            return
        async with self.saving:
            onwards = self.asked == row.alert_id
            following = self.view.beside(row.alert_id, 1) or row.alert_id
            version = await self._act(
                lambda connection, by: labels.mark(
                    connection,
                    by,
                    alert_id=row.alert_id,
                    verdict=verdict,
                    version=row.version,
                    now=self.context.clock(),
                    note=note,
                ),
                row.alert_id,
            )
            if version is None:
                return
            self.notes.pop(row.alert_id, None)
            self.labelled = (row.alert_id, version)
            said = f"Labelled {verdict}. Undo: z."
            await self._show_done(said, row.alert_id, following if onwards else None)

    def no_button(self) -> None:
        """Say why a key has no button to press."""
        may = self.person.may(Role.ANALYST)
        self.said.set_text(NONE_OPEN if may else f"this wants the role {Role.ANALYST.word}")

    async def undo(self, row: Listed) -> None:
        """Take back the label that was just given, or else the last one of the alert that is seen.

        One that is being given is waited for.
        """
        if self.undoing:
            self.said.set_text(BUSY)
            return
        self.undoing = True
        try:
            async with self.saving:
                await self._undo(*(self.labelled or (row.alert_id, row.version)))
        finally:
            self.undoing = False

    async def _undo(self, alert_id: str, version: int) -> None:
        asked = self.asked
        done = await self._act(
            lambda connection, by: labels.undo(
                connection, by, alert_id=alert_id, version=version, now=self.context.clock()
            ),
            asked,
        )
        if done is not None:
            self.labelled = None
            await self._show_done("Undone.", asked, alert_id)

    async def assign(self, row: Listed, name: str) -> None:
        """Give an alert to a person, or to nobody."""

        def give(connection: Connection, by: Person) -> int:
            now = self.context.clock()
            queue.assign(connection, by, alert_id=row.alert_id, name=name, now=now)
            return row.version

        async with self.saving:
            if await self._act(give, row.alert_id) is not None:
                said = f"Assigned to {name or 'nobody'}."
                await self._show_done(said, row.alert_id, row.alert_id)

    def choose_open(self, mark: Callable[[str], None]) -> None:
        """Mark the open alert, for who labels."""
        if not self.view.opened or not self.person.may(Role.ANALYST):
            return
        if self.view.opened in {each.alert_id for each in self.view.queue.rows}:
            mark(self.view.opened)
        else:
            self.said.set_text("It is not on this page of the queue: j opens the first that is.")

    async def next_free(self) -> None:
        """Open the first alert that nobody else looks at."""

        def find() -> str:
            with self.context.database.reading() as connection:
                now = self.context.clock()
                return queue.free(connection, self.view.wanted, by=self.person, now=now) or ""

        found = await self.ask(find)
        if found == "":
            self.said.set_text("No open alert is free.")
        await self.open(found or None)

    async def turn(self, *, forward: bool) -> None:
        """Show the next page of the queue, or the one before."""
        if forward and self.view.queue.after:
            cursors = [*self.view.cursors, self.view.queue.after]
        elif not forward and self.view.cursors:
            cursors = self.view.cursors[:-1]
        else:
            return
        self.marks.clear()
        if await self.show(cursors):
            with self.client:
                ui.navigate.history.replace(self.view.address())

    async def filter(self, wanted: Filter) -> bool:
        """Show other alerts; False if they are not there yet."""
        self.view.wanted = wanted
        self.view.cursors = []
        self.view.queue = replace(self.view.queue, after=None)  # its next page is of another filter
        self.marks.clear()
        ui.navigate.history.replace(self.view.address())
        self.said.set_text("")
        return await self.show()

    async def find(self, text: str) -> None:
        """Show the alerts of an id, and open it if it is one."""
        there = await self.filter(replace(self.view.wanted, text=text.strip()))
        if there and text and len(self.view.queue.rows) == 1:
            await self.open(self.view.queue.rows[0].alert_id)

    async def _act(self, do: Callable[[Connection, Person], int], asked: str) -> int | None:
        """Do something to an alert, as whoever the session says; return its version then.

        None: it is not done, and is said why; where somebody else was faster the alert is drawn as
        it is now, unless another is looked at by then than the one that was `asked` for before.
        """

        def act() -> int:
            by = self.context.acting(self.person, Role.ANALYST)
            with self.context.database.writing() as connection:
                return do(connection, by)

        self.said.set_text("Saving.")
        try:
            return await run.io_bound(act)
        except ConflictError as exc:
            self.labelled = None
            if self.asked == asked:
                await self.go_to(exc.alert_id)
            self.said.set_text(str(exc))
        except BadInput as exc:
            self.labelled = None
            self.said.set_text(str(exc))
        except SQLAlchemyError:
            self.said.set_text(NOTHING_SAVED)
        return None

    async def _show_done(self, said: str, asked: str, following: str | None) -> None:
        """Draw what was done, and the alert that follows, unless another is asked for by now."""
        await self.show()
        if following is not None and self.asked == asked:
            await self.go_to(following)
        self.said.set_text(said)

    # What is drawn.

    @ui.refreshable_method
    def draw(self) -> None:
        """Draw the open alert."""
        if self.view.detail is None:
            Words("p", "Press j for the first alert, or choose one.")
            return
        draw_detail(self, self.view.detail)

    @ui.refreshable_method
    def draw_history(self) -> None:
        """Draw what was said of the open alert."""
        draw_history(self.view.history)

    async def watch_sent(self) -> None:
        """Say so once Kafka has taken the open alert's labels."""
        detail = self.view.detail
        unsent = any(said.sent == "saved" for said in self.view.history)
        if detail is None or not unsent or self.context.pulse.snapshot.labels_waiting:
            return
        history = await run.io_bound(self._history, detail.row.alert_id)
        if history and self.view.detail is detail:
            self.view.history = history
            self.draw_history.refresh()

    async def watch_arrivals(self) -> None:
        """Say how many alerts have come since the queue was drawn: it moves when told alone."""
        latest = live.latest(self.context.pulse.snapshot, "alerts") or 0
        drawn, wanted = self.view.queue, self.view.wanted
        if latest <= max(drawn.newest, self.looked_up_to):
            return

        def find() -> int:
            with self.context.database.reading() as connection:
                return queue.count(connection, wanted, above=drawn.newest)

        new = await run.io_bound(find)
        self.looked_up_to = latest
        if new and self.view.queue is drawn:
            self.arrived.set_text(f"{counted(new, MOST_COUNTED, 'new alert')}, show (r)")
            self.arrived.set_visibility(True)

    async def stay(self) -> None:
        """Note that the person still looks at the open alert."""
        if self.view.opened:
            await run.io_bound(self._look, self.view.opened)

    async def key(self, event: KeyEventArguments) -> None:
        """Do what a key says; one that is held down moves on, and does nothing else."""
        held = event.modifiers.ctrl or event.modifiers.alt or event.modifiers.meta
        if not event.action.keydown or held:
            return
        key = str(event.key)
        act = self.actions.get(key)
        if act is not None and (key in "jk" or not event.action.repeat):
            done = act()
            if isinstance(done, Awaitable):
                await done

    def copy_link(self) -> None:
        """Copy the address of what is shown."""
        self.copy("link", self.context.address + self.view.address())

    def copy(self, name: str, text: str) -> None:
        """Copy a text of that name."""
        ui.clipboard.write(text)
        self.said.set_text(f"Copied: {name}.")

    async def verify(self, detail: Detail) -> None:
        """Score an alert again from its source record, and say what comes of it."""
        verified = self.verified
        verified.set_text("Scoring it again.")

        def again() -> str:
            self.context.acting(self.person, Role.ANALYST)
            return rescoring.verify(self.context.settings, self.context.shelf, detail.text)

        try:
            said = await run.io_bound(again) or ""
        except ScorerError as exc:
            said = str(exc)
        if not verified.is_deleted:
            verified.set_text(said)


def register(context: Context) -> None:
    """Add the page."""

    @ui.page("/alerts")
    async def alerts(request: Request, open: str = "") -> None:  # noqa: A002 - in the address
        with frame(context, "Alerts", "/alerts") as person:
            desk = Desk(
                context,
                View(read(request.query_params, person.name), page_of(request.query_params)),
                person,
            )
            with ui.element("div").classes("queue"):
                with ui.element("section").props('aria-label="Queue"'):
                    draw_filters(desk)
                    with ui.row().classes("items-center"):
                        desk.title = Words("span", "").props('role="status"')
                        desk.arrived = (
                            ui.button(
                                "", on_click=lambda: desk.filter(desk.view.wanted), color=None
                            )
                            .props("flat dense no-caps")
                            .classes("quiet")
                        )
                        ui.button("Keys (?)", on_click=desk.keys.open, color=None).props(
                            "flat dense"
                        ).classes("quiet")
                    desk.marks.draw()
                    on_mark = desk.marks.toggle if person.may(Role.ANALYST) else None
                    desk.table = clicked_table(COLUMNS, desk.open, on_mark)
                    desk.hint = Words("p", "").classes("said")
                    desk.more = (
                        ui.button(
                            "Next page (])", on_click=lambda: desk.turn(forward=True), color=None
                        )
                        .props("flat")
                        .classes("quiet")
                    )
                with ui.element("section").props('aria-label="Alert"').classes("one"):
                    desk.said = Words("p", "").props('role="status"').classes("said")
                    desk.draw()
            ui.timer(SENT_S, desk.watch_sent)
            ui.timer(SENT_S, desk.watch_arrivals)
            ui.timer(PRESENT_S, desk.stay, immediate=False)
            keys(desk.key)
            await desk.show()
            if open:
                await desk.open(open[:LONGEST_ID])
