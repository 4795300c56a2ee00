"""One alert, in the order in which a person decides: risk, buttons, reasons, neighbours, origin."""

import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from nicegui import ui

from stream_scorer.console import labels, trial
from stream_scorer.console.labels import Said
from stream_scorer.console.pages.elements import Words, columns, rows_table
from stream_scorer.console.pages.words import UNKNOWN, moment_utc, number
from stream_scorer.console.people import Role
from stream_scorer.console.queue import Detail, Listed
from stream_scorer.model import Model

if TYPE_CHECKING:
    from stream_scorer.console.pages.alerts import Desk

USUAL = "nine in ten"  # of training's rows: from, to
NUMBERS = ("value", "typical", USUAL)
BEYOND = {-1: "low", 0: "", 1: "high"}
SHORT = 12  # characters of a sha256 that are shown
SENT = {
    "saved": "saved, waiting for Kafka",
    "sent": "sent to Kafka",
    "elsewhere": "came by the labels' topic",
}


def draw_detail(desk: "Desk", detail: Detail) -> None:
    """Draw one alert."""
    row, body = detail.row, detail.body
    Words("h2", f"Transaction {row.transaction_id}")
    threshold = body.get("threshold")
    beyond = f" (alerts from {threshold:g})" if isinstance(threshold, int | float) else ""
    amount = UNKNOWN if row.amount is None else number(row.amount, 2)
    when = moment_utc(row.timestamp_ms)
    Words("p", f"Risk {row.probability:.4f}{beyond}. Amount {amount}. {when}.")
    state = "open" if row.state == labels.OPEN else f"labelled {row.state}"
    who = f", assigned to {row.assignee}" if row.assignee else ""
    Words("p", f"It is {state}{who}.")
    if detail.others:
        Words("p", f"Also looked at by {', '.join(detail.others)}.").classes("others")
    if desk.person.may(Role.ANALYST):
        buttons(desk, row)
        ui.link("What if its features were others?", f"/model?{urlencode({'alert': row.alert_id})}")
    draw_reasons(body.get("reasons") or [], body.get("unexplained") or [])
    draw_others("Other alerts of this transaction", desk, detail.same)
    around = [*reversed(detail.before), *detail.after]
    draw_others("Neighbours in time", desk, around)
    draw_features(desk, body)
    draw_origin(desk, detail)
    desk.draw_history()


def button(desk: "Desk", text: str, do: Callable[[], Awaitable[None]], **looks: Any) -> ui.button:  # noqa: ANN401 - NiceGUI's
    """Draw a button of the alert; what it does outlives it, if the alert is drawn anew."""

    async def act() -> None:
        with desk.client:
            await do()

    return ui.button(text, on_click=act, **looks)


def quiet(
    desk: "Desk", text: str, do: Callable[[], Awaitable[None]], *, props: str = "flat"
) -> None:
    """Draw a button that is not what a person is here for."""
    button(desk, text, do, color=None).props(props).classes("quiet")


def buttons(desk: "Desk", row: Listed) -> None:
    """Draw what a person can do with an alert; the keys stand on the buttons."""
    note = ui.textarea(
        "Note (n; kept here, not sent)",
        value=desk.notes.get(row.alert_id, ""),
        on_change=lambda event: desk.notes.update({row.alert_id: str(event.value or "")}),
    )
    note.props("rows=2 maxlength=2000 data-key=n").classes("note")
    note.props["data-of"] = row.alert_id

    async def mark(verdict: str) -> None:
        await desk.mark(row, verdict, str(note.value or ""))

    with ui.row().classes("verdicts settles"):
        for key, verdict, colour in (
            ("1", labels.FRAUD, "negative"),
            ("2", labels.GENUINE, "positive"),
            ("3", labels.UNSURE, "warning"),
        ):
            button(
                desk,
                f"{verdict.capitalize()} ({key})",
                partial(mark, verdict),
                color=colour,
            ).props(f"data-press={key}")
    with ui.row().classes("settles"):
        quiet(desk, "Undo (z)", lambda: desk.undo(row), props="outline data-press=z")
        quiet(desk, "Next free (s)", desk.next_free, props="outline")
        quiet(desk, "Assign to me", lambda: desk.assign(row, desk.person.name))
        quiet(desk, "Assign to nobody", lambda: desk.assign(row, ""))


def draw_reasons(reasons: Sequence[dict[str, Any]], unexplained: Sequence[object]) -> None:
    """Draw the reasons as bars to the right (towards fraud) or to the left, and in words.

    `unexplained` names features whose part in the score is not known.
    """
    if not (reasons or unexplained):
        return
    Words("h2", "Why")
    if unexplained:
        text = ", ".join(map(str, unexplained))
        Words("p", f"Not known for {text}: the model does not take a typical value there.")
    if not reasons:
        return
    names = [str(each["feature"]) for each in reasons]
    effects = [float(each["effect"]) for each in reasons]
    draw_bars(names, effects)
    with ui.element("ul"):
        for each in reasons:
            value, baseline = float(each["value"]), float(each["baseline"])
            Words(
                "li",
                f"{each['feature']} is {value:.4g}, typically {baseline:.4g}: "
                f"{each.get('text') or ''}",
            )


