"""What shows on a terminal that long reading goes on; nothing where nobody looks."""

from rich.console import Console
from rich.progress import Progress


def counting(count: str) -> Progress:
    """Return a line with what is done and `count`, a column of rich's with the task's figures."""
    console = Console(stderr=True)
    return Progress(
        "{task.description}",
        count,
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
