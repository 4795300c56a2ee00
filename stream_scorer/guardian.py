"""Runs a command that must not outlive its parent: `python -m stream_scorer.guardian -- java ...`.

The parent holds the other end of this process's standard input. When the parent ends, however it
ends (kill -9 too), the pipe closes and the command is stopped. With `--remove DIR` it is killed and
the folder deleted: nobody will read it. A pipe works on every system; Linux's parent-death signal
does not.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

# Seconds. A broker that was told to stop needs about 1; after this it is killed.
STOP_TIMEOUT_S = 15.0


def guard(command: Sequence[str], *, remove: Path | None) -> int:
    """Run the command until it ends or standard input closes; return its exit status."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - our own caller's
    orphaned = threading.Event()

    def stop_when_parent_ends() -> None:
        os.read(0, 1)  # returns when the pipe closes; nothing is ever written to it
        orphaned.set()
        if remove is None:
            child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(STOP_TIMEOUT_S)
        child.kill()

    # The command ends by the pipe alone: a Ctrl-C or a kill of the group must not reach it first.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=stop_when_parent_ends, daemon=True).start()
    status = child.wait()
    if remove is not None and orphaned.is_set():
        shutil.rmtree(remove, ignore_errors=True)
        with contextlib.suppress(OSError):  # another broker's folder may be beside it still
            remove.parent.rmdir()
    return status


def main(arguments: Sequence[str]) -> int:
    """Read `[--remove DIR] -- COMMAND...` and guard the command."""
    split = arguments.index("--")
    options = arguments[:split]
    return guard(arguments[split + 1 :], remove=Path(options[1]) if options else None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
