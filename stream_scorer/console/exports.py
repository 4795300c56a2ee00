"""An upload's rows as a file to take away; no cell is ever a formula."""

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import xlsxwriter

from stream_scorer.console.uploads import ScoredRow

HEADER = ("line", "transaction_id", "probability", "decision", "reasons")
# A spreadsheet takes a text that begins so for a formula (OWASP, CSV injection).
RISKY = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# A sheet has so many rows, the header among them.
SHEET_ROWS = 1_048_576


def harmless(text: str) -> str:
    """Return a text that no spreadsheet runs."""
    return f"'{text}" if text.startswith(RISKY) else text


def as_csv(rows: Iterable[ScoredRow]) -> Iterator[bytes]:
    """Yield the rows as CSV, a piece at a time."""
    piece = io.StringIO()
    write = csv.writer(piece, lineterminator="\r\n")
    write.writerow(HEADER)
    for number, row in enumerate(rows, start=1):
        write.writerow(cells(row))
        if number % 1000 == 0:
            yield piece.getvalue().encode()
            piece.seek(0)
            piece.truncate()
    yield piece.getvalue().encode()


def write_xlsx(rows: Iterable[ScoredRow], path: Path) -> None:
    """Write the rows as a workbook, with as many sheets as they take."""
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(path, options) as book:
        for number, row in enumerate(rows):
            place = number % (SHEET_ROWS - 1)
            if place == 0:
                sheet = book.add_worksheet()
                sheet.write_row(0, 0, HEADER)
            sheet.write_row(place + 1, 0, cells(row))


def cells(row: ScoredRow) -> tuple[int, str, float | str, str, str]:
    """Return a row's cells; texts come from outside."""
    probability = "" if row.probability is None else row.probability
    return (
        row.line,
        harmless(row.transaction_id),
        probability,
        row.decision,
        harmless(row.reasons),
    )
