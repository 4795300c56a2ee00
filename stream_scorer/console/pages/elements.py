"""Plain HTML elements that hold text, which NiceGUI has no names for."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement
from nicegui.events import KeyEventArguments

# Not on a phone.
WIDE = {"classes": "wide", "headerClasses": "wide"}

# The box of a row; what the row holds is data to it, never part of it.
BOX = """
<q-td :props="props">
  <input type="checkbox" :checked="props.row.marked" class="mark"
    :aria-label="'Mark ' + props.row.called" @click.stop="$parent.$emit('mark', props.row.id)">
</q-td>
"""
# A part unfolds at once: what slides away from under a pointer takes no click.
ui.expansion.default_props("duration=0")

MARKED = {"name": "marked", "label": "Marked", "field": "marked", "align": "left"}


class Words(TextElement):
    """An element of any tag with a text, which is never read as HTML."""

    def __init__(self, tag: str, text: str) -> None:
        """Make it."""
        super().__init__(tag=tag, text=text)


def heading(text: str) -> Words:
    """Return the one first heading of a page."""
    return Words("h1", text)


def columns(
    *names: str, wide: Collection[str] = (), right: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Return a table's columns, each by its name; `wide` ones are not on a phone."""
    return [
        {
            "name": name,
            "label": name[:1].upper() + name[1:],
            "field": name,
            "align": "right" if name in right else "left",
            **(WIDE if name in wide else {}),
        }
        for name in names
    ]


def rows_table(columns: list[dict[str, Any]], rows: Sequence[Mapping[str, Any]]) -> ui.table:
    """Return a table of texts, as wide as the page."""
    table = ui.table(columns=columns, rows=[dict(row) for row in rows])
    return table.props("wrap-cells dense").classes("w-full")


def clicked_table(
    columns: list[dict[str, Any]],
    on_click: Callable[[str], object],
    on_mark: Callable[[str], object] | None = None,
) -> ui.table:
    """Return a table without rows yet; a click on one gives `on_click` its `id`.

    The row whose `opened` is true is told from the others. With `on_mark` each has a box, ticked if
    `marked` is true, which says what the row is `called` and gives `on_mark` its `id`.
    """
    if on_mark is not None:
        columns = [MARKED, *columns]
    table = ui.table(columns=columns, rows=[], row_key="id").props("wrap-cells dense")
    if on_mark is not None:
        table.add_slot("body-cell-marked", BOX)
        table.on("mark", lambda event: on_mark(str(event.args)))
    table.props(""":table-row-class-fn="row => row.opened ? 'opened' : ''" """)
    table.on(
        "row-click",
        lambda event: on_click(str(event.args["id"])),
        js_handler="(event, row) => emit({id: row.id})",
    )
    return table.classes("newest")


def keys(on_key: Callable[[KeyEventArguments], object]) -> None:
    """Hear keys, but for those that are typed into a field."""
    ui.keyboard(on_key=on_key, ignore=["input", "select", "textarea"])


def histogram(names: Sequence[str], bars: Sequence[Any], *, across: str, up: str) -> dict[str, Any]:
    """Return counts as a chart whose height is logarithmic, so that one in thousands is seen.

    `bars` are as echarts takes them, None for none; `across` and `up` say what the axes are.
    """
    return {
        "animation": False,
        "aria": {"enabled": True},
        "grid": {"left": 60, "right": 20, "top": 30, "bottom": 40},
        "tooltip": {"trigger": "axis"},
        "xAxis": {
            "type": "category",
            "data": list(names),
            "name": across,
            "nameLocation": "middle",
            "nameGap": 25,
        },
        "yAxis": {"type": "log", "name": up, "min": 0.5, "startValue": 0.5},
        "series": [{"type": "bar", "barCategoryGap": "5%", "data": list(bars)}],
    }
