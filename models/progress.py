"""Show how far a long command is: a bar on a terminal, one plain line a step elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

# Told what is being done, and which share (0 to 1) of the whole is done.
Tell = Callable[[str, float], None]


@contextmanager
def shown() -> Iterator[Tell]:
    """Yield the function to tell; all goes to stderr, so that stdout stays the result."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain_lines()
        return
    columns = (TextColumn("{task.description:<14}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("start", total=1.0)
        yield lambda text, share: bar.update(task, description=text, completed=share)


def _plain_lines() -> Tell:
    said: list[str] = []

    def tell(text: str, share: float) -> None:
        if text not in said:
            said.append(text)
            click.echo(f"{share:4.0%} {text}", err=True)

    return tell
