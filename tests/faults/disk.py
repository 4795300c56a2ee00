"""A file system of its own for a broker, that can be full and have room again."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# MB. It lies in memory, and takes only what is written; the second is what is left when it is full.
ROOMY_MB, LEFT_MB = 8192, 4


class CannotMountError(Exception):
    """A file system cannot be mounted on this machine."""


@dataclass(frozen=True)
class Disk:
    """A mounted file system."""

    folder: Path

    def narrow(self) -> None:
        """Leave hardly any room."""
        self._resize(shutil.disk_usage(self.folder).used // 2**20 + LEFT_MB)

    def widen(self) -> None:
        """Give room again, as one who enlarges a volume."""
        self._resize(ROOMY_MB)

    def _resize(self, size_mb: int) -> None:
        run("mount", "-o", f"remount,size={size_mb}m", str(self.folder))


@contextmanager
def mounted() -> Iterator[Disk]:
    """Give a disk for the length of the `with` block; raise CannotMountError where we may not."""
    folder = Path(tempfile.mkdtemp(prefix="faults-disk-"))
    try:
        run("mount", "-t", "tmpfs", "-o", f"size={ROOMY_MB}m", "faults", str(folder))
        try:
            yield Disk(folder)
        finally:
            run("umount", str(folder))
    finally:
        folder.rmdir()


def why_not() -> str:
    """Say why no disk can be had here; nothing if one can."""
    try:
        with mounted():
            return ""
    except CannotMountError as exc:
        return f"no file system can be mounted here: {exc}"


def run(*command: str) -> None:
    """Run a command of the system; raise CannotMountError if it cannot be done."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise CannotMountError(f"{command[0]} is not there") from None
    if done.returncode:
        said = done.stderr.splitlines() or [f"{command[0]} ended with {done.returncode}"]
        raise CannotMountError(said[0])
