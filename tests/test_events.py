"""The rules by which a row becomes a transaction event."""

import msgspec
import pytest

from stream_scorer.events import Event, to_event
from stream_scorer.tables import Cell, Malformed, Row


def row(**cells: Cell) -> Row:
    return Row(number=7, line=8, cells=cells)


def event(**cells: Cell) -> Event:
    made = to_event(row(**cells), stem="file")
    assert isinstance(made, Event)
    return made


def test_every_column_but_the_label_is_in_the_event_by_name() -> None:
    made = event(Time=1, V1=-1.5, shop="x", gone=None, Class=1)
    assert msgspec.json.decode(made.value) == {
        "Time": 1,
        "V1": -1.5,
        "shop": "x",
        "gone": None,
        "transaction_id": "file-000000007",
    }


def test_a_number_keeps_its_bits() -> None:
    made = event(V1=0.1 + 0.2)
    assert msgspec.json.decode(made.value)["V1"] == 0.1 + 0.2


def test_an_id_of_the_file_is_kept() -> None:
    assert event(transaction_id="0012").transaction_id == "0012"


def test_a_suffix_tells_the_passes_apart() -> None:
    made = to_event(row(transaction_id="a"), stem="file", suffix="-pass2")
    assert isinstance(made, Event)
    assert made.transaction_id == "a-pass2"
    assert msgspec.json.decode(made.value)["transaction_id"] == "a-pass2"


def test_an_empty_id_is_the_rows_place() -> None:
    made = to_event(row(transaction_id=None), stem="file")
    assert isinstance(made, Event)
    assert made.transaction_id == "file-000000007"


def test_an_empty_label_is_none() -> None:
    made = to_event(row(Class=None), stem="file")
    assert isinstance(made, Event)
    assert made.label is None


@pytest.mark.parametrize(
    ("cell", "label"),
    [(0, 0), (1, 1), (0.0, 0), (1.0, 1), ("0", 0), ('"0"', 0), ("'1'", 1), (' "1" ', 1)],
)
def test_a_label_is_read_as_the_origin_wrote_it(cell: Cell, label: int) -> None:
    assert event(Class=cell).label == label


@pytest.mark.parametrize("cell", [2, 0.5, "fraud", -1])
def test_another_label_is_malformed(cell: Cell) -> None:
    made = to_event(row(Class=cell), stem="file")
    assert made == Malformed(7, 8, f"Class is {cell!r}, want 0, 1 or nothing")


def test_a_table_without_labels_has_none() -> None:
    assert event(Time=1).label is None
