"""Dead letters: why records could not be scored, one with its bytes, and feeding them in again."""

from contextlib import closing
from typing import Any
from urllib.parse import urlencode

from nicegui import run, ui
from nicegui.events import KeyEventArguments

from stream_scorer.console import audit, graveyard
from stream_scorer.console.context import Context
from stream_scorer.console.graveyard import (
    HEADER_SHOWN,
    HEADERS_SHOWN,
    MOST_COUNTED,
    VALUE_SHOWN,
    Body,
    Page,
    Row,
)
from stream_scorer.console.pages.elements import (
    WIDE,
    Words,
    clicked_table,
    columns,
    keys,
    rows_table,
)
from stream_scorer.console.pages.frame import frame
from stream_scorer.console.pages.live import latest
from stream_scorer.console.pages.words import UNKNOWN, counted, moment_utc, number
from stream_scorer.console.people import Person, Role
from stream_scorer.console.redrives import Plan, Progress, Redrives, chosen, in_words
from stream_scorer.dead_letters.choosing import Choice
from stream_scorer.errors import BadInput, KafkaTrouble, ScorerError
from stream_scorer.places import PlaceReader

ALL = "all codes"
TICK_S = 1.0
LARGEST = 2**63  # no id of a database is as large
COLUMNS: list[dict[str, Any]] = [
    {"name": "time", "label": "Failed", "field": "time", "align": "left"},
    {"name": "code", "label": "Code", "field": "code", "align": "left"},
    {"name": "source", "label": "Source", "field": "source", "align": "left"},
    {"name": "key", "label": "Key", "field": "key", "align": "left", **WIDE},
    {"name": "size", "label": "Bytes", "field": "size", "align": "right", **WIDE},
]


def cells(row: Row) -> dict[str, Any]:
    """Return a dead letter's cells in the list."""
    return {
        "id": row.id,
        "time": moment_utc(row.failed_at),
        "code": row.code,
        "source": row.source,
        "called": row.source,
        "key": UNKNOWN if row.key is None else graveyard.shown(row.key, 40)[1],
        "size": number(row.size),
    }


def planned(plan: Plan) -> str:
    """Say what a redrive would do."""
    which = chosen(plan.choice)
    if not plan.moves:
        return f"Dry run of {which}: nothing is to be redriven ({in_words(plan.counts)})."
    return f"Dry run of {which}, nothing is written: {in_words(plan.counts)}."


def going(progress: Progress | None) -> str:
    """Say how far the last redrive is."""
    if progress is None:
        return ""
    said = f"Redrive of {chosen(progress.choice)} by {progress.by}: {in_words(progress.counts)}"
    if progress.running:
        return f"{said}; {progress.moved:,} of {progress.of:,}."
    return f"{said}. It has ended. {progress.trouble}".strip()


