"""Plain HTML elements that hold text, which NiceGUI has no names for."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

# Not on a phone.
WIDE = {"classes": "wide", "headerClasses": "wide"}


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
