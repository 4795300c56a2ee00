"""A process that must end, ends with its exit code, whatever becomes of its standard error."""

import contextlib
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

LOGS = """
import logging, sys
from stream_scorer import logs
logs.begin("text")
for number in range(100):
    logging.getLogger("x").warning("line %d %s", number, "x" * 1000)
"""
COMMAND = """
import click
from stream_scorer.cli import COMMANDS, main
from stream_scorer.errors import TooManyDeadLetters

@click.command()
@click.argument("how")
def fail(how):
    if how == "stops":
        raise TooManyDeadLetters("the fuse")
    if how == "breaks":
        raise ZeroDivisionError
    return 0

COMMANDS["fail"] = "__main__:fail"
main(["fail", *sys.argv[1:]])
"""
HANGS = """
import hashlib, signal, threading
from stream_scorer.signals import Signals
signals = Signals(deadline_s=0.2)
signals.drain(stop=lambda: None, reload=lambda: None)
"""
COMMITTED = "signals.committed()\n"
FOR_EVER = """
signal.raise_signal(signal.SIGTERM)
hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
"""
WATCHDOG = """
from stream_scorer.health import Health
from stream_scorer.run import watch
watch(Health(turned=-1e9))
"""
PROGRAMS = {
    "stops": (LOGS + COMMAND, ["stops"], 3),
    "breaks": (LOGS + COMMAND, ["breaks"], 1),
    "wrong usage": (LOGS + COMMAND, [], 2),
    "works": (LOGS + COMMAND, ["works"], 0),
    "does not stop": (LOGS + HANGS + FOR_EVER, [], 1),
    "does not stop, all is committed": (LOGS + HANGS + COMMITTED + FOR_EVER, [], 0),
    "hangs": (LOGS + WATCHDOG, [], 1),
}


@contextmanager
def closed_pipe() -> Iterator[int]:
    """Give the end of a pipe whose reader is gone."""
    reads, writes = os.pipe()
    os.close(reads)
    yield writes
    os.close(writes)


@contextmanager
def full_pipe() -> Iterator[tuple[int, int]]:
    """Give both ends of a pipe that is full."""
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writes, b"x" * 4096)
    os.set_blocking(writes, True)
    yield reads, writes
    os.close(writes)
    os.close(reads)


@contextmanager
def stuck_pipe() -> Iterator[int]:
    """Give the end of a pipe that is full, and that nobody reads."""
    with full_pipe() as (_, writes):
        yield writes


@contextmanager
def stopped_terminal() -> Iterator[int]:
    """Give a terminal that nobody reads, as after Ctrl-S."""
    reads, writes = pty.openpty()
    yield writes
    os.close(writes)
    os.close(reads)


@contextmanager
def full_disk() -> Iterator[int]:
    """Give a file on a disk without room."""
    with Path("/dev/full").open("wb") as file:
        yield file.fileno()


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("standard_error", [closed_pipe, stuck_pipe, full_disk, stopped_terminal])
def test_process_ends_with_its_code_whatever_standard_error_does(
    program: str, standard_error: Callable[[], AbstractContextManager[int]]
) -> None:
    text, arguments, code = PROGRAMS[program]
    with standard_error() as stderr:
        ended = subprocess.run(
            [sys.executable, "-c", text, *arguments], stderr=stderr, check=False, timeout=30
        )
    assert ended.returncode == code


@pytest.mark.parametrize("program", PROGRAMS)
def test_process_says_why_it_ends_where_somebody_reads(program: str) -> None:
    text, arguments, code = PROGRAMS[program]
    ended = subprocess.run(
        [sys.executable, "-c", text, *arguments],
        capture_output=True,
        check=False,
        timeout=30,
        text=True,
    )
    assert ended.returncode == code
    said = ended.stderr.replace("x" * 1000, "")
    assert said.count("WARNING line") == 100
    wanted = {
        "stops": "stream-scorer: the fuse\n",
        "breaks": "ZeroDivisionError\n",
        "wrong usage": "Missing argument",
        "does not stop": "stream-scorer: not stopped",
        "hangs": "stream-scorer: hangs",
    }
    assert wanted.get(program, "") in said


def test_lines_that_nobody_took_are_counted_once_somebody_reads_again() -> None:
    again = """
print("waits", flush=True)
sys.stdin.readline()
logging.getLogger("x").warning("again")
"""
    with full_pipe() as (reads, writes):
        process = subprocess.Popen(
            [sys.executable, "-c", LOGS + again],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=writes,
            text=True,
        )
        assert process.stdout is not None
        process.stdout.readline()
        os.read(reads, 1 << 20)
        process.communicate("\n", timeout=20)
        said = os.read(reads, 1 << 20).decode()
    assert process.returncode == 0
    assert "100 lines of the log were left out" in said
    assert said.endswith("WARNING again\n")
