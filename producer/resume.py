"""The file that lets an interrupted replay go on: what it replays, and how far it is confirmed."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex

import msgspec

from producer.deliveries import Position
from stream_scorer.errors import BadInput


class State(msgspec.Struct, frozen=True):
    """All of a resume file."""

    about: dict[str, str]  # what is replayed where; another replay must not use this file
    run: str  # random; marks this replay's records
    events: Position
    labels: Position
    finished: bool = False


def begin(about: Mapping[str, str], *, events: dict[int, int], labels: dict[int, int]) -> State:
    """Return the state before the first row; the offsets are the ends of the topics now."""
    return State(dict(about), token_hex(8), Position(1, events), Position(1, labels))


def load(path: Path, about: Mapping[str, str]) -> State | None:
    """Return the state, None if there is no file; raise BadInput if it is of another replay."""
    try:
        state = msgspec.json.decode(path.read_bytes(), type=State)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise BadInput(f"--resume names {str(path)!r}: {exc.strerror}") from exc
    except msgspec.DecodeError as exc:
        raise BadInput(f"{path} is no resume file: {exc}") from exc
    for name in [*about, *state.about]:
        was, now = state.about.get(name), about.get(name)
        if was != now:
            raise BadInput(
                f"{path} belongs to another replay: its {name} is {was!r}, this one's is {now!r}; "
                "name another resume file"
            )
    return state


def save(path: Path, state: State) -> None:
    """Replace the file in one step: a reader, and a crash, see the old one or the new one."""
    fresh = path.with_name(f"{path.name}.new")
    try:
        with fresh.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(state), indent=1) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        with contextlib.suppress(PermissionError):  # Windows opens no folders, and needs it not
            folder = os.open(path.resolve().parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
    except OSError as exc:
        raise BadInput(f"--resume {str(path)!r} cannot be written: {exc.strerror}") from exc
