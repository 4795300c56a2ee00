"""The tutorial, word by word: each of its blocks is run by a shell, one after the other."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.environ import own_environ

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"(<!-- not in the test: [^>]*-->\n)?```sh\n(.*?)```", re.DOTALL)


def blocks() -> list[str]:
    """Return the blocks that are run."""
    text = (ROOT / "docs" / "tutorial.md").read_text()
    return [block for skipped, block in BLOCK.findall(text) if not skipped]


def test_every_block_does_what_it_says(tmp_path: Path) -> None:
    assert len(blocks()) >= 8
    (tmp_path / "producer").mkdir()
    shutil.copy(ROOT / "producer" / "transactions_data.csv", tmp_path / "producer")
    script = tmp_path / "tutorial.sh"
    script.write_text("set -euo pipefail\n" + "\n".join(blocks()) + "\necho THE END\n")
    own = own_environ()
    with (tmp_path / "output").open("wb") as output:
        process = subprocess.Popen(
            ["/bin/bash", script],
            cwd=tmp_path,
            env={**own, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}"},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            code = process.wait(600)
        finally:
            if process.poll() is None or process.returncode:  # what it left in the background
                os.killpg(process.pid, signal.SIGKILL)
    said = (tmp_path / "output").read_text()
    assert code == 0, said
    assert said.rstrip().endswith("THE END")
    assert '"name":"my_net"' in (tmp_path / "last.json").read_text()


def test_documentation_is_made_without_a_warning(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    shutil.copytree(ROOT / "docs", docs, ignore=shutil.ignore_patterns("_build", "reference"))
    (docs / "reference").mkdir()
    for beside in ("README.md", "deploy"):  # what its pages take from there
        (tmp_path / beside).symlink_to(ROOT / beside)
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", docs, tmp_path / "html"],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SCORER_GUARANTEE" in (tmp_path / "html/reference/settings.html").read_text()
    assert "dead-letters redrive" in (tmp_path / "html/reference/commands.html").read_text()
