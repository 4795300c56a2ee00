"""`python -m tests.faults.contained`: row R55, a scorer with a container's rights and no more.

By the kernel's own means, as no container engine is wanted: user 10001 without capabilities, a root
that is read-only, 256 MB, one CPU. It must start, score what there is, and stop with 0.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from stream_scorer.local_kafka import local_kafka
from tests.faults.oracle import ALERT, LETTER, Workload
from tests.faults.trial import BrokenError
from tests.integration.stream import Scorer, Stream, fresh_stream

USER = "10001"
MEMORY_MB, CPUS = 256, 1.0
GROUPS = Path("/sys/fs/cgroup")
PERIOD_US = 100_000
RECORDS, PARTITIONS = 20_000, 4


def why_not() -> str:
    """Say why this machine cannot show it; nothing if it can."""
    if os.getuid():
        return "only root may take rights away like this"
    for tool in ("unshare", "setpriv"):
        if shutil.which(tool) is None:
            return f"there is no {tool}"
    for name in ("memory", "cpu"):
        if not os.access(GROUPS / name, os.W_OK):
            return f"there is no {GROUPS / name} (control groups of the first version)"
    return ""


@contextmanager
def limits() -> Iterator[list[Path]]:
    """Make control groups for memory and CPU; give the files that a process enters them by."""
    made = [GROUPS / name / f"stream-scorer-{os.getpid()}" for name in ("memory", "cpu")]
    for folder in made:
        folder.mkdir()
    memory, cpu = made
    (memory / "memory.limit_in_bytes").write_text(str(MEMORY_MB * 2**20))
    (cpu / "cpu.cfs_period_us").write_text(str(PERIOD_US))
    (cpu / "cpu.cfs_quota_us").write_text(str(int(CPUS * PERIOD_US)))
    try:
        yield [folder / "cgroup.procs" for folder in made]
    finally:
        for folder in made:
            folder.rmdir()


def contained(command: list[str], groups: list[Path]) -> list[str]:
    """Return a command in its confinement."""
    enter = "; ".join(f"echo $$ > {group}" for group in groups)
    confine = "mount -o remount,bind,ro / && mount -t tmpfs -o mode=1777 tmpfs /tmp"
    drop = f"setpriv --reuid {USER} --regid {USER} --clear-groups --bounding-set=-all"
    inside = f'{confine} && exec {drop} --inh-caps=-all --no-new-privs "$@"'
    outside = f"{enter}; exec unshare --mount sh -c '{inside}' sh \"$@\""
    return ["sh", "-c", outside, "sh", *command]


def rights(pid: int) -> dict[str, str]:
    """Return what the kernel says that a process may do."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    said = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    root = next(
        line.split()
        for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
        if line.split()[4] == "/"
    )
    return {
        "user": said["Uid"].split()[1],
        "capabilities": said["CapEff"].strip("0") or "none",
        "no new privileges": said["NoNewPrivs"],
        "root": root[5].split(",")[0],
    }


def show(stream: Stream, groups: list[Path]) -> str:
    """Run a scorer in its confinement; return what it did, raise BrokenError if that is wrong."""
    workload = Workload(1, RECORDS, PARTITIONS)
    stream.send(workload.events(0, RECORDS))
    log = stream.folder / "contained.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            contained([sys.executable, "-B", "-m", "stream_scorer", "run"], groups),
            stderr=output,
            env={
                "PATH": os.environ["PATH"],
                "SCORER_KAFKA_BOOTSTRAP_SERVERS": stream.bootstrap,
                **stream.names(),
                "SCORER_HTTP_PORT": "0",
                "SCORER_GUARANTEE": "exactly-once",
                "SCORER_REPLICA": "contained",
            },
        )
    scorer = Scorer(process, log)
    stream.scorers.append(scorer)
    scorer.wait_assigned()
    stream.wait_committed(RECORDS)
    may = rights(process.pid)
    peak = int((groups[0].parent / "memory.max_usage_in_bytes").read_text()) / 2**20
    throttled = (groups[1].parent / "cpu.stat").read_text().split()[3]
    code = scorer.stop()
    wanted = {"user": USER, "capabilities": "none", "no new privileges": "1", "root": "ro"}
    if may != wanted:
        raise BrokenError(f"it may {may}, want {wanted}")
    if code:
        raise BrokenError(f"it ended with {code}: {scorer.text()}")
    for what, topic, kind in (
        ("alerts", stream.alerts(), ALERT),
        ("dead letters", stream.dead_letters(), LETTER),
    ):
        count = sum(kind in workload.expected(n) for n in range(RECORDS))
        if len(topic) != count:
            raise BrokenError(f"{len(topic)} {what}, want {count}")
    return (
        f"user {USER}, no capabilities, no new privileges, root read-only, {MEMORY_MB} MB, "
        f"{CPUS:g} CPU: {RECORDS} records, exit code 0, peak of {peak:.0f} MB with the page cache, "
        f"{throttled} times throttled"
    )


@click.command()
def main() -> None:
    """Show it; end with 1 if it does not hold or cannot be shown here.

    \b
    Example: python -m tests.faults.contained
    """
    reason = why_not()
    if reason:
        click.echo(f"CHECK R55: not run: {reason}")
        sys.exit(1)
    with (
        tempfile.TemporaryDirectory() as folder,
        local_kafka() as kafka,
        limits() as groups,
        fresh_stream(kafka.bootstrap, Path(folder), partitions=PARTITIONS) as stream,
    ):
        try:
            click.echo(show(stream, groups))
        except BrokenError as exc:
            click.echo(f"CHECK R55: BROKEN {exc}")
            sys.exit(1)


if __name__ == "__main__":
    main()
