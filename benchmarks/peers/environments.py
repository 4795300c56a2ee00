"""Makes what a peer runs in: a virtual environment, or jars with the classes compiled beside."""

import hashlib
import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.table import Peer
from stream_scorer.kafka_jars import find_java

JOBS = Path(__file__).parent / "jobs"
COMPILER = "org.eclipse.jdt:ecj:3.37.0"  # compiles with a Java that has no compiler of its own


def command_of(peer: Peer, folder: Path) -> list[str]:
    """Return the command that runs a peer; its environment is made below `folder`, once."""
    if not peer.script:
        return [sys.executable, "-m", "stream_scorer", "run"]
    name = hashlib.sha256(" ".join(peer.needs).encode()).hexdigest()[:12]
    home = (folder / name).resolve()
    return java_command(peer, home) if peer.java else python_command(peer, home)


def python_command(peer: Peer, home: Path) -> list[str]:
    """Return the command of a Python job."""
    python = home / "bin" / "python"
    done = home / "installed"
    if not done.exists():
        venv.create(home, with_pip=True, clear=True)
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([python, *install, *peer.needs], check=True)
        done.touch()
    return [str(python), str(JOBS / peer.script)]


def java_command(peer: Peer, home: Path) -> list[str]:
    """Return the command of a Java job; all of them are compiled where its jars are."""
    home.mkdir(parents=True, exist_ok=True)
    java, jars = find_java(), os.pathsep.join(str(jar) for jar in jars_of(peer.needs))
    sources = ["Alike.java", peer.script]
    subprocess.run(
        [
            *(java, "-cp", os.pathsep.join(str(jar) for jar in jars_of([COMPILER]))),
            *("org.eclipse.jdt.internal.compiler.batch.Main", "-17", "-nowarn"),
            *("-cp", jars, "-d", str(home), *(str(JOBS / each) for each in sources)),
        ],
        check=True,
    )
    # It is native code that the model runs in; the log is what goes wrong, and no more.
    options = ["-Xmx1g", "--enable-native-access=ALL-UNNAMED"]
    return [java, *options, "-cp", f"{home}{os.pathsep}{jars}", peer.script.removesuffix(".java")]


def jars_of(coordinates: Sequence[str]) -> list[Path]:
    """Return the jars of Maven coordinates and of what they need, fetched once."""
    import jgo
    from jgo.maven import PythonResolver

    environment = jgo.build("+".join(coordinates), resolver=PythonResolver())
    return [Path(jar) for jar in environment.all_jars]
