"""Upload: a file's rows scored as the stream would; nothing of it is sent to Kafka."""

from dataclasses import dataclass, field, replace
from typing import Any

from nicegui import run, ui
from sqlalchemy.exc import SQLAlchemyError

from stream_scorer.console import uploads
from stream_scorer.console.context import Context
from stream_scorer.console.pages.elements import Words, histogram, rows_table
from stream_scorer.console.pages.frame import frame
from stream_scorer.console.pages.words import (
    NO_ANSWER,
    NOTHING_SAVED,
    UNKNOWN,
    moment_utc,
    number,
)
from stream_scorer.console.people import Person, Role
from stream_scorer.console.upload_routes import LARGEST
from stream_scorer.console.uploads import DECISIONS, RUNNING, ScoredRow, Upload
from stream_scorer.errors import BadInput
from stream_scorer.tables import READERS

TICK_S = 0.5
COLUMNS: list[dict[str, Any]] = [
    {"name": "line", "label": "Line", "field": "line", "align": "right"},
    {"name": "risk", "label": "Probability", "field": "risk", "align": "right"},
    {"name": "decision", "label": "Decision", "field": "decision", "align": "left"},
    {"name": "id", "label": "Transaction", "field": "id", "align": "left"},
    {"name": "why", "label": "Why", "field": "why", "align": "left"},
]


def cells(row: ScoredRow) -> dict[str, str]:
    """Return a row's cells."""
    return {
        "line": number(row.line),
        "risk": UNKNOWN if row.probability is None else f"{row.probability:.4f}",
        "decision": row.decision,
        "id": row.transaction_id,
        "why": row.reasons,
    }


def distribution(counts: list[int], threshold: float) -> dict[str, Any]:
    """Return the histogram of probabilities as a chart."""
    width = 1 / len(counts)
    return histogram(
        [f"{n * width:.2f}" for n in range(len(counts))],
        [
            {
                "value": count or None,
                "itemStyle": {"color": "#c0392b" if (n + 1) * width > threshold else "#2471a3"},
            }
            for n, count in enumerate(counts)
        ],
        across="probability from",
        up="rows",
    )


def rounded(upload: Upload) -> Upload:
    """Return an upload as it is shown, so that equal ones are not drawn again."""
    return replace(upload, progress=round(upload.progress, 2))


@dataclass(frozen=True)
class Shown:
    """What the page shows."""

    decision: str = "all"
    found: Upload | None = None  # the one that is open
    everything: list[Upload] = field(default_factory=list)
    rows: list[ScoredRow] = field(default_factory=list)