def draw_bars(names: Sequence[str], effects: Sequence[float]) -> None:
    """Draw effects as bars, to the right towards fraud, to the left away from it.

    No chart: one that is taken away while its library loads breaks, and a fast hand does that.
    """
    most = max((abs(each) for each in effects if math.isfinite(each)), default=0) or 1
    picture = ui.element("div").classes("reasons").props('role="img"')
    with picture.props('aria-label="Reasons as bars; the same in words below"'):
        for name, effect in zip(names, effects, strict=True):
            Words("span", name)
            share = min(1, abs(effect) / most)
            with ui.element("div").classes("track"):
                side = "more" if effect > 0 else "less"
                ui.element("div").classes(side).style(f"width: {50 * share:.1f}%")
            Words("span", f"{effect:+.3f}")
    Words("p", "Effect on the log-odds: to the right towards fraud.")


def section(desk: "Desk", title: str, *, more: str = "") -> ui.expansion:
    """Return a part that folds, as the person left it: the alert is drawn anew under their hands.

    `more` stands behind the title, and may differ from alert to alert.
    """
    kept = desk.unfolded
    return ui.expansion(
        f"{title}{more}",
        value=title in kept,
        on_value_change=lambda change: (kept.add if change.value else kept.discard)(title),
    ).classes("w-full")


def draw_others(title: str, desk: "Desk", others: Sequence[Listed]) -> None:
    """Draw other alerts as links."""
    if not others:
        return
    with section(desk, title, more=f" ({len(others)})"), ui.element("ul"):
        for each in others:
            with ui.element("li"):
                text = f"{each.transaction_id}: risk {each.probability:.4f}, {each.state}, "
                quiet(
                    desk,
                    text + moment_utc(each.timestamp_ms),
                    partial(desk.open, each.alert_id),
                    props="flat no-caps dense",
                )


def draw_features(desk: "Desk", body: dict[str, Any]) -> None:
    """Draw every feature's value against what is usual, if the model that scored it is at hand."""
    features, model = body.get("features"), desk.view.model
    if not isinstance(features, dict):
        return
    names = columns("feature", "value", "typical", USUAL, "says", right=NUMBERS, wide=("typical",))
    with section(desk, "All features", more=f" ({len(features)})"):
        if model is None:
            Words("p", "What is usual is not known: the model file here is another than scored it.")
            names = columns("feature", "value", right=NUMBERS)
        rows_table(names, feature_rows(features, model))


def feature_rows(features: dict[str, Any], model: Model | None) -> list[dict[str, str]]:
    """Return one row a feature."""
    typical = {} if model is None else trial.typical(model)
    usual = {} if model is None else trial.usual(model)
    rows = []
    for name, value in features.items():
        known = trial.is_number(value)
        low, high = usual.get(name, (-math.inf, math.inf))
        rows.append(
            {
                "feature": name,
                "value": f"{value:.6g}" if known else UNKNOWN,
                "typical": f"{typical[name]:.4g}" if name in typical else UNKNOWN,
                USUAL: f"{low:.4g} to {high:.4g}" if name in usual else UNKNOWN,
                "says": "" if not known else BEYOND[(value > high) - (value < low)],
            }
        )
    return rows


def draw_origin(desk: "Desk", detail: Detail) -> None:
    """Draw where the transaction stands, and which model scored it; each to be copied."""
    body = detail.body
    source, model = body.get("source") or {}, body.get("model") or {}
    facts = {
        "Alert": body.get("alert_id"),
        "Topic": source.get("topic"),
        "Partition": source.get("partition"),
        "Offset": source.get("offset"),
        "Model": f"{model.get('name')} {model.get('version')}",
        "sha256": model.get("sha256"),
    }
    with section(desk, "Origin"):
        with ui.element("dl").classes("facts"):
            for name, value in facts.items():
                Words("dt", name)
                with ui.element("dd"):
                    Words("span", str(value)[:SHORT] if name == "sha256" else str(value))
                    ui.button(
                        "Copy",
                        on_click=lambda name=name, value=value: desk.copy(name, str(value)),
                        color=None,
                    ).props(f'flat dense no-caps aria-label="Copy {name}"').classes("quiet")
        if desk.person.may(Role.ANALYST):
            quiet(desk, "Verify", lambda: desk.verify(detail), props="outline")
        desk.verified = Words("p", "").props('role="status"')


def draw_history(history: Sequence[Said]) -> None:
    """Draw what was said of it, and whether Kafka has it."""
    if not history:
        return
    Words("h2", "Labels")
    with ui.element("ul").classes("history"):
        for said in history:
            note = f" - {said.note}" if said.note else ""
            when = moment_utc(said.at)
            Words("li", f"{said.verdict} by {said.actor}, {when} ({SENT[said.sent]}){note}")
