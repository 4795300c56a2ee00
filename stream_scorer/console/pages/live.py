"""Live: what is happening now."""

from nicegui import ui

from stream_scorer.console.context import Context
from stream_scorer.console.pages.frame import frame


def register(context: Context) -> None:
    """Add the page."""

    @ui.page("/live")
    def live() -> None:
        with frame(context, "Live", "/live"):
            ui.label("No transactions yet. Start with `stream-scorer replay FILE`.")