class Yard:
    """One operator's page."""

    def __init__(self, context: Context, redrives: Redrives, person: Person, code: str) -> None:
        """Draw nothing yet."""
        self.context = context
        self.redrives = redrives
        self.person = person
        self.code = code  # empty: all
        self.cursors: list[int] = []  # where the pages before this one ended
        self.page = Page((), None)
        self.counts: dict[str, int] = {}
        self.opened: Row | None = None
        self.body: Body | str = ""
        self.plan: Plan | None = None
        self.marked: set[str] = set()  # sources of rows of the page
        self.said: Words
        self.progress: Words
        self.table: ui.table
        self.more: ui.button
        self.codes: ui.select
        self.dry_run: ui.button

    # What is asked, away from the event loop.

    def _read(self) -> None:
        with self.context.database.reading() as connection:
            self.counts = graveyard.counts(connection)
            after = self.cursors[-1] if self.cursors else None
            self.page = graveyard.page(connection, self.code, after=after)

    def _fetch(self, row_id: int) -> None:
        by = self.context.acting(self.person, Role.OPERATOR)
        with self.context.database.writing() as connection:
            row = graveyard.one(connection, row_id) if 0 <= row_id < LARGEST else None
            if row is None:
                raise BadInput("there is no such dead letter here")
            now, target = self.context.clock(), f"{row.source}, {row.code}"
            audit.act(connection, by, at=now, action="open dead letter", target=target)
        self.opened, self.body = row, ""
        try:
            with closing(PlaceReader(self.context.settings)) as reader:
                self.body = graveyard.body(reader, row)
        except KafkaTrouble as exc:
            self.body = f"Its bytes are not to be had: {exc}"

    def _look(self) -> Plan:
        by = self.context.acting(self.person, Role.OPERATOR)
        codes = (self.code,) if self.code else ()
        choice = Choice(ids=tuple(sorted(self.marked))) if self.marked else Choice(codes=codes)
        return self.redrives.look(by, choice)

    def _start(self, plan: Plan, typed: str) -> None:
        by = self.context.acting(self.person, Role.OPERATOR)
        self.redrives.start(by, plan, typed)

    # What an operator does.

    async def show(self) -> None:
        """Draw counts and list as they are now."""
        await run.io_bound(self._read)
        self.marked.clear()
        self.table.rows = [cells(row) for row in self.page.rows]
        self.point()
        self.more.set_visibility(self.page.after is not None)
        codes = {"": ALL, **{code: code for code in self.counts}}
        if self.code not in codes:
            codes[self.code] = self.code
        self.codes.set_options(codes, value=self.code)
        self.draw_counts.refresh()

    def point(self) -> None:
        """Show in the list what is marked, and which one is open."""
        for row in self.table.rows:
            row["marked"] = row["called"] in self.marked
            row["opened"] = self.opened is not None and row["id"] == self.opened.id
        self.table.update()
        marked = f" ({len(self.marked)} marked)" if self.marked else ""
        self.dry_run.set_text(f"What would a redrive{marked} do?")

    def mark(self, row_id: str) -> None:
        """Mark a dead letter of the page, or take its mark away."""
        self.marked ^= {row.source for row in self.page.rows if str(row.id) == row_id}
        self.point()

    async def choose(self, code: str) -> None:
        """Show one code, or all."""
        if code == self.code:
            return
        self.code, self.plan = code, None
        self.cursors.clear()
        self._keep_address()
        self.draw_plan.refresh()
        await self.show()

    async def turn(self) -> None:
        """Show the next page."""
        if self.page.after is not None:
            self.cursors.append(self.page.after)
            await self.show()

    async def newest(self) -> None:
        """Show the newest again."""
        self.cursors.clear()
        await self.show()

    async def open(self, row_id: int) -> None:
        """Fetch one from Kafka and show it."""
        self.said.set_text("Fetching it from Kafka.")
        try:
            await run.io_bound(self._fetch, row_id)
        except BadInput as exc:
            self.said.set_text(str(exc))
            return
        self.said.set_text("")
        self._keep_address()
        self.point()
        self.draw_one.refresh()

    async def look(self) -> None:
        """Find out what a redrive would do."""
        self.said.set_text("Looking at the dead letters.")
        try:
            self.plan = await run.io_bound(self._look)
        except ScorerError as exc:
            self.said.set_text(str(exc))
            return
        self.said.set_text("")
        self.draw_plan.refresh()

    async def start(self, typed: str) -> None:
        """Redrive what was looked at."""
        if self.plan is None:
            return
        try:
            await run.io_bound(self._start, self.plan, typed)
        except BadInput as exc:
            self.said.set_text(str(exc))
            return
        self.plan = None
        self.said.set_text("")
        self.tick()
        self.draw_plan.refresh()

    async def key(self, event: KeyEventArguments) -> None:
        """Open the next of the list by j, the one before by k."""
        held = event.modifiers.ctrl or event.modifiers.alt or event.modifiers.meta
        if not event.action.keydown or held or str(event.key) not in {"j", "k"}:
            return
        ids = [row.id for row in self.page.rows]
        place = ids.index(self.opened.id) if self.opened and self.opened.id in ids else None
        if place is None:
            place = 0
        else:
            place += 1 if event.key == "j" else -1
        if 0 <= place < len(ids):
            await self.open(ids[place])

    def tick(self) -> None:
        """Say how far a redrive is."""
        self.progress.set_text(going(self.redrives.progress))

    def _keep_address(self) -> None:
        given = {"code": self.code, "open": str(self.opened.id) if self.opened else ""}
        text = urlencode({name: value for name, value in given.items() if value})
        ui.navigate.history.replace(f"/dead-letters?{text}")

    # What is drawn.

    @ui.refreshable_method
    def draw_counts(self) -> None:
        """Draw how many there are of each code."""
        if not self.counts:
            scored = latest(self.context.pulse.snapshot, "scored")
            known = "" if scored is None else f" {number(scored)} records read by the scorer."
            Words("p", f"No dead letters.{known}")
            return
        with ui.element("dl").classes("counters"):
            for code, count in self.counts.items():
                with ui.element("div"):
                    Words("dt", code)
                    Words("dd", counted(count, MOST_COUNTED, "record"))

    @ui.refreshable_method
    def draw_plan(self) -> None:
        """Draw what a redrive would do, and what begins it."""
        plan = self.plan
        if plan is None:
            return
        Words("p", planned(plan)).classes("plan")
        for line in plan.unfit:
            Words("p", f"Left: {line}")
        if not plan.moves:
            return
        with ui.row().classes("items-center"):
            typed = ui.input(f"Type {plan.moves} to redrive").classes("w-48")
            ui.button(f"Redrive {plan.moves:,}", on_click=lambda: self.start(typed.value or ""))

    @ui.refreshable_method
    def draw_one(self) -> None:
        """Draw the open dead letter."""
        row = self.opened
        if row is None:
            Words("p", "Choose one of the list, or press j for the first.")
            return
        Words("h2", f"Record {row.source}")
        Words("p", f"{row.code}: {row.reason}").classes("reason")
        Words(
            "p", f"Failed {moment_utc(row.failed_at)}. Stands at {'/'.join(map(str, row.place))}."
        )
        if isinstance(self.body, str):
            Words("p", self.body)
            return
        count = len(self.body.headers)
        Words("h2", f"Headers ({count})")
        rows_table(
            columns("name", "value"),
            [
                {
                    "name": graveyard.shown(name.encode(), HEADER_SHOWN)[1],
                    "value": "null" if value is None else graveyard.shown(value, HEADER_SHOWN)[1],
                }
                for name, value in self.body.headers[:HEADERS_SHOWN]
            ],
        )
        if count > HEADERS_SHOWN:
            Words("p", f"{count - HEADERS_SHOWN:,} more are not shown.")
        for name, content in (("Key", self.body.key), ("Value", self.body.value)):
            what, text = graveyard.shown(content, VALUE_SHOWN)
            Words("h2", f"{name} ({what})")
            if text:
                Words("pre", text).classes("bytes").props(
                    f'tabindex="0" role="region" aria-label="{name}"'
                )


