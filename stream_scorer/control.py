"""The control topic, read outside any group: which model to run, as its newest record says."""

import re
from pathlib import Path

import msgspec

from stream_scorer.config import Settings
from stream_scorer.errors import BadInput
from stream_scorer.topics import TopicReader

# The key of the record that says which model to run; all others are ours to write.
MODEL_KEY = b"model"
FILE_NAME = re.compile(r"[\w. -]{1,255}")
SHA256 = re.compile(r"[0-9a-f]{64}")


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """What a record asks for: a file beside `SCORER_MODEL`, by its sha256."""

    file: str
    sha256: str


class ControlTopic:
    """Reads the control topic from its beginning, then what comes."""

    def __init__(self, settings: Settings) -> None:
        """Open the topic of the settings; raise KafkaTrouble if it is not to be had."""
        self._reader = TopicReader(settings, settings.control_topic)
        self._begun = False

    def newest(self) -> tuple[bool, bytes | None]:
        """Return whether there is a request that was not seen, and the newest one's value."""
        messages = self._reader.arriving(0) if self._begun else self._reader.held()
        self._begun = True
        values = [message.value() for message in messages if message.key() == MODEL_KEY]
        return (True, values[-1]) if values else (False, None)

    def close(self) -> None:
        """Let the connection go."""
        self._reader.close()


def find(request: bytes | None, *, path: Path, pin: str) -> tuple[Path, str]:
    """Return the file to run and the sha256 it must have, empty if any will do.

    Without a request, `path` and `pin`: SCORER_MODEL and SCORER_MODEL_SHA256. Raises BadInput for
    a request of another shape, for a file elsewhere, or for another model than the pinned one.
    """
    if request is None:
        return path, pin
    try:
        wanted = msgspec.json.decode(request.decode(), type=Wanted)
    except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
        raise BadInput(f'the control record is not {{"file": ..., "sha256": ...}}: {exc}') from exc
    require_name(wanted.file, f"the control record names {wanted.file!r}")
    if not SHA256.fullmatch(wanted.sha256):
        raise BadInput(f"the control record has sha256 {wanted.sha256!r}: want 64 hex digits")
    if pin not in {"", wanted.sha256}:
        raise BadInput(
            f"the control record wants sha256 {wanted.sha256}: SCORER_MODEL_SHA256 pins {pin}"
        )
    return path.with_name(wanted.file), wanted.sha256


def require_name(name: str, what: str) -> None:
    """Raise BadInput unless a name is that of a file beside SCORER_MODEL."""
    if not FILE_NAME.fullmatch(name) or name in {".", ".."}:
        raise BadInput(
            f"{what}: want the name of a file beside SCORER_MODEL, of letters, digits, '.', '_', "
            "'-' and spaces"
        )
