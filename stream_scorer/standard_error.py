"""Writes to standard error, and never waits long: a reader that is stuck must not keep us alive.

A pipe that nobody reads blocks a plain write for ever, with the lock of `sys.stderr` held; a full
disk or a closed pipe raises, and what stays in the buffer turns any exit code into 120. So this
writes to the file descriptor, past the buffer, and only while that takes something.
"""

import contextlib
import os
import select
import sys
import time
import traceback
from functools import cache
from typing import NoReturn

# Seconds that a text may take. Where nothing was taken for so long, the next one does not wait.
PATIENCE_S = 1.0
# Bytes that a writable pipe takes at once (POSIX: PIPE_BUF is at least 512, on Linux 4096).
PIECE_BYTES = getattr(select, "PIPE_BUF", 512)
TICK_S = 0.02


class Patience:
    """How long the next text may wait: not at all after one that was not taken."""

    seconds = PATIENCE_S


def write(text: str) -> bool:
    """Write a text; return False where standard error does not take all of it. Never raises."""
    try:
        descriptor = unblocked(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):  # closed, or replaced by an object of Python's
        return write_to_object(text)
    data = memoryview(text.encode(errors="backslashreplace"))
    deadline = time.monotonic() + Patience.seconds
    while data:
        left_s = max(0.0, deadline - time.monotonic())
        try:
            if is_writable(descriptor, left_s):
                data = data[os.write(descriptor, data[:PIECE_BYTES]) :]
                continue
        except BlockingIOError:
            time.sleep(min(TICK_S, left_s))
        except OSError:
            return False
        if left_s <= 0:
            Patience.seconds = 0.0
            return False
    Patience.seconds = PATIENCE_S
    return True


@cache
def unblocked(descriptor: int) -> int:
    """Return a descriptor of the same terminal that never blocks; others are returned as they are.

    A terminal that is stopped (Ctrl-S, or nobody reads it) may block a write though it says that it
    is writable. Its own descriptor is shared with the shell, and stays as it is.
    """
    try:
        if os.isatty(descriptor):
            return os.open(os.ttyname(descriptor), os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:  # not to be opened here
        pass
    return descriptor


def write_to_object(text: str) -> bool:
    """Write to a `sys.stderr` that has no file descriptor, as under a test."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        return False
    return True


def is_writable(descriptor: int, timeout_s: float) -> bool:
    """Tell whether a write would not block within `timeout_s`; a file always takes something."""
    try:
        return bool(select.select([], [descriptor], [], timeout_s)[1])
    except (OSError, ValueError):  # what cannot be waited for (Windows), or is closed
        return True


def write_stacks() -> None:
    """Write where every thread stands, for whoever looks for what hangs."""
    for identifier, frame in sys._current_frames().items():  # noqa: SLF001 - documented
        write(f"Thread {identifier}:\n{''.join(traceback.format_stack(frame))}")


def leave(code: int) -> NoReturn:
    """End the process with this exit code, whatever standard error still holds."""
    if is_flushed():
        sys.exit(code)
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    os._exit(code)


def is_flushed() -> bool:
    """Tell whether `sys.stderr` holds nothing that it could not write."""
    try:
        descriptor = sys.stderr.fileno()
    except (OSError, ValueError, AttributeError):
        return True
    try:
        sys.stderr.flush() if (writable := is_writable(descriptor, 0)) else None
    except (OSError, ValueError):
        return False
    return writable
