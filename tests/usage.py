"""What a process uses, as the kernel counts it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Usage:
    """One look."""

    rss_mb: float
    threads: int
    fds: int
    cpu_s: float  # since the process began, user and system


def usage(pid: int) -> Usage:
    """Look at a process; raises FileNotFoundError if it has ended."""
    folder = Path(f"/proc/{pid}")
    lines = (folder / "status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    after_name = (folder / "stat").read_text().rpartition(")")[2].split()  # from the third on
    ticks = int(after_name[11]) + int(after_name[12])
    return Usage(
        rss_mb=int(status["VmRSS"].split()[0]) / 1024,
        threads=int(status["Threads"]),
        fds=len(list((folder / "fd").iterdir())),
        cpu_s=ticks / os.sysconf("SC_CLK_TCK"),
    )


def processes(pid: int) -> Iterator[int]:
    """Yield a process and all that it has started."""
    yield pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from processes(int(child))