def register(context: Context) -> None:
    """Add the page."""
    redrives = Redrives(context.settings, context.database, context.clock)

    @ui.page("/dead-letters")
    async def dead_letters(
        code: str = "",
        open: str = "",  # noqa: A002 - its name in the address
    ) -> None:
        with frame(context, "Dead letters", "/dead-letters") as person:
            yard = Yard(context, redrives, person, code[:50])
            yard.draw_counts()
            with ui.row().classes("items-center"):
                yard.codes = ui.select(
                    {yard.code: yard.code or ALL},
                    value=yard.code,
                    label="Code",
                    on_change=lambda event: yard.choose(event.value),
                ).classes("w-40")
                yard.dry_run = (
                    ui.button("What would a redrive do?", on_click=yard.look, color=None)
                    .props("outline")
                    .classes("quiet")
                )
            yard.said = Words("p", "").props('role="status"').classes("said")
            yard.progress = Words("p", going(redrives.progress)).props('role="status"')
            yard.draw_plan()
            with ui.element("div").classes("queue"):
                with ui.element("section").props('aria-label="List"'):
                    yard.table = clicked_table(COLUMNS, lambda row: yard.open(int(row)), yard.mark)
                    with ui.row():
                        ui.button("Newest", on_click=yard.newest, color=None).props("flat").classes(
                            "quiet"
                        )
                        yard.more = (
                            ui.button("Next page", on_click=yard.turn, color=None)
                            .props("flat")
                            .classes("quiet")
                        )
                with ui.element("section").props('aria-label="Dead letter"').classes("one"):
                    yard.draw_one()
            ui.timer(TICK_S, yard.tick)
            keys(yard.key)
            await yard.show()
            if open.isascii() and open.isdigit() and len(open) < 20:  # noqa: PLR2004 - digits
                await yard.open(int(open))
