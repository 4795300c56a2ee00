"""What is released: a wheel and an sdist; the wheel alone, with what it depends on, serves."""

import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from benchmarks.gate import tree_of
from stream_scorer import __version__
from tests.environ import own_environ
from tests.faults.oracle import ALERT, Workload
from tests.integration.stream import Stream, fresh_stream

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
# MB of the environment without byte code: what an image would hold of it.
MOST_MB = 200


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with wheel and sdist, built of a copy of what git has."""
    folder = tmp_path_factory.mktemp("package")
    build = f"from setuptools import build_meta as b; b.build_wheel({str(folder)!r})"
    also = f"; b.build_sdist({str(folder)!r})"
    with tree_of("HEAD") as source:
        subprocess.run([sys.executable, "-c", build + also], cwd=source, check=True)
    return folder


def test_both_hold_the_model_the_pages_and_the_licence_and_no_test(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    (sdist,) = built.glob("*.tar.gz")
    assert wheel.name.startswith(f"stream_scorer-{__version__}-py3")
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
    for wanted in ("models/fraud.onnx", "producer/synthetic.json", "stream_scorer/DECISIONS.md"):
        assert wanted in names
    assert any(name.startswith("stream_scorer/console/static/") for name in names)
    assert any(name.startswith("stream_scorer/console/migrations/versions/") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith(("tests/", "benchmarks/", "deploy/")) for name in names)
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "models/fraud.onnx"} <= inside
    assert not any(name.startswith("tests/") for name in inside)


@pytest.fixture(scope="module")
def installed(built: Path) -> Path:
    """Give the Python of an environment that holds the wheel and nothing that it does not want."""
    home = built / "environment"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    (wheel,) = built.glob("*.whl")
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    install = [*pip, "install", "--quiet", "--no-compile"]
    locked = ["--require-hashes", "--requirement", str(ROOT / "requirements/service.txt")]
    subprocess.run([*install, *locked], check=True)
    subprocess.run([*install, "--no-deps", str(wheel)], check=True)
    subprocess.run([*pip, "check"], check=True)
    return python


def test_it_is_small(installed: Path) -> None:
    files = [each for each in installed.parents[1].rglob("*") if each.is_file()]
    own = [each for each in files if each.suffix != ".pyc" and "/pip/" not in str(each)]
    assert sum(each.stat().st_size for each in own) / 1e6 < MOST_MB


def test_wheel_alone_serves_the_shipped_model(installed: Path, kafka: str, tmp_path: Path) -> None:
    with fresh_stream(kafka, tmp_path) as stream:
        workload = Workload(1, 2000, 1)
        fraud = next(n for n in range(2000) if ALERT in workload.expected(n))
        stream.send([*workload.events(fraud, fraud + 1), ("bad", b"{")])
        run(installed, stream, tmp_path)
        assert len(stream.alerts()) == 1
        assert len(stream.dead_letters()) == 1


def run(python: Path, stream: Stream, folder: Path) -> None:
    """Score what is there with the installed command, then stop it."""
    own = own_environ()
    own.pop("PYTHONPATH", None)
    process = subprocess.Popen(
        [python.with_name("stream-scorer"), "run"],
        cwd=folder,
        env={
            **own,
            **stream.names(),
            "SCORER_KAFKA_BOOTSTRAP_SERVERS": stream.bootstrap,
            "SCORER_HTTP_PORT": "0",
        },
    )
    try:
        stream.wait_committed(2)
    finally:
        process.terminate()
        code = process.wait(30)
    assert code == 0
