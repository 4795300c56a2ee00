"""The folder in which one run of the console keeps files while they are scored."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stream_scorer.errors import BadInput

OWN = "run-"  # folders of one run begin so


@contextmanager
def own_folder(folder: Path) -> Iterator[Path]:
    """Give a folder within `folder` that is this run's alone, and that nobody else may read.

    What ended runs have left is deleted. Raises BadInput if it cannot be had.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        for left in folder.glob(f"{OWN}*"):
            descriptor = locked(left)
            if descriptor is not None:
                shutil.rmtree(left)
                os.close(descriptor)
        descriptor = None
        while descriptor is None:  # another console may just take it for one that was left
            own = Path(tempfile.mkdtemp(prefix=OWN, dir=folder))
            descriptor = locked(own)
    except OSError as exc:
        raise BadInput(f"SCORER_CONSOLE_UPLOADS is {str(folder)!r}: {exc.strerror}") from exc
    try:
        yield own
    finally:
        shutil.rmtree(own)
        os.close(descriptor)


def locked(folder: Path) -> int | None:
    """Lock a folder until its descriptor is closed, at the latest by the end of the process.

    None if another process has it, or it is gone.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    if folder.is_dir():
        return descriptor
    os.close(descriptor)
    return None
