"""A slider with its name and its value beside it; what the browser says of it is checked."""

import math
from collections.abc import Awaitable, Callable

from nicegui import ui

from stream_scorer.console.pages.elements import Words

STEPS = 1000


def slider(
    name: str,
    low: float,
    high: float,
    value: float,
    turned: Callable[[object], Awaitable[None]],
    *,
    digits: int = 2,
) -> ui.slider:
    """Draw a slider from `low` to `high`, and call `turned` with what it is moved to."""
    with ui.element("div").classes("turn"):
        Words("span", name)
        shown = Words("output", f"{value:.{digits}f}")

        async def move(moved: object) -> None:
            shown.set_text(f"{number_of(moved, low, high):.{digits}f}")
            await turned(moved)

        step = 1.0 if digits == 0 else (high - low) / STEPS
        made = ui.slider(
            min=low, max=high, step=step, value=value, on_change=lambda event: move(event.value)
        )
        made.props["aria-label"] = name
    return made


def number_of(value: object, low: float, high: float) -> float:
    """Return a number within its limits; what is none becomes the lower."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return low
    return min(max(float(value), low), high)
