"""Looks for a new model while the loop runs: a new file, a SIGHUP, or a record that asks for it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from stream_scorer.control import find
from stream_scorer.errors import BadInput
from stream_scorer.model import Model

# Seconds between two looks at the file. What looks the same twice is taken for whole.
LOOK_S = 1.0
# Seconds that the end of a look is waited for at the stop.
JOIN_S = 5.0

Signature = tuple[int, int, int]  # of a file: inode, bytes, nanoseconds of its last change


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

    def __init__(  # noqa: PLR0913 - what it looks at and whom it tells
        self,
        path: Path,
        *,
        pin: str,
        seen: Signature | None,
        offer: Callable[[Model], None],
        refuse: Callable[[str], None],
        control: Control | None = None,
        request: bytes | None = None,
    ) -> None:
        """Watch `path`; `pin` is the only sha256 it may have, if not empty.

        `seen` is the file's signature before the model at work was read from it. `offer` takes a
        checked model and may raise BadInput, `refuse` the reason for none. `request` is the control
        topic's newest; while there is one the file does not count.
        """
        self._path = path
        self._pin = pin
        self._offer = offer
        self._refuse = refuse
        self._control = control
        self._request = request
        self._taken = self._seen = seen
        self._asked = threading.Event()
        self._stop = threading.Event()

    def ask(self) -> None:
        """Load the file again at the next look, changed or not; another thread may call it."""
        self._asked.set()

    def look(self) -> None:
        """Look once: at the control topic, then at the file."""
        if self._control is not None:
            new, value = self._control.newest()
            if new:
                self._request = value
                self._load()
        before, self._seen = self._seen, signature(self._path)
        whole = self._seen is not None and self._seen == before
        if self._asked.is_set():
            self._asked.clear()
            self._taken = self._seen
            self._load()
        elif whole and self._seen != self._taken:
            self._taken = self._seen
            if self._request is None:
                self._load()
            else:
                self._refuse(
                    f"{self._path} has changed, but a request on the control topic counts: "
                    "`stream-scorer model switch --back` ends it"
                )

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
            thread.join(JOIN_S)  # a file may hang the thread, which must not keep us
            if self._control is not None:
                self._control.close()

    def _load(self) -> None:
        """Load and check what is asked for, or the file of the settings, and offer its model."""
        try:
            path, sha256 = find(self._request, path=self._path, pin=self._pin)
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
