"""Plain HTML elements that hold text, which NiceGUI has no names for."""

from nicegui.elements.mixins.text_element import TextElement


class Words(TextElement):
    """An element of any tag with a text, which is never read as HTML."""

    def __init__(self, tag: str, text: str) -> None:
        """Make it."""
        super().__init__(tag=tag, text=text)


def heading(text: str) -> Words:
    """Return the one first heading of a page."""
    return Words("h1", text)
