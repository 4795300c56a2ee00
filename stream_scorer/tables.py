"""Rows of a CSV, XLSX, XLS or Parquet file, one at a time.

CSV and Parquet take constant memory at any size. A sheet is held whole by the library that reads
it; Excel's limit of 1,048,576 rows bounds it.
"""

import codecs
import csv
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from pathlib import Path
from typing import BinaryIO, Literal

from python_calamine import CalamineError, CalamineWorkbook

from stream_scorer.errors import BadInput

Cell = int | float | str | None

# Bytes. Kafka refuses a record of more by default; a file without line ends must not fill memory.
MAX_ROW_BYTES = 1_048_576
# Digits. So many fit 64 bits, the most a JSON encoder takes; a longer integer becomes a float.
MAX_INT_DIGITS = 18
# These are never read as numbers: the id 1e5 is not 100000.0.
TEXT_COLUMNS = frozenset({"transaction_id"})


@dataclass(slots=True)  # not frozen: setting fields the slow way would cost 1 us a row
class Row:
    """One row: its cells by column name."""

    number: int  # 1 is the first row after the header; malformed rows count too
    line: int  # where it starts: line of a CSV, row of a sheet, row of a Parquet file
    cells: dict[str, Cell]


@dataclass(frozen=True, slots=True)
class Malformed:
    """A row that cannot be read, and why."""

    number: int
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Records:
    """What a reader gives: the header, then each row's line with its cells or why it has none."""

    header: Sequence[object]
    rows: Iterator[tuple[int, Sequence[object] | str]]
    size: int | None  # None: not known, as on standard input
    unit: Literal["bytes", "rows"]
    position: Callable[[], int]  # how much of `size` is read


@dataclass(frozen=True, slots=True)
class Table:
    """An open file; iterate it once."""

    name: str
    columns: tuple[str, ...]
    records: Records

    def __iter__(self) -> Iterator[Row | Malformed]:
        columns, width = self.columns, len(self.columns)
        texts = [i for i, name in enumerate(columns) if name in TEXT_COLUMNS]
        for number, (line, fields) in enumerate(self.records.rows, start=1):
            if isinstance(fields, str):
                yield Malformed(number, line, fields)
            elif len(fields) != width:
                yield Malformed(number, line, f"{len(fields)} fields, want {width}")
            else:
                cells = dict(zip(columns, to_cells(fields), strict=True))
                for i in texts:
                    cells[columns[i]] = to_text(fields[i])
                yield Row(number, line, cells)


@contextmanager
def open_table(path: str, *, stdin: BinaryIO | None = None) -> Iterator[Table]:
    """Open a file by its extension, or CSV on standard input by the name `-`.

    Raises BadInput, with the file's name, if there is nothing to read or the header is no header.
    """
    suffix = ".csv" if path == "-" else Path(path).suffix.lower()
    name = "standard input" if path == "-" else path
    if suffix not in READERS:
        raise BadInput(f"{name}: want a file that ends in {', '.join(READERS)}, or - for CSV")
    with ExitStack() as stack:
        try:
            if path == "-":
                file = stdin or sys.stdin.buffer
            else:
                file = stack.enter_context(Path(path).open("rb"))
            records = READERS[suffix](file, name)
        except OSError as exc:
            raise BadInput(f"{name}: {exc.strerror or exc}") from exc
        yield Table(name, check_header(records.header, name), records)


def check_header(header: Sequence[object], name: str) -> tuple[str, ...]:
    """Return the column names; raise BadInput if they are none, or not distinct."""
    columns = tuple(str(each).strip() for each in header)
    for position, column in enumerate(columns, start=1):
        if not column:
            raise BadInput(f"{name}: column {position} has no name")
        if column in columns[: position - 1]:
            raise BadInput(f"{name}: two columns are named {column!r}")
    if all(not isinstance(to_cell(column), str) for column in columns):
        raise BadInput(f"{name}: the first row has numbers; want a row of column names")
    if len(columns) == 1 and any(mark in columns[0] for mark in ";\t|"):
        raise BadInput(f"{name}: want commas between the columns, found {columns[0][:40]!r}")
    return columns


def to_cells(fields: Sequence[object]) -> Sequence[Cell]:
    """Return `to_cell` of each; a row of plain decimals, the usual one, in half the time."""
    try:
        texts: Sequence[str] = fields  # type: ignore[assignment]
        if not "".join(texts).strip("0123456789.-"):
            cells = [float(text) if "." in text else to_cell(text) for text in texts]
            if isfinite(sum(cells)):  # type: ignore[arg-type]
                return cells
    except (TypeError, ValueError):  # not all are text, or not all of the text is numbers
        pass
    return [to_cell(field) for field in fields]


def to_cell(field: object) -> Cell:
    """Return a number exactly as written, other text as it is, None for nothing.

    `1_000`, `nan` and `inf` stay text, so that the scorer refuses them as it does in the stream.
    """
    if isinstance(field, str):
        number = to_number(field)
        return number if number is not None else field if field.strip() else None
    if type(field) is float:
        return field if isfinite(field) else str(field)
    if field is None or type(field) is int:
        return field
    if isinstance(field, Decimal):
        return to_cell(float(field))
    return str(field)  # a date, true or false


