"""Where a replay's rows come from: a file, read once or many times, or the generator."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from producer.figures import COLUMNS
from producer.steps import Rows
from producer.synthetic import SyntheticRow, synthetic_event, synthetic_rows
from stream_scorer.errors import BadInput
from stream_scorer.events import to_event
from stream_scorer.tables import Malformed, Row, Table, open_table

# Bytes. Enough to tell two files of one name and size apart without reading 10 GB.
FINGERPRINT_BYTES = 1_048_576


@dataclass(frozen=True, slots=True)
class Reading:
    """Rows and what is known of them."""

    name: str
    columns: tuple[str, ...]
    about: dict[str, str]  # tells this input from another one
    total: int | None  # what `position` ends at
    position: Callable[[], int]
    rows: Rows[Any]  # of tables or of the generator


@contextmanager
def file_reading(path: str) -> Iterator[Reading]:
    """Open a file; the second pass and those after it open it again."""
    with ExitStack() as stack:
        table = stack.enter_context(open_table(path))
        unread = [table]

        def read() -> Iterator[Row | Malformed]:
            nonlocal table
            if unread:
                unread.clear()
            else:
                stack.close()
                table = stack.enter_context(open_table(path))
            yield from table

        yield Reading(
            name=table.name,
            columns=table.columns,
            about={} if path == "-" else fingerprint(Path(path), table),
            total=table.records.size,
            position=lambda: table.records.position(),  # noqa: PLW0108 - `table` changes
            rows=Rows(read, partial(to_event, stem="stdin" if path == "-" else Path(path).stem)),
        )


@contextmanager
def synthetic_reading(rows: int, *, seed: int) -> Iterator[Reading]:
    """Draw rows; every pass draws the same ones."""
    place = 0

    def read() -> Iterator[SyntheticRow]:
        nonlocal place
        for row in synthetic_rows(rows, seed=seed):
            place = row.number
            yield row

    yield Reading(
        name=f"{rows:,} synthetic rows",
        columns=COLUMNS,
        about={"input": f"{rows} synthetic rows of seed {seed}"},
        total=rows,
        position=lambda: place,
        rows=Rows(read, partial(synthetic_event, stem=f"synthetic-{seed}")),
    )


def fingerprint(path: Path, table: Table) -> dict[str, str]:
    """Return what tells the file from another one, or from itself after a change."""
    try:
        with path.open("rb") as file:
            begin = sha256(file.read(FINGERPRINT_BYTES)).hexdigest()[:16]
        size = path.stat().st_size
    except OSError as exc:
        raise BadInput(f"{table.name}: {exc.strerror}") from exc
    return {"input": path.name, "size": f"{size} bytes", "beginning": f"sha256 {begin}"}
