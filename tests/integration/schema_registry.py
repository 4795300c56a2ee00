"""A real schema registry for tests: Apicurio, fetched once by its Maven coordinates."""

import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jgo.maven import MavenContext, PythonResolver

from stream_scorer.kafka_jars import find_java
from stream_scorer.local_kafka import free_ports

GROUP, NAME, VERSION = "io.apicurio", "apicurio-registry-app", "2.6.13.Final"
START_S = 90.0


@dataclass
class SchemaRegistry:
    """A registry that can be stopped and started again at the same address, then empty."""

    port: int
    folder: Path
    guardian: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Where it speaks Confluent's interface."""
        return f"http://127.0.0.1:{self.port}/apis/ccompat/v7"

    def start(self) -> None:
        """Return once it answers."""
        jar = next(unpacked().rglob("*-runner.jar"))
        address = ("-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={self.port}")
        command = [find_java(), *address, "-jar", str(jar)]
        with (self.folder / "registry.log").open("ab") as log:
            self.guardian = subprocess.Popen(
                [sys.executable, "-m", "stream_scorer.guardian", "--", *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self.guardian.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self.folder / "registry.log").read_text()[-3000:])
            time.sleep(0.2)

    def stop(self) -> None:
        """Return once it is gone."""
        if self.guardian is not None and self.guardian.stdin is not None:
            self.guardian.stdin.close()
            self.guardian.wait(30)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/subjects", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def unpacked() -> Path:
    """Return the folder of the registry's jars, unpacked beside the archive."""
    component = MavenContext(resolver=PythonResolver()).project(GROUP, NAME).at_version(VERSION)
    archive = component.artifact(classifier="all", packaging="tar.gz").resolve()
    folder = archive.parent / "unpacked"
    if not folder.is_dir():
        part = Path(tempfile.mkdtemp(dir=archive.parent))
        with tarfile.open(archive) as tar:
            tar.extractall(part, filter="data")
        try:
            part.rename(folder)
        except OSError:  # another process was faster
            shutil.rmtree(part)
    return folder


@contextmanager
def schema_registry(folder: Path) -> Iterator[SchemaRegistry]:
    """Give a registry that ends with the block."""
    (port,) = free_ports(1)
    registry = SchemaRegistry(port, folder)
    registry.start()
    try:
        yield registry
    finally:
        registry.stop()
