"""The commands `stream-scorer dead-letters ...`, each in a module of its own."""

import click

from stream_scorer.lazy import LazyGroup

COMMANDS = {
    "list": "stream_scorer.dead_letters.list_command:list_letters",
    "show": "stream_scorer.dead_letters.show_command:show",
    "redrive": "stream_scorer.dead_letters.redrive_command:redrive",
}


@click.group(cls=LazyGroup, places=COMMANDS)
def dead_letters() -> None:
    """Look at the records that could not be scored, and feed them in again.

    \b
    stream-scorer dead-letters list --since 2h        how many, why, and the newest
    stream-scorer dead-letters show transactions/0/7  everything about one
    stream-scorer dead-letters redrive --dry-run      what would be fed in again
    """
