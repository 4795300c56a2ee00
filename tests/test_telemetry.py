"""Nothing that runs here tells anybody of it: onnxruntime's own reports are off."""

import subprocess
import sys
from pathlib import Path

import pytest

SERVICE = (
    "from stream_scorer.config import SHIPPED_MODEL; from stream_scorer.model import Model; "
    "Model.load(SHIPPED_MODEL)"
)
TOOLS = "import models.bundle"


def left_behind(home: Path, program: str) -> set[str]:
    """Return the names of what a program leaves in an empty home, with nothing else set."""
    environ = {"HOME": str(home), "XDG_CACHE_HOME": str(home)}
    subprocess.run([sys.executable, "-c", program], env=environ, check=True)
    return {each.name for each in home.rglob("*") if each.is_file()}


@pytest.mark.parametrize("program", [SERVICE, TOOLS], ids=["service", "tools"])
def test_onnxruntime_gives_this_machine_no_name(tmp_path: Path, program: str) -> None:
    assert left_behind(tmp_path, program) == set()


def test_left_alone_it_would(tmp_path: Path) -> None:
    assert "deviceid" in left_behind(tmp_path, "import onnxruntime")  # else our line can go
