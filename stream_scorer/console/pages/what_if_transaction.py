"""One transaction's probability while its features are turned."""

import json
from collections.abc import Sequence
from typing import Any

from nicegui import run, ui

from stream_scorer.console import trial
from stream_scorer.console.context import Context
from stream_scorer.console.pages.elements import Words
from stream_scorer.console.pages.sliders import number_of, slider
from stream_scorer.console.people import Person, Role
from stream_scorer.console.trial import Verdict
from stream_scorer.errors import BadInput
from stream_scorer.model import Model

MORE, LESS = "#c0392b", "#2471a3"  # towards fraud, away from it
LONGEST_ID = 100


class TransactionPanel:
    """One analyst's transaction."""

    def __init__(self, context: Context, person: Person, alert_id: str) -> None:
        """Begin from an alert, or from the median genuine transaction if `alert_id` is empty."""
        self.context = context
        self.person = person
        self.alert_id = alert_id[:LONGEST_ID]
        self.model: Model | None = None
        self.start: dict[str, float] = {}
        self.values: dict[str, float] = {}
        self.first: list[str] = []  # features to turn
        self.limits: dict[str, tuple[float, float]] = {}
        self.origin = ""
        self.turned = 0
        self.said: Words
        self.probability: Words
        self.reasons: Words
        self.as_json: Words
        self.picture: ui.echart

    def prepare(self) -> Verdict:
        """Load the model and the transaction to begin with."""
        self.context.acting(self.person, Role.ANALYST)
        self.model = model = self.context.shelf.card().model
        self.start = trial.typical(model)
        self.origin = "the median genuine transaction"
        trouble = ""
        if self.alert_id:
            try:
                with self.context.database.reading() as connection:
                    self.start, sha256 = trial.of_alert(connection, model, self.alert_id)
            except BadInput as exc:
                trouble = f" ({exc})"
            else:
                self.origin = f"alert {self.alert_id}"
                if sha256 != model.sha256:
                    trouble = f" (scored by another model, {sha256[:12]})"
        self.origin += trouble
        self.values = dict(self.start)
        self.first = trial.leading(model, self.start)
        self.limits = trial.limits(model, self.start)
        return trial.judge(model, self.values)

    async def begin(self, alert_id: str) -> None:
        """Begin from another alert, or from the median."""
        self.alert_id = alert_id.strip()[:LONGEST_ID]
        self.turned += 1
        try:
            verdict = await run.io_bound(self.prepare)
        except BadInput as exc:
            self.said.set_text(str(exc))
            return
        if verdict is not None:
            self.draw.refresh(verdict)

    async def turn(self, name: str, value: object) -> None:
        """Take another value of a feature, and tell the probability."""
        model = self.model
        if model is None:
            return
        self.values[name] = number_of(value, *self.limits[name])
        self.turned += 1
        turn, values = self.turned, dict(self.values)

        def ask() -> Verdict:
            self.context.acting(self.person, Role.ANALYST)
            return trial.judge(model, values)

        try:
            verdict = await run.io_bound(ask)
        except BadInput as exc:
            self.said.set_text(str(exc))
            return
        if verdict is not None and turn == self.turned:
            self.tell(verdict)

    @ui.refreshable_method
    def draw(self, verdict: Verdict) -> None:
        """Draw the sliders and what they lead to."""
        self.said = Words("p", f"Begun from {self.origin}.").props('role="status"').classes("said")
        with ui.row().classes("items-center"):
            wanted = ui.input("Alert id", value=self.alert_id).props("maxlength=100")
            for text, act in (
                ("Begin from it", lambda: self.begin(wanted.value or "")),
                ("Begin from the median", lambda: self.begin("")),
                ("Reset", lambda: self.begin(self.alert_id)),
            ):
                ui.button(text, on_click=act, color=None).props("outline").classes("quiet")
        self.probability = Words("p", "").classes("probability").props('role="status"')
        with ui.element("div").classes("turns"):
            for name in self.first:
                self.feature(name)
        others = [name for name in self.limits if name not in self.first]
        folded = ui.expansion(f"The other features ({len(others)})").classes("w-full")
        with folded, ui.element("div").classes("turns"):
            for name in others:
                self.feature(name)
        self.picture = (
            ui.echart(bars([], []))
            .classes("reasons")
            .props('role="img" aria-label="Effects as bars; the same in words below"')
            .style("height: 250px")
        )
        self.reasons = Words("p", "").classes("effects")
        with ui.expansion("As JSON").classes("w-full"):
            self.as_json = (
                Words("pre", "")
                .classes("bytes")
                .props('tabindex="0" role="region" aria-label="As JSON"')
            )
        self.tell(verdict)

    def feature(self, name: str) -> None:
        """Draw one feature's slider."""
        low, high = self.limits[name]
        slider(name, low, high, self.values[name], lambda value: self.turn(name, value))

    def tell(self, verdict: Verdict) -> None:
        """Show what the model says."""
        threshold = self.context.settings.threshold
        says = "would alert" if verdict.probability >= threshold else "would not alert"
        self.probability.set_text(
            f"Probability {verdict.probability:.4f}: {says} from {threshold:g} on."
        )
        effects = verdict.effects
        self.picture.options.update(
            bars([each.feature for each in effects], [round(each.effect, 3) for each in effects])
        )
        self.reasons.set_text(
            "; ".join(
                f"with a typical {each.feature} ({each.baseline:.4g}, not {each.value:.4g}) the "
                f"log-odds would be {abs(each.effect):.2f} "
                f"{'lower' if each.effect > 0 else 'higher'}"
                for each in effects
            )
            or "Every feature has its typical value."
        )
        self.as_json.set_text(json.dumps(self.values, indent=1))


def bars(names: Sequence[str], effects: Sequence[float]) -> dict[str, Any]:
    """Return a chart of effects on the log-odds, one bar a feature."""
    return {
        "animation": False,
        "grid": {"left": 70, "right": 30, "top": 5, "bottom": 45},
        "xAxis": {"type": "value", "name": "log-odds", "nameLocation": "middle", "nameGap": 25},
        "yAxis": {"type": "category", "data": list(names), "inverse": True},
        "series": [
            {
                "type": "bar",
                "barMaxWidth": 28,
                "data": [
                    {"value": effect, "itemStyle": {"color": MORE if effect > 0 else LESS}}
                    for effect in effects
                ],
                "label": {"show": True, "position": "right"},
            }
        ],
    }
