"""What the queue of alerts is filtered by, on the page and in its address."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from nicegui import ui

from stream_scorer.console import queue
from stream_scorer.console.queue import Cursor, Filter
from stream_scorer.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_scorer.console.pages.alerts import Desk

NUMBERS: dict[str, type[float] | type[int]] = {
    "least_risk": float,
    "least_amount": float,
    "partition": int,
}
LARGEST = 2**63  # no row of a database has as large an id
TEXTS = ("state", "order", "text", "model_version", "since", "until")
KEYS = {
    "j, k": "the next alert, the one before",
    "1, 2, 3": "fraud, genuine, unsure; then the next one",
    "x": "mark the open alert; shift and x: and all since the last that was marked",
    "n": "write a note; Esc to leave it",
    "z": "undo",
    "s": "the first that nobody else looks at",
    "]": "the next page; [ the one before",
    "/": "search",
    "r": "look again",
    "c": "copy a link to this",
    "g and a letter": "another page: l a u m q d s",
}


def read(given: "Mapping[str, str]", name: str) -> Filter:
    """Return the filter that an address asks for, as far as it can be read; `name` is who asks."""
    values: dict[str, Any] = {key: given[key] for key in TEXTS if given.get(key)}
    for key, number in NUMBERS.items():
        try:
            values[key] = number(given[key])
        except (KeyError, ValueError):
            continue
    if given.get("mine"):
        values["mine"] = name
    try:
        return Filter(**values)
    except BadInput:
        return Filter()


def page_of(given: "Mapping[str, str]") -> list[Cursor]:
    """Return where the page of the queue begins that an address asks for, empty: at the first."""
    value, _, row_id = given.get("after", "").partition("_")
    try:
        cursor = Cursor(float(value), int(row_id))
    except ValueError:
        return []
    return [cursor] if math.isfinite(cursor.value) and 0 <= cursor.row_id < LARGEST else []


def written(wanted: Filter, *, opened: str, after: Cursor | None = None) -> str:
    """Return the address of a filter and a page of it, with the alert that is open."""
    given = {key: getattr(wanted, key) for key in (*TEXTS, *NUMBERS)}
    page = f"{after.value!r}_{after.row_id}" if after else ""
    given |= {"mine": "yes" if wanted.mine else "", "after": page, "open": opened}
    return "/alerts?" + urlencode({k: v for k, v in given.items() if v not in {None, ""}})


def draw_filters(desk: "Desk") -> None:
    """Draw the filters."""
    wanted = desk.view.wanted
    with ui.row().classes("items-center"):
        ui.select(
            list(queue.STATES),
            value=wanted.state,
            label="State",
            on_change=lambda e: desk.filter(replace(desk.view.wanted, state=e.value)),
        ).classes("w-28")
        ui.select(
            list(queue.ORDERS),
            value=wanted.order,
            label="Order",
            on_change=lambda e: desk.filter(replace(desk.view.wanted, order=e.value)),
        ).classes("w-28")
        search = ui.input("Transaction or alert id (/)", value=wanted.text).props("data-key=/")
        search.on("keydown.enter", lambda: desk.find(search.value or ""))
    with ui.expansion("More filters").classes("w-full"), ui.row().classes("items-center"):
        risk = ui.number("Risk from", value=wanted.least_risk, min=0, max=1, step=0.01)
        amount = ui.number("Amount from", value=wanted.least_amount, min=0)
        partition = ui.number("Partition", value=wanted.partition, min=0, precision=0)
        model = ui.input("Model version", value=wanted.model_version)
        since, until = (
            ui.input(f"{name} (UTC)", value=value).props("type=datetime-local stack-label")
            for name, value in (("From", wanted.since), ("Until", wanted.until))
        )
        mine = ui.checkbox("Assigned to me", value=bool(wanted.mine))

        async def choose() -> None:
            try:
                wanted = replace(
                    desk.view.wanted,
                    least_risk=risk.value,
                    least_amount=amount.value,
                    partition=None if partition.value is None else int(partition.value),
                    model_version=(model.value or "").strip(),
                    since=since.value or "",
                    until=until.value or "",
                    mine=desk.person.name if mine.value else "",
                )
            except BadInput as exc:
                desk.said.set_text(str(exc))
                return
            await desk.filter(wanted)

        for each in (risk, amount, partition, model, since, until):
            each.on("change", choose)
        mine.on_value_change(choose)


def keys_dialog() -> ui.dialog:
    """Return the list of keys, not open yet."""
    with ui.dialog() as dialog, ui.card():
        ui.label("Keys, while no field has the focus").classes("said")
        with ui.element("dl"):
            for key, does in KEYS.items():
                ui.label(f"{key}: {does}")
        ui.button("Close (Esc)", on_click=dialog.close, color=None).props("flat").classes("quiet")
    return dialog
