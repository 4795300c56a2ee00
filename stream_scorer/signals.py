"""Hears signals in a thread of its own: the main one may wait in a call of the client."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable

from stream_scorer.logs import last_line

# Seconds from a signal to the end, whatever hangs or is away; a last commit takes a part of one.
# Kubernetes grants 30 by default.
STOP_DEADLINE_S = 14.0
HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Signals:
    """What a signal does: a stop ends the process at once, until there is something to drain.

    Python runs a handler in the main thread only, and not before a call of the client returns: a
    commit to a broker that is away takes as long as its request may.
    """

    def __init__(self, *, deadline_s: float = STOP_DEADLINE_S) -> None:
        """Hear from now on; to be made in the main thread. After a stop there are `deadline_s`."""
        self._deadline_s = deadline_s
        self._stop: Callable[[], None] = leave
        self._reload: Callable[[], None] = lambda: None
        self._committed = False
        self._heard, self._tell = socket.socketpair()  # the number of each signal, as a byte
        self._tell.settimeout(0)
        signal.set_wakeup_fd(self._tell.fileno())
        for number in HEARD:
            signal.signal(number, lambda _, __: None)
        threading.Thread(target=self._hear, name="signals", daemon=True).start()

    def drain(self, *, stop: Callable[[], None], reload: Callable[[], None]) -> None:
        """Call `stop` at SIGTERM and SIGINT from now on, and `reload` at SIGHUP."""
        self._stop, self._reload = stop, reload

    def committed(self) -> None:
        """Exit with 0 at the deadline from now on: what is left to do changes nothing."""
        self._committed = True

    def _hear(self) -> None:
        while self._heard.recv(1)[0] == signal.SIGHUP:
            self._reload()
        self._stop()
        time.sleep(self._deadline_s)  # later signals change nothing
        if self._committed:
            leave()
        end(
            f"not stopped {self._deadline_s:.0f} s after the signal: what was scored since the "
            "last commit will be scored again"
        )


def leave() -> None:
    """End a process that has done nothing yet, or all that it had to do."""
    os._exit(0)


def end(why: str) -> None:
    """End a process that cannot end by itself; what is not committed is read again."""
    last_line(why, 1)
    os._exit(1)
