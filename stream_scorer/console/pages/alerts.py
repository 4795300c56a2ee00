"""Alerts: the queue on the left, one alert on the right; labelled by two keys."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from fastapi import Request
from nicegui import run, ui
from nicegui.events import KeyEventArguments
from sqlalchemy import Connection

from stream_scorer.console import labels, queue, rescoring
from stream_scorer.console.context import Context
from stream_scorer.console.labels import ConflictError, Said
from stream_scorer.console.pages import live
from stream_scorer.console.pages.alert_detail import draw_detail
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
from stream_scorer.console.pages.words import counted
from stream_scorer.console.people import Person, Role
from stream_scorer.console.queue import MOST_COUNTED, Cursor, Detail, Filter, Listed
from stream_scorer.errors import BadInput, ScorerError
from stream_scorer.model import Model

VERDICT_OF_KEY = dict(zip("123", labels.VERDICTS, strict=True))
# Seconds between two notes that a person looks at an alert, and between two looks at the outbox.
PRESENT_S, SENT_S = 30.0, 1.0
LONGEST_ID = 100  # characters of an alert's id
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


@dataclass
class View:
    """What one page shows: kept on the server, and in the address for reload and links."""

    wanted: Filter
    cursors: list[Cursor] = field(default_factory=list)  # of the pages before this one
    rows: list[Listed] = field(default_factory=list)
    after: Cursor | None = None
    total: int = 0
    detail: Detail | None = None
    model: Model | None = None  # that scored the open alert, if the console has it
    history: list[Said] = field(default_factory=list)  # what was said of the open alert

    def address(self) -> str:
        """Return the page's address as it is now."""
        opened = self.detail.row.alert_id if self.detail else ""
        after = self.cursors[-1] if self.cursors else None
        return written(self.wanted, opened=opened, after=after)

    def beside(self, step: int) -> str | None:
        """Return the alert before or after the open one in the queue; the first if none is open."""
        ids = [each.alert_id for each in self.rows]
        if not ids:
            return None
        if self.detail is None or self.detail.row.alert_id not in ids:
            return ids[0]
        place = ids.index(self.detail.row.alert_id) + step
        return ids[place] if 0 <= place < len(ids) else None


def cells(alert: Listed, now_ms: int) -> dict[str, str]:
    """Return an alert's cells in the queue."""
    return {
        **live.cells(alert, now_ms),
        "state": alert.state,
        "who": alert.assignee or "",
    }


