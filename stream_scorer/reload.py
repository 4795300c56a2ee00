"""Looks for a new model while the loop runs: a new file, a SIGHUP, or a record that asks for it."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import msgspec

from stream_scorer.errors import BadInput
from stream_scorer.model import Model

# Seconds between two looks at the file. What looks the same twice is taken for whole.
LOOK_S = 1.0
FILE_NAME = re.compile(r"[\w. -]{1,255}")

Signature = tuple[int, int, int]  # of a file: inode, bytes, nanoseconds of its last change


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """What a record on the control topic asks for: a file beside `SCORER_MODEL`, by its sha256."""

    file: str
    sha256: str


class Control(Protocol):
    """Where requests come from (`control.ControlTopic`)."""

    def newest(self) -> tuple[bool, bytes | None]:
        """Return whether there is a new request, and its value; None takes the request back."""
        ...

    def close(self) -> None:
        """Let the connection go."""
        ...


class Reloader:
    """Finds, loads and checks a new model beside the loop, and hands it over.

    `look` is one step; it is called every second from a thread of its own.
    """

    def __init__(
        self,
        path: Path,
        *,
        pin: str,
        seen: Signature | None,
        offer: Callable[[Model], None],
        refuse: Callable[[str], None],
        control: Control | None = None,
    ) -> None:
        """Watch `path`; `pin` is the only sha256 it may have, if not empty.

        `seen` is the file's signature before the model at work was read from it. `offer` takes a
        checked model and may raise BadInput, `refuse` the reason for none.
        """
        self._path = path
        self._pin = pin
        self._offer = offer
        self._refuse = refuse
        self._control = control
        self._taken = self._seen = seen
        self._asked = threading.Event()
        self._stop = threading.Event()

    def ask(self) -> None:
        """Load the file again at the next look, changed or not; a signal handler may call it."""
        self._asked.set()

    def look(self) -> None:
        """Look once: at the control topic, then at the file."""
        if self._control is not None:
            new, value = self._control.newest()
            if new:
                self._follow(value)
        before, self._seen = self._seen, signature(self._path)
        whole = self._seen is not None and self._seen == before
        if self._asked.is_set() or (whole and self._seen != self._taken):
            self._asked.clear()
            self._taken = self._seen
            self._load(self._path, sha256=self._pin)

    @contextmanager
    def looking(self, fail: Callable[[Exception], None]) -> Iterator[None]:
        """Look from a thread for the length of the block; `fail` gets what ends it early."""

        def run() -> None:
            try:
                while not self._stop.wait(LOOK_S):
                    self.look()
            except Exception as exc:  # noqa: BLE001 - not swallowed: the loop raises it
                fail(exc)

        thread = threading.Thread(target=run, name="reload", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()
            if self._control is not None:
                self._control.close()

    def _follow(self, value: bytes | None) -> None:
        """Load what a record asks for; a null value means: back to the file of the settings."""
        if value is None:
            self._load(self._path, sha256=self._pin)
            return
        try:
            wanted = msgspec.json.decode(value, type=Wanted)
        except msgspec.DecodeError as exc:
            self._refuse(f'the control record is not {{"file": ..., "sha256": ...}}: {exc}')
            return
        if not FILE_NAME.fullmatch(wanted.file) or wanted.file in {".", ".."}:
            self._refuse(
                f"the control record names {wanted.file!r}: want the name of a file beside "
                f"{self._path}"
            )
        elif self._pin not in {"", wanted.sha256}:
            self._refuse(
                f"the control record wants sha256 {wanted.sha256}: SCORER_MODEL_SHA256 pins "
                f"{self._pin}"
            )
        elif len(wanted.sha256) != len("0" * 64):
            self._refuse(f"the control record has sha256 {wanted.sha256!r}: want 64 hex digits")
        else:
            self._load(self._path.with_name(wanted.file), sha256=wanted.sha256)

    def _load(self, path: Path, *, sha256: str) -> None:
        """Load and check a file and offer its model."""
        try:
            self._offer(Model.load(path, sha256=sha256))
        except BadInput as exc:
            self._refuse(str(exc))


def signature(path: Path) -> Signature | None:
    """Return what changes when a file is replaced or written to; None if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
