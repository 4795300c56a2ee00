"""Reads deploy/compose.yaml, and starts its services as processes of this machine.

With ENGINE=podman or docker in the environment they run in the composition's own images instead
(`make image`), with its limits and rights, on this machine's network.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
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


def contained(
    service: Mapping[str, Any], folders: Sequence[Path], environ: Mapping[str, str]
) -> list[str]:
    """Return how an engine runs a service: these folders are there for it to read and to write."""
    options = [
        "--read-only",
        *(f"--cap-drop={each}" for each in service["cap_drop"]),
        *(f"--security-opt={each.removesuffix(':true')}" for each in service["security_opt"]),
        *(f"--tmpfs={each}" for each in service["tmpfs"]),
        *([f"--memory={service['mem_limit']}"] if "mem_limit" in service else []),
        *(f"--env={key}={value}" for key, value in environ.items()),
    ]
    engine = [os.environ["ENGINE"], "run", "--rm", "--network=host"]
    volumes = [f"--volume={each}:{each}" for each in folders]
    return [*engine, *volumes, *options, service["image"], *command_of(service)]


@contextmanager
def started(
    name: str, folder: Path, here: Mapping[str, str], *also: Path, **changes: str
) -> Iterator[Running]:
    """Run a service's own command with its own variables for the length of the block.

    `here` replaces words of the values, as addresses are others without containers; `changes` are
    variables of this machine's. A container sees `folder` and `also`.
    """
    service = our_services()[name]
    environ = {key: str(value) for key, value in service["environment"].items()}
    for word, replacement in here.items():
        environ = {key: value.replace(word, replacement) for key, value in environ.items()}
    environ |= changes
    if os.environ.get("ENGINE"):
        command = contained(service, [folder, *also], environ)
    else:
        command = [sys.executable, "-m", "stream_scorer", *command_of(service)]
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env={**own_environ(), **environ}, cwd=folder
        )
    try:
        yield Running(name, process, log, environ)
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()