class Desk:
    """One person's page of alerts, and what they do on it."""

    def __init__(self, context: Context, view: View, person: Person) -> None:
        """Draw nothing yet."""
        self.context = context
        self.view = view
        self.person = person
        self.said: Words
        self.verified: Words
        self.table: ui.table
        self.title: Words
        self.more: ui.button
        self.one_by_one = asyncio.Lock()  # a fast hand's second key is for what the first leaves
        self.stale = False  # another alert is drawn than is open
        self.pressed = 0  # keys that wait for those before them, or are at work
        self.marks = Marks(self)
        self.keys = keys_dialog()
        self.actions: dict[str, Callable[[], object]] = {
            **{key: partial(self.mark, verdict) for key, verdict in VERDICT_OF_KEY.items()},
            "j": lambda: self.open(self.view.beside(1)),
            "k": lambda: self.open(self.view.beside(-1)),
            "z": self.undo,
            "s": self.next_free,
            "x": lambda: self.choose_open(self.marks.toggle),
            "X": lambda: self.choose_open(self.marks.span),
            "r": lambda: self.filter(self.view.wanted),
            "]": lambda: self.turn(forward=True),
            "[": lambda: self.turn(forward=False),
            "?": self.keys.open,
            "c": self.copy_link,
        }
        self.note: ui.textarea | None = None
        self.draft = ""  # of a note whose label somebody else was faster with
        self.client = ui.context.client
        self.labelled = (
            ""  # alert that was labelled last, for undo; empty: another was opened since
        )
        self.arrived: ui.button  # says how many have come since
        self.looked_up_to = 0  # row of the newest alert that was looked at for that
        self.newest = 0  # row of the newest alert when the queue was drawn
        self.asked = ""  # alert that was asked for last
        self.unfolded: set[str] = set()  # titles of the alert's parts that stand open

    # What the database is asked, away from the event loop.

    def _load(self, connection: Connection) -> None:
        after = self.view.cursors[-1] if self.view.cursors else None
        page = queue.page(connection, self.view.wanted, after=after)
        self.view.rows, self.view.after = list(page.rows), page.after
        self.view.total = queue.count(connection, self.view.wanted)
        self.newest = queue.newest(connection)

    def _look(self, alert_id: str) -> None:
        with self.context.database.writing() as connection:
            queue.look(connection, alert_id, self.person, self.context.clock())

    def _open(self, alert_id: str) -> tuple[Detail | None, list[Said], Model | None]:
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

    def _reload(self) -> None:
        with self.context.database.reading() as connection:
            self._load(connection)

    # What a person does.

    async def show(self) -> None:
        """Draw the queue as it is now."""
        await run.io_bound(self._reload)
        now = self.context.clock()
        self.table.rows = [cells(each, now) for each in self.view.rows]
        self.marks.keep()
        self.point()
        self.arrived.set_visibility(False)
        count = counted(self.view.total, MOST_COUNTED, "alert")
        self.title.set_text(count)
        ui.page_title(f"Alerts ({count}) - stream-scorer")
        self.more.set_visibility(self.view.after is not None)
        if not self.view.rows:
            self.said.set_text(
                "No alert matches. Change the filter."
                if self.view.wanted != Filter()
                else "No open alerts. New ones appear here by themselves: press r."
            )

    def point(self) -> None:
        """Show in the queue what is marked, and which one is open."""
        opened = self.view.detail.row.alert_id if self.view.detail else ""
        for row in self.table.rows:
            row |= {
                "called": row["transaction"],
                "marked": row["id"] in self.marks.chosen,
                "opened": row["id"] == opened,
            }
        self.table.update()

    async def open(self, alert_id: str | None) -> None:
        """Open an alert on the right."""
        if alert_id is None:
            return
        self.labelled = ""
        if not await self.look_up(alert_id):
            return
        if self.view.detail is None:
            self.said.set_text("There is no such alert here: it may be older than what is kept.")
        ui.navigate.history.replace(self.view.address())
        self.point()
        self.note, self.stale = None, True
        await self.draw_unless_pressed()

    async def look_up(self, alert_id: str) -> bool:
        """Read an alert; False if another was asked for meanwhile: the last one counts.

        It is drawn by `draw`, in one step, so that no two of them mix.
        """
        self.asked = alert_id
        found = await run.io_bound(self._open, alert_id)
        if self.asked != alert_id:
            return False
        self.view.detail, self.view.history, self.view.model = found or (None, [], None)
        return True

    async def draw_unless_pressed(self) -> None:
        """Draw the alert that is open, unless another key waits: that may open another at once."""
        if self.stale and self.pressed <= 1:
            self.stale = False
            await self.draw.refresh()

    async def mark(self, verdict: str) -> None:
        """Label the open alert, with the note that stands there, and go on to the next."""
        note = str(self.note.value or "") if self.note else ""
        opened = self.view.detail.row.alert_id if self.view.detail else ""
        done = await self._act(
            lambda connection, by, row: labels.mark(
                connection,
                by,
                alert_id=row.alert_id,
                verdict=verdict,
                version=row.version,
                now=self.context.clock(),
                note=note,
            ),
            f"Labelled {verdict}. Undo: z.",
            onwards=True,
        )
        if done:
            self.labelled = opened
        elif note:
            self.draft = note
            await self.draw.refresh()

    async def undo(self) -> None:
        """Take back the label that was just given, or else the last one of the open alert."""
        if self.labelled:
            if not await self.look_up(self.labelled):
                self.said.set_text("Nothing was undone: another alert was opened meanwhile.")
                return
            self.labelled = ""
        await self._act(
            lambda connection, by, row: labels.undo(
                connection,
                by,
                alert_id=row.alert_id,
                version=row.version,
                now=self.context.clock(),
            ),
            "Undone.",
            onwards=False,
        )

    async def assign(self, name: str) -> None:
        """Give the open alert to a person, or to nobody."""
        await self._act(
            lambda connection, by, row: queue.assign(
                connection, by, alert_id=row.alert_id, name=name, now=self.context.clock()
            ),
            f"Assigned to {name or 'nobody'}.",
            onwards=False,
        )

    def choose_open(self, mark: Callable[[str], None]) -> None:
        """Mark the open alert, for who labels."""
        if self.view.detail is None or not self.person.may(Role.ANALYST):
            return
        opened = self.view.detail.row.alert_id
        if opened in {each.alert_id for each in self.view.rows}:
            mark(opened)
        else:
            self.said.set_text("It is not on this page of the queue: j opens the first that is.")

    async def next_free(self) -> None:
        """Open the first alert that nobody else looks at."""

        def find() -> str | None:
            with self.context.database.reading() as connection:
                now = self.context.clock()
                return queue.free(connection, self.view.wanted, by=self.person, now=now)

        found = await run.io_bound(find)
        if found is None:
            self.said.set_text("No open alert is free.")
        await self.open(found)

    async def turn(self, *, forward: bool) -> None:
        """Show the next page of the queue, or the one before."""
        if forward and self.view.after:
            self.view.cursors.append(self.view.after)
        elif not forward and self.view.cursors:
            self.view.cursors.pop()
        else:
            return
        self.marks.clear()
        ui.navigate.history.replace(self.view.address())
        await self.show()

    async def filter(self, wanted: Filter) -> None:
        """Show other alerts."""
        self.view.wanted = wanted
        self.view.cursors.clear()
        self.marks.clear()
        ui.navigate.history.replace(self.view.address())
        self.said.set_text("")
        await self.show()

    async def choose(self, *, state: str | None = None, order: str | None = None) -> None:
        """Show alerts of another state, or in another order."""
        now = self.view.wanted
        await self.filter(replace(now, state=state or now.state, order=order or now.order, text=""))

    async def find(self, text: str) -> None:
        """Show the alerts of an id, and open it if it is one."""
        await self.filter(replace(self.view.wanted, text=text.strip()))
        if text and len(self.view.rows) == 1:
            await self.open(self.view.rows[0].alert_id)

    async def _act(
        self,
        do: Callable[[Connection, Person, Listed], object],
        said: str,
        *,
        onwards: bool,
    ) -> bool:
        """Do something to the open alert, as whoever the session says, and show what came of it.

        Tells whether it was done.
        """
        detail = self.view.detail
        if detail is None:
            self.said.set_text("Open an alert first: j.")
            return False

        def act() -> None:
            by = self.context.acting(self.person, Role.ANALYST)
            with self.context.database.writing() as connection:
                do(connection, by, detail.row)

        following = self.view.beside(1) if onwards else None
        try:
            await run.io_bound(act)
        except ConflictError as exc:
            self.said.set_text(str(exc))
            await self.open(detail.row.alert_id)
            return False
        except BadInput as exc:
            self.said.set_text(str(exc))
            return False
        self.draft = ""
        self.said.set_text(said)
        await self.show()
        await self.open(following or detail.row.alert_id)
        return True

    # What is drawn.

    @ui.refreshable_method
    def draw(self) -> None:
        """Draw the open alert."""
        if self.view.detail is None:
            Words("p", "Press j for the first alert, or choose one.")
            return
        self.note = None
        draw_detail(self, self.view.detail, self.view.history)

    async def watch_sent(self) -> None:
        """Draw the open alert anew once Kafka has taken its labels; never over a note."""
        detail = self.view.detail
        unsent = any(said.sent == "saved" for said in self.view.history)
        if detail is None or not unsent or self.context.pulse.snapshot.labels_waiting:
            return
        history = await run.io_bound(self._history, detail.row.alert_id)
        typed = self.note is not None and self.note.value
        if history and not typed and self.view.detail is detail:
            self.view.history = history
            await self.draw.refresh()

    async def watch_arrivals(self) -> None:
        """Say how many alerts have come since the queue was drawn: it moves when told alone."""
        latest = live.latest(self.context.pulse.snapshot, "alerts") or 0
        if latest <= max(self.newest, self.looked_up_to):
            return

        def find() -> int:
            with self.context.database.reading() as connection:
                return queue.count(connection, self.view.wanted, above=self.newest)

        self.looked_up_to = latest
        new = await run.io_bound(find)
        if new:
            self.arrived.set_text(f"{counted(new, MOST_COUNTED, 'new alert')}, show (r)")
            self.arrived.set_visibility(True)

    async def stay(self) -> None:
        """Note that the person still looks at the open alert."""
        if self.view.detail is not None:
            await run.io_bound(self._look, self.view.detail.row.alert_id)

    async def key(self, event: KeyEventArguments) -> None:
        """Do what a key says."""
        held = event.modifiers.ctrl or event.modifiers.alt or event.modifiers.meta
        if not event.action.keydown or held:
            return
        act = self.actions.get(str(event.key))
        if act is not None:
            self.pressed += 1
            try:
                async with self.one_by_one:
                    done = act()
                    if isinstance(done, Awaitable):
                        await done
                    await self.draw_unless_pressed()
            finally:
                self.pressed -= 1

    def copy_link(self) -> None:
        """Copy the address of what is shown."""
        self.copy("link", self.context.address + self.view.address())

    def copy(self, name: str, text: str) -> None:
        """Copy a text of that name."""
        ui.clipboard.write(text)
        self.said.set_text(f"Copied: {name}.")

    async def verify(self) -> None:
        """Score the open alert again from its source record, and say what comes of it."""
        detail = self.view.detail
        if detail is None:
            return
        self.verified.set_text("Scoring it again.")

        def again() -> str:
            self.context.acting(self.person, Role.ANALYST)
            return rescoring.verify(self.context.settings, self.context.shelf, detail.text)

        try:
            self.verified.set_text(await run.io_bound(again) or "")
        except ScorerError as exc:
            self.verified.set_text(str(exc))


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
