"""Settings on the command line: a flag for each, and what must not be given there."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from stream_scorer.config import PREFIX, Settings, is_secret, variable
from stream_scorer.errors import BadInput

# What `run` takes as flags, and `check` looks at.
NOT_OF_RUN = {
    *("kafka", "labels_topic", "parking_topic", "registry_user"),
    *("quality_topic", "monitor_keep", "monitor_port"),
    *(name for name in Settings.model_fields if name.startswith("console_")),
}
RUN_SETTINGS = [name for name in Settings.model_fields if name not in NOT_OF_RUN]


def settings_options(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a click command `--config`, `--kafka` and a flag for each name; pass `settings`."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        def run(config: Path | None, kafka: tuple[str, ...], **rest: Any) -> Any:  # noqa: ANN401
            flags: dict[str, Any] = {n: rest.pop(n) for n in names if rest.get(n) is not None}
            rest = {name: value for name, value in rest.items() if name not in names}
            flags["kafka"] = dict(read_pair(pair) for pair in kafka)
            settings = Settings.load(environ=os.environ, toml=config, flags=flags)
            return command(settings=settings, **rest)

        run.__doc__ = command.__doc__
        run.__name__ = command.__name__
        run.__click_params__ = list(getattr(command, "__click_params__", []))  # type: ignore[attr-defined]
        wrapped: Callable[..., Any] = run
        for name in reversed(names):
            wrapped = flag(name)(wrapped)
        wrapped = click.option(
            "--kafka", multiple=True, metavar="KEY=VALUE", help="A librdkafka key; repeat for more."
        )(wrapped)
        return click.option(
            "--config", type=click.Path(path_type=Path), help="A TOML file of settings."
        )(wrapped)

    return decorate


def flag(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the click option of one setting; pydantic checks its value."""
    field = Settings.model_fields[name]
    return click.option(
        f"--{name.replace('_', '-')}",
        name,
        help=f"{field.description} [{PREFIX}{name.upper()}]",
        type=str,
    )


def read_pair(pair: str) -> tuple[str, str]:
    """Return key and value of `--kafka KEY=VALUE`; a secret must not be on a command line."""
    key, equals, value = pair.partition("=")
    if not equals:
        raise BadInput("--kafka wants KEY=VALUE, and one of them has no =")
    if is_secret(key):
        raise BadInput(
            f"--kafka {key}=... would show a secret to every user of this machine: "
            f"use {variable(key)} or {variable(key)}_FILE"
        )
    return key, value
