"""Alerts that are marked by their boxes, or all that match: labelled together, by their count."""

from typing import TYPE_CHECKING

from nicegui import run, ui
from sqlalchemy.exc import SQLAlchemyError

from stream_scorer.console import labels, queue
from stream_scorer.console.pages.elements import Words
from stream_scorer.console.pages.words import counted
from stream_scorer.console.people import Role
from stream_scorer.errors import BadInput

if TYPE_CHECKING:
    from stream_scorer.console.pages.alerts import Desk

# Alerts in one transaction of the database: others write in between.
AT_ONCE = 100


class Marks:
    """What one person has marked on the page that they see."""

    def __init__(self, desk: "Desk") -> None:
        """Mark nothing yet."""
        self.desk = desk
        self.chosen: dict[str, int] = {}  # by alert, the version that was looked at
        self.last = ""  # where a range begins
        self.spans = False  # more than the page shows

    def clear(self) -> None:
        """Mark nothing: what is not seen is not marked."""
        self.chosen, self.last, self.spans = {}, "", False
        self.draw.refresh()

    def keep(self) -> None:
        """Take the marks away from what has left the page, or is another version on it."""
        if not self.spans:
            seen = {(each.alert_id, each.version) for each in self.desk.view.queue.rows}
            self.chosen = {key: at for key, at in self.chosen.items() if (key, at) in seen}
            self.draw.refresh()

    def toggle(self, alert_id: str) -> None:
        """Mark an alert of the page, or take its mark away."""
        if self.chosen.pop(alert_id, None) is None:
            self._mark([alert_id])
        self._shown()

    def span(self, alert_id: str) -> None:
        """Mark an alert of the page and all between it and the last that was marked."""
        if self.spans:
            self.clear()
        ids = [each.alert_id for each in self.desk.view.queue.rows]
        ends = sorted(ids.index(each) for each in (self.last, alert_id) if each in ids)
        if ends:
            self._mark(ids[ends[0] : ends[-1] + 1])
            self.last = alert_id
        self._shown()

    async def all_that_match(self) -> None:
        """Mark what the filter finds, on every page."""
        wanted = self.desk.view.wanted

        def find() -> dict[str, int]:
            with self.desk.context.database.reading() as connection:
                return dict(queue.matching(connection, wanted))

        found = await self.desk.ask(find)
        if found is None or self.desk.view.wanted != wanted:  # others are shown by now
            return
        if len(found) > queue.MOST_MARKED:
            self.desk.said.set_text(
                f"More than {queue.MOST_MARKED:,} match: narrow the filter to label them together."
            )
            return
        self.chosen, self.spans = found, True
        self._shown()

    async def label(self, verdict: str, typed: str) -> None:
        """Label all that are marked; `typed` is their count, where it goes beyond the page."""
        if self.desk.saving.locked():  # a finger that came twice
            return  # what came of the first is said
        async with self.desk.saving:
            with self.desk.client:  # the button that was pressed goes with what is drawn anew
                await self._label(verdict, typed)

    async def _label(self, verdict: str, typed: str) -> None:
        chosen = list(self.chosen.items())
        if self.spans and typed.strip().replace(",", "") != str(len(chosen)):
            self.desk.said.set_text(f"Type the count, {len(chosen)}, to label them.")
            return

        def act() -> int:
            done = 0
            for begin in range(0, len(chosen), AT_ONCE):
                by = self.desk.context.acting(self.desk.person, Role.ANALYST)
                with self.desk.context.database.writing() as connection:
                    done += labels.mark_several(
                        connection,
                        by,
                        alerts=chosen[begin : begin + AT_ONCE],
                        verdict=verdict,
                        now=self.desk.context.clock(),
                    )
            return done

        self.desk.said.set_text(f"Labelling {counted(len(chosen), len(chosen), 'alert')}.")
        try:
            done = await run.io_bound(act) or 0
        except BadInput as exc:
            self.desk.said.set_text(str(exc))
            return
        except SQLAlchemyError:
            self.desk.said.set_text(
                "The database does not answer: not all are labelled. Press r, and look again."
            )
            return
        left = len(chosen) - done
        said = f"{counted(done, done, 'alert')} labelled {verdict}."
        if left:
            said += f" {left:,} left: somebody else has labelled them meanwhile."
        self.clear()
        self.desk.labelled = None  # undo is of one alert
        opened = self.desk.view.opened
        if opened in dict(chosen) and self.desk.asked == opened:
            self.desk.view.detail, self.desk.asked = None, ""
            await self.desk.redraw()
        await self.desk.show([])
        self.desk.said.set_text(said)

    def _mark(self, alert_ids: list[str]) -> None:
        for each in self.desk.view.queue.rows:
            if each.alert_id in alert_ids:
                self.chosen[each.alert_id] = each.version
                self.last = alert_ids[-1]

    def _shown(self) -> None:
        """Draw the boxes and the buttons as they are now."""
        self.desk.point()
        self.draw.refresh()

    @ui.refreshable_method
    def draw(self) -> None:
        """Draw how many are marked and what can be done with them."""
        count = len(self.chosen)
        if not count:
            return
        with ui.row().classes("items-center marks").props('role="group" aria-label="Marked"'):
            Words("strong", f"{counted(count, count, 'alert')} marked")
            typed = None
            if self.spans:
                typed = ui.input(f"Type {count} to label").classes("w-40")
            elif self.desk.view.queue.total > len(self.desk.view.queue.rows):
                total = counted(self.desk.view.queue.total, queue.MOST_COUNTED, "alert")
                ui.button(
                    f"All {total} that match",
                    on_click=self.all_that_match,
                    color=None,
                ).props("flat").classes("quiet")
            for verdict in labels.VERDICTS:
                ui.button(
                    f"{verdict.capitalize()}: {count:,}",
                    on_click=lambda verdict=verdict: self.label(
                        verdict, (typed.value or "") if typed else ""
                    ),
                    color=None,
                ).props("outline").classes("quiet")
            ui.button("None", on_click=self.none, color=None).props("flat").classes("quiet")

    def none(self) -> None:
        """Take every mark away."""
        self.clear()
        self._shown()
