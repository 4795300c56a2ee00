"""What is guarded does not outlive its parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
GUARDIAN = [sys.executable, "-m", "stream_scorer.guardian"]
# A parent that guards a sleeper, says its process ids and waits to be killed.
PARENT = """
import subprocess, sys, time
g = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
g.stdout.readline()
print(g.pid, flush=True)
time.sleep(600)
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return (
        Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" if Path("/proc").exists() else True
    )


def wait_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while alive(pid):
        assert time.monotonic() < deadline, "it outlived its parent"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_command_ends_when_its_parent_is_killed(tmp_path: Path, number: int) -> None:
    doomed = tmp_path / "data" / "broker"
    doomed.mkdir(parents=True)
    command = [*GUARDIAN, "--remove", str(doomed), "--", *SLEEPER]
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, *command], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        guardian = int(parent.stdout.readline())
        parent.send_signal(number)
    wait_gone(guardian)
    assert not doomed.parent.exists()


def test_exit_status_is_the_commands() -> None:
    command = [*GUARDIAN, "--", sys.executable, "-c", "raise SystemExit(7)"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as guardian:
        assert guardian.wait(20) == 7


def test_ctrl_c_does_not_reach_the_command() -> None:
    with subprocess.Popen(
        [*GUARDIAN, "--", *SLEEPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as guardian:
        assert guardian.stdout is not None
        guardian.stdout.readline()
        guardian.send_signal(signal.SIGINT)
        time.sleep(0.2)
        assert guardian.poll() is None
        guardian.communicate()
    assert guardian.returncode != 0
