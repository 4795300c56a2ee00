"""What to type to get the same model again, for its card."""

import shlex
from pathlib import Path

import click

# Where the results go says nothing of what is in them.
ELSEWHERE = {"output", "card", "json_to"}


def command_line(context: click.Context) -> str:
    """Return the command as it was given: no directories, no defaults."""
    words = ["stream-scorer", "model", context.info_name or ""]
    for option in context.command.params:
        value = context.params[option.name or ""]
        if option.name in ELSEWHERE or value in (None, False, option.default):
            continue
        if isinstance(option, click.Option):
            words.append(option.opts[-1])
        if value is not True:
            words.append(as_text(value))
    return shlex.join(words)


def as_text(value: object) -> str:
    """Return a value as it would be typed."""
    if isinstance(value, float):
        return f"{value:.15g}"
    return value.name if isinstance(value, Path) else str(value)