def to_number(text: str) -> float | None:
    """Return the number that a text is, None if it is none."""
    if text.strip("0123456789+-.eE "):  # what is left is not of a number
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    if text.isdigit():
        if text[0] == "0" and text != "0":  # 0012 is somebody's id, and not 12
            return None
        return int(text) if len(text) <= MAX_INT_DIGITS else value
    return value if isfinite(value) else None


def to_text(field: object) -> str | None:
    """Return a cell as text: a sheet's 12.0 is 12."""
    if isinstance(field, float) and field.is_integer():
        field = int(field)
    return None if field is None else str(field).strip() or None


class BadLineError(Exception):
    """A line that the CSV parser must not see."""


class Lines:
    """Lines of text with their number; memory is bounded by MAX_ROW_BYTES a row."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._room = MAX_ROW_BYTES
        self.number = 0  # of the line that was read last
        self.bytes_read = 0

    def start_row(self) -> int:
        """Return the number of the next line; a row may begin there."""
        self._room = MAX_ROW_BYTES
        return self.number + 1

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        raw = self._file.readline(self._room)
        if not raw and self._room:
            raise StopIteration
        self.number += 1
        self.bytes_read += len(raw)
        self._room -= len(raw)
        if not self._room:
            while raw and not raw.endswith(b"\n"):  # leave the rest of the line unread by csv
                raw = self._file.readline(MAX_ROW_BYTES)
                self.bytes_read += len(raw)
            raise BadLineError(f"longer than {MAX_ROW_BYTES:,} bytes")
        if self.number == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        if b"\0" in raw:
            raise BadLineError("holds a NUL byte")
        try:
            return raw.decode()
        except UnicodeDecodeError as exc:
            raise BadLineError(f"not UTF-8: {exc.reason} at byte {exc.start + 1}") from exc


def read_csv(file: BinaryIO, name: str) -> Records:
    """Read comma-separated UTF-8, with or without a byte order mark."""
    lines = Lines(file)
    rows = csv_rows(lines)
    _, header = next(rows, (0, ()))
    if isinstance(header, str):
        raise BadInput(f"{name}: the header cannot be read ({header}); want comma-separated UTF-8")
    if not header:
        raise BadInput(f"{name} is empty; want a header and rows")
    size = Path(name).stat().st_size if file.seekable() and Path(name).is_file() else None
    return Records(header, rows, size, "bytes", lambda: lines.bytes_read)


def csv_rows(lines: Lines) -> Iterator[tuple[int, Sequence[object] | str]]:
    """Yield each row's first line and its fields, or why it has none."""
    reader = csv.reader(lines, strict=True)
    while True:
        line = lines.start_row()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except (csv.Error, BadLineError) as exc:
            last = lines.number
            yield line, f"{exc}{f' (it runs to line {last}: a missing quote?)' * (last > line)}"
        else:
            if fields:  # a blank line is no row
                yield line, fields


def read_sheet(file: BinaryIO, name: str) -> Records:
    """Read the first sheet of an XLSX or XLS file."""
    try:
        sheet = CalamineWorkbook.from_filelike(file).get_sheet_by_index(0)
        cells = sheet.iter_rows()
    except CalamineError as exc:
        raise BadInput(f"{name} is no readable {Path(name).suffix} file: {exc}") from exc
    place = [0]  # row of the sheet that was read last

    def rows() -> Iterator[tuple[int, Sequence[object] | str]]:
        for place[0], fields in enumerate(cells, start=1):
            if any(field != "" for field in fields):
                yield place[0], fields

    each = rows()
    _, header = next(each, (0, ()))
    if not header:
        raise BadInput(f"{name}: its first sheet is empty; want a header and rows")
    last = sheet.end[0] + 1 if sheet.end else None  # `end` counts rows from 0
    return Records(header, each, last, "rows", lambda: place[0])


def read_parquet(file: BinaryIO, name: str) -> Records:
    """Read a Parquet file, a thousand rows at a time."""
    try:
        import pyarrow as pa
        from pyarrow.parquet import ParquetFile
    except ImportError as exc:
        raise BadInput(
            "reading Parquet needs the extra: pip install 'stream-scorer[parquet]'"
        ) from exc
    try:
        parquet = ParquetFile(file, buffer_size=65536)
    except pa.ArrowException as exc:
        raise BadInput(f"{name} is no readable Parquet file: {exc}") from exc
    place = [0]

    def rows() -> Iterator[tuple[int, Sequence[object] | str]]:
        try:
            for batch in parquet.iter_batches(batch_size=1024, use_threads=False):
                for fields in zip(*(each.to_pylist() for each in batch.columns), strict=True):
                    place[0] += 1
                    yield place[0], fields
        except (pa.ArrowException, OSError) as exc:
            raise BadInput(f"{name} is damaged after row {place[0]}: {exc}") from exc

    names = parquet.schema_arrow.names
    return Records(names, rows(), parquet.metadata.num_rows, "rows", lambda: place[0])


READERS: dict[str, Callable[[BinaryIO, str], Records]] = {
    ".csv": read_csv,
    ".xlsx": read_sheet,
    ".xls": read_sheet,
    ".parquet": read_parquet,
}
