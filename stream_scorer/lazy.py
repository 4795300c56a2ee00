"""A group of commands that are imported when they are used."""

import importlib
from collections.abc import Mapping
from typing import Any

import click


class ReaderGoneError(Exception):
    """Whoever read our output went away; click would end with 1, which means something else."""


class LazyGroup(click.Group):
    """Its commands live in modules of their own: `alerts` should not wait for onnxruntime."""

    def __init__(self, *, places: Mapping[str, str], **rest: Any) -> None:  # noqa: ANN401 - click's
        """Take `places`, a command's `module:name` by what a person types, in the order shown."""
        super().__init__(**rest)
        self._places = places

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's
        """Run the command; raise ReaderGoneError where its output cannot be written any more."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as exc:
            raise ReaderGoneError from exc

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """Return the names in the order in which a newcomer meets them."""
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command."""
        if cmd_name not in self._places:
            return None
        module, _, name = self._places[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command
