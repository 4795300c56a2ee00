"""The rules by which files become rows."""

import io
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pyarrow as pa
import pytest
from pyarrow import parquet

from stream_scorer.errors import BadInput
from stream_scorer.tables import MAX_ROW_BYTES, Malformed, Row, Table, open_table, to_cell

Write = Callable[[Path], None]


def read(csv: bytes) -> list[Row | Malformed]:
    with open_table("-", stdin=io.BytesIO(csv)) as table:
        return list(table)


def cells(rows: list[Row | Malformed]) -> list[dict[str, object]]:
    return [dict(row.cells) for row in rows if isinstance(row, Row)]


def reasons(rows: list[Row | Malformed]) -> list[tuple[int, str]]:
    return [(row.line, row.reason) for row in rows if isinstance(row, Malformed)]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("1.5", 1.5),
        ("-0.1", -0.1),
        ("1e-7", 1e-7),
        (" 2.5 ", 2.5),
        ("406", 406),
        ("0", 0),
        ("4111111111111111", 4111111111111111),
        ("99999999999999999999", 1e20),
        ("0012", "0012"),
        ("1_000", "1_000"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("1e999", "1e999"),
        ("٣", "٣"),
        ("1,5", "1,5"),
        ("-", "-"),
        ("", None),
        ("  ", None),
        (float("nan"), "nan"),
        (True, "True"),
        (None, None),
    ],
)
def test_a_number_is_read_exactly_and_what_is_none_stays_text(text: object, cell: object) -> None:
    assert to_cell(text) == cell
    assert type(to_cell(text)) is type(cell)


def test_a_row_of_plain_decimals_reads_as_each_of_its_cells() -> None:
    texts = ["1.5", "-3", "0", "007", "12", "1.797"]
    header = ",".join(f"c{i}" for i in range(len(texts)))
    (row,) = cells(read(f"{header}\n{','.join(texts)}\n".encode()))
    assert list(row.values()) == [to_cell(text) for text in texts]


def test_a_decimal_too_long_for_a_double_stays_text() -> None:
    huge = "9" * 400 + ".0"
    assert cells(read(f"a,b\n{huge},1.5\n".encode())) == [{"a": huge, "b": 1.5}]


def test_rows_know_the_line_they_start_in() -> None:
    rows = read(b'\xef\xbb\xbfa,b\n1,2\n\n"x\ny",3\n4,5\n')
    assert [(row.number, row.line) for row in rows] == [(1, 2), (2, 4), (3, 6)]
    assert cells(rows)[1] == {"a": "x\ny", "b": 3}


def test_a_transaction_id_is_never_a_number() -> None:
    assert cells(read(b"transaction_id,a\n1e5,1\n")) == [{"transaction_id": "1e5", "a": 1}]


def test_a_malformed_row_says_why_and_the_next_ones_are_read() -> None:
    rows = read(b'a,b\n1\n2,3,4\n\xff,1\n0\x00,1\n"x"y,2\n5,6\n')
    assert reasons(rows) == [
        (2, "1 fields, want 2"),
        (3, "3 fields, want 2"),
        (4, "not UTF-8: invalid start byte at byte 1"),
        (5, "holds a NUL byte"),
        (6, "',' expected after '\"'"),
    ]
    assert cells(rows) == [{"a": 5, "b": 6}]


def test_an_unclosed_quote_ends_at_the_field_limit_and_says_how_far_it_ran() -> None:
    rows = read(b'a,b\n"oops,1\n' + b"12345678,1\n" * 20_000)
    ((line, reason),) = reasons(rows)
    assert line == 2
    assert "missing quote" in reason
    assert len(rows) > 5_000


def test_a_file_that_ends_within_quotes_has_a_malformed_last_row() -> None:
    assert "missing quote" in reasons(read(b'a,b\n"oops,1\n2,3\n'))[0][1]


def test_a_line_that_is_too_long_is_one_malformed_row() -> None:
    rows = read(b"a,b\n" + b"x" * (3 * MAX_ROW_BYTES) + b"\n1,2\n")
    assert reasons(rows) == [(2, "longer than 1,048,576 bytes")]
    assert [row.line for row in rows] == [2, 3]


@pytest.mark.parametrize(
    ("csv", "want"),
    [
        (b"", "is empty"),
        (b"a,a\n1,2\n", "two columns are named 'a'"),
        (b"a,\n1,2\n", "column 2 has no name"),
        (b"1,2\n3,4\n", "want a row of column names"),
        (b"a;b\n1;2\n", "want commas"),
        ("a,b\n".encode("utf-16"), "want comma-separated UTF-8"),
    ],
)
def test_a_header_that_is_none_is_refused(csv: bytes, want: str) -> None:
    with pytest.raises(BadInput, match=want):
        read(csv)


@pytest.mark.parametrize(
    ("name", "want"),
    [("a.txt", "want a file that ends in .csv"), ("none.csv", "No such file"), ("", "want a file")],
)
def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path, name: str, want: str) -> None:
    with pytest.raises(BadInput, match=want) as caught, open_table(str(tmp_path / name)):
        pass
    assert name in str(caught.value)


@pytest.mark.parametrize("name", ["a.xlsx", "a.xls", "a.parquet"])
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"hello")
    with pytest.raises(BadInput, match="no readable"), open_table(str(path)):
        pass


def write_sheet(path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    for row in [["Time", "transaction_id", "note"], [1, 12, "x"], [], [2.5, None, "nan"]]:
        sheet.append(row)
    book.save(path)


def write_parquet(path: Path) -> None:
    columns = {"Time": [1.0, 2.5], "transaction_id": ["12", None], "note": ["x", "nan"]}
    parquet.write_table(pa.table(columns), path)


@pytest.mark.parametrize(
    ("name", "write", "lines"),
    [("a.xlsx", write_sheet, [2, 4]), ("a.parquet", write_parquet, [1, 2])],
)
def test_sheets_and_parquet_read_as_csv_does(
    tmp_path: Path, name: str, write: Write, lines: list[int]
) -> None:
    write(tmp_path / name)
    with open_table(str(tmp_path / name)) as table:
        rows = list(table)
    assert [row.line for row in rows] == lines
    assert cells(rows) == [
        {"Time": 1.0, "transaction_id": "12", "note": "x"},
        {"Time": 2.5, "transaction_id": None, "note": "nan"},
    ]


def test_an_empty_sheet_is_refused(tmp_path: Path) -> None:
    openpyxl.Workbook().save(tmp_path / "a.xlsx")
    with pytest.raises(BadInput, match="sheet is empty"), open_table(str(tmp_path / "a.xlsx")):
        pass


def progress(table: Table) -> list[int]:
    return [table.records.position() for _ in table]


def test_progress_ends_at_the_size(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"a,b\n1,2\n3,4\n")
    write_sheet(tmp_path / "a.xlsx")
    write_parquet(tmp_path / "a.parquet")
    for name, want in {"a.csv": [8, 12], "a.xlsx": [2, 4], "a.parquet": [1, 2]}.items():
        with open_table(str(tmp_path / name)) as table:
            assert progress(table) == want
            assert table.records.size == want[-1]
