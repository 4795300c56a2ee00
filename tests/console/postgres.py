"""A PostgreSQL of our own, from Debian's package: a folder, a socket, no password."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

BINARIES = Path("/usr/lib/postgresql")
USER = "postgres"


def as_user(command: Sequence[str | Path]) -> list[str]:
    """Return the command as PostgreSQL's user runs it: the server refuses root."""
    words = [str(each) for each in command]
    return ["runuser", "-u", USER, "--", *words] if os.getuid() == 0 else words


@contextmanager
def postgres() -> Iterator[str]:
    """Start a server; give the URL of its database; remove it all at the end."""
    versions = sorted(BINARIES.glob("*/bin"))
    if not versions:
        raise FileNotFoundError(f"{BINARIES}: want Debian's package postgresql")
    tools = versions[-1]
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # a short path: a socket's has 107 bytes at most
    try:
        if os.getuid() == 0:
            shutil.chown(folder, USER)
        place = folder / "data"
        quiet = subprocess.DEVNULL
        begin: list[str | Path] = [
            tools / "initdb",
            "-D",
            place,
            "-U",
            USER,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "-N",
        ]
        subprocess.run(as_user(begin), check=True, stdout=quiet, cwd=folder)
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
        control: list[str | Path] = [tools / "pg_ctl", "-D", place, "-w", "-l", folder / "log"]
        subprocess.run(
            as_user([*control, "-o", options, "start"]), check=True, stdout=quiet, cwd=folder
        )
        try:
            yield f"postgresql://{USER}@/postgres?host={folder}"
        finally:
            stop = as_user([*control, "-m", "immediate", "stop"])
            subprocess.run(stop, check=True, stdout=quiet, cwd=folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