class Counter:
    """One person's page of uploads."""

    def __init__(self, context: Context, person: Person, open_id: str) -> None:
        """Draw nothing yet."""
        self.context = context
        self.person = person
        self.open_id = open_id
        self.decision = "all"
        self.after: tuple[float, int] | None = None  # where the shown rows begin
        self.shown = Shown()
        self.reads = 0
        self.said: Words

    def _read(self, decision: str, after: tuple[float, int] | None) -> Shown:
        with self.context.database.reading() as connection:
            found = uploads.find(connection, self.person, self.open_id)
            everything = uploads.of_owner(connection, self.person)
            rows = []
            if found is not None and found.state == uploads.DONE:
                rows = uploads.page(connection, self.open_id, decision=decision, after=after)
        open_one = rounded(found) if found else None
        return Shown(decision, open_one, [*map(rounded, everything)], rows)

    async def look_up(self) -> None:
        """Read what is shown, unless it is asked for again meanwhile."""
        self.reads += 1
        read = self.reads
        try:
            found = await run.io_bound(self._read, self.decision, self.after)
        except SQLAlchemyError:
            self.said.set_text(NO_ANSWER)
            return
        if found is not None and read == self.reads:  # None: the server stops
            self.shown = found

    async def draw_anew(self) -> None:
        """Read what is shown, and draw of it what is another, in one step each: none mix."""
        before = self.shown
        await self.look_up()
        if (before.found, before.rows) != (self.shown.found, self.shown.rows):
            await self.draw.refresh()
        if before.everything != self.shown.everything:
            await self.history.refresh()

    async def tick(self) -> None:
        """Draw anew while a file is being scored."""
        if any(each.state in RUNNING for each in self.shown.everything):
            await self.draw_anew()

    async def choose(self, decision: str) -> None:
        """Show rows of one decision."""
        self.decision, self.after = decision, None
        await self.draw_anew()

    async def forward(self) -> None:
        """Show the next rows."""
        if self.shown.decision != self.decision:  # others are on their way
            return
        last = self.shown.rows[-1]
        self.after = (last.probability or 0.0, last.line)
        await self.draw_anew()

    async def cancel(self) -> None:
        """Stop scoring the open file."""

        def act() -> None:
            self.context.acting(self.person, Role.ANALYST)
            with self.context.database.reading() as connection:
                if uploads.find(connection, self.person, self.open_id) is None:
                    raise BadInput("there is no such upload")
            self.context.jobs.cancel(self.open_id)

        await self._act(act, "Cancelled.")

    async def delete(self) -> None:
        """Delete the open upload and all its rows."""

        def act() -> None:
            by = self.context.acting(self.person, Role.ANALYST)
            with self.context.database.writing() as connection:
                now = self.context.clock()
                uploads.remove(connection, by, upload_id=self.open_id, now=now)

        await self._act(act, "Deleted, with all its rows.")

    async def _act(self, act: Any, said: str) -> None:  # noqa: ANN401 - a function
        try:
            await run.io_bound(act)
        except BadInput as exc:
            said = str(exc)
        except SQLAlchemyError:
            said = NOTHING_SAVED
        await self.draw_anew()
        self.said.set_text(said)

    @ui.refreshable_method
    def history(self) -> None:
        """Draw the person's uploads."""
        Words("h2", "Your uploads, of the last 7 days")
        if not self.shown.everything:
            Words("p", "None yet.")
        with ui.element("ul"):
            for each in self.shown.everything:
                with ui.element("li"):
                    ui.link(each.name, f"/upload?open={each.id}")
                    Words("span", f" {each.state}, {moment_utc(each.created_at)}")

    @ui.refreshable_method
    def draw(self) -> None:
        """Draw the open upload."""
        if not self.open_id:
            return
        found = self.shown.found
        if found is None:
            Words("p", "There is no such upload, or it is not yours.")
            return
        Words("h2", found.name)
        if found.state in RUNNING:
            done = f"{100 * found.progress:.0f} %" if found.progress else found.state
            Words("p", f"Scoring: {done}").props('role="status"')
            with ui.element("progress").props('aria-label="Scored" max="1"') as bar:
                bar.props["value"] = found.progress
            ui.button("Cancel", on_click=self.cancel, color=None).props("outline").classes("quiet")
        elif found.state == uploads.DONE:
            self.draw_done(found)
        else:
            Words("p", found.problem or f"It was {found.state}.").classes("problem")
        if found.state not in RUNNING:
            ui.button("Delete", on_click=self.delete, color=None).props("outline").classes("quiet")

    def draw_done(self, found: Upload) -> None:
        """Draw what came of a file."""
        summary = found.summary
        with ui.element("dl").classes("counters"):
            for name, key in (
                ("fraudulent", "fraud"),
                ("genuine", "genuine"),
                ("not scored", "not_scored"),
            ):
                with ui.element("div"):
                    Words("dt", name)
                    Words("dd", number(summary[key]))
                    Words("dd", f"of {number(summary['rows'])} rows").classes("unit")
        model = summary["model"]
        text = f"Model {model['name']} {model['version']} ({model['sha256'][:12]}), "
        Words("p", text + f"fraud from {summary['threshold']:g}.")
        ui.echart(distribution(summary["histogram"], summary["threshold"])).classes("rates").props(
            'role="img" aria-label="Rows by probability"'
        )
        if summary["problems"]:
            Words("h2", "Not scored because")
            with ui.element("ul"):
                for reason, count in summary["problems"].items():
                    Words("li", f"{number(count)}: {reason}")
        with ui.row().classes("items-center"):
            ui.link("Download CSV", f"/upload/{found.id}.csv")
            ui.link("Download XLSX", f"/upload/{found.id}.xlsx")
            ui.select(
                list(DECISIONS),
                value=self.decision,
                label="Rows",
                on_change=lambda event: self.choose(str(event.value)),
            ).classes("w-32")
        rows_table(COLUMNS, [cells(row) for row in self.shown.rows]).classes("rows")
        if len(self.shown.rows) == uploads.ROWS:
            ui.button("Next rows", on_click=self.forward, color=None).props("flat").classes("quiet")


def form(person: Person) -> None:
    """Draw the form that sends a file: plain HTML, no socket."""
    Words(
        "p",
        f"{', '.join(each[1:].upper() for each in READERS)}, up to {LARGEST // 10**6} MB, with the "
        "model's features as columns. It is scored as the stream would; nothing is sent to Kafka.",
    )
    sends = 'method="post" action="/upload/file" enctype="multipart/form-data"'
    with ui.element("form").props(sends).classes("upload"):
        token = ui.element("input").props('type="hidden" name="form_token"')
        token.props["value"] = person.form_token
        Words("label", "File").props('for="file"')
        kinds = ",".join(READERS)
        ui.element("input").props(f'type="file" id="file" name="file" required accept="{kinds}"')
        Words("button", "Score").props('type="submit"').classes("send")


def register(context: Context) -> None:
    """Add the page."""

    @ui.page("/upload")
    async def upload(open: str = "") -> None:  # noqa: A002 - its name in the address
        with frame(context, "Upload", "/upload") as person:
            counter = Counter(context, person, open)
            form(person)
            counter.said = Words("p", "").props('role="status"').classes("said")
            await counter.look_up()
            counter.draw()
            counter.history()
            ui.timer(TICK_S, counter.tick)
