"""A signal is heard at once, whatever the main thread waits in."""

import signal
import subprocess
import sys
from collections.abc import Sequence

import pytest

# A call that returns after hours and lets other threads work meanwhile, as those of the client do.
BEGIN = """
import hashlib, os
from stream_scorer.signals import Signals
signals = Signals()
"""
DRAIN = """
def stop():
    print("stopped", flush=True)
    os._exit(7)
signals.drain(stop=stop, reload=lambda: print("reload", flush=True))
"""
WAIT = """
print("ready", flush=True)
hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
"""


def signalled(program: str, numbers: Sequence[int]) -> tuple[int, list[str]]:
    """Run a program, send it signals once it is ready; return its exit code and what it said."""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = [process.stdout.readline().strip()]
    for number in numbers[:-1]:
        process.send_signal(number)
        said.append(process.stdout.readline().strip())
    process.send_signal(numbers[-1])
    rest, _ = process.communicate(timeout=20)
    return process.returncode, [*said, *rest.split()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_is_heard_while_the_main_thread_is_in_a_call(number: int) -> None:
    assert signalled(BEGIN + DRAIN + WAIT, [number]) == (7, ["ready", "stopped"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_process_that_has_nothing_to_drain_ends_at_once(number: int) -> None:
    assert signalled(BEGIN + WAIT, [number]) == (0, ["ready"])


def test_reload_stops_nothing() -> None:
    signals = [signal.SIGHUP, signal.SIGHUP, signal.SIGTERM]
    assert signalled(BEGIN + DRAIN + WAIT, signals) == (7, ["ready", "reload", "reload", "stopped"])
