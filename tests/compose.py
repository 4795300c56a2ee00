"""Reads deploy/compose.yaml, and starts its services as processes of this machine."""

import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.environ import own_environ

DEPLOY = Path(__file__).parents[1] / "deploy"
OURS = ("stream-scorer", "stream-scorer-people")


def compose() -> dict[str, Any]:
    """Return the file, anchors resolved."""
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def our_services() -> dict[str, dict[str, Any]]:
    """Return the services that run stream-scorer, by name."""
    services = compose()["services"]
    return {name: each for name, each in services.items() if each["image"] in OURS}


def command_of(service: Mapping[str, Any]) -> list[str]:
    """Return a service's command as the image's entry point takes it."""
    asked = service.get("command", ["run"])
    return asked if isinstance(asked, list) else shlex.split(asked)


@dataclass(frozen=True)
class Running:
    """A service at work here."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    environ: Mapping[str, str]


@contextmanager
def started(name: str, folder: Path, here: Mapping[str, str], **changes: str) -> Iterator[Running]:
    """Run a service's own command with its own variables for the length of the block.

    `here` replaces words of the values, as addresses are others without containers; `changes` are
    variables of this machine's.
    """
    service = our_services()[name]
    environ = {key: str(value) for key, value in service["environment"].items()}
    for word, replacement in here.items():
        environ = {key: value.replace(word, replacement) for key, value in environ.items()}
    own = own_environ()
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "stream_scorer", *command_of(service)],
            stdout=output,
            stderr=output,
            env={**own, **environ, **changes},
            cwd=folder,
        )
    try:
        yield Running(name, process, log, environ)
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()
