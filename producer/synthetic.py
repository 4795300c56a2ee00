"""Synthetic transactions as rows and as events, without the detour over a dictionary a row."""

from collections.abc import Iterator

import msgspec

from producer.figures import COLUMNS
from producer.generate import generate
from stream_scorer.events import ID, LABEL, Event
from stream_scorer.tables import Cell

# The event as a class with a field for each column: building and encoding it takes 2.5 us, a
# dictionary 8 us.
Transaction = msgspec.defstruct(
    "Transaction", [*((name, float) for name in COLUMNS if name != LABEL), (ID, str)], gc=False
)
encode = msgspec.json.Encoder().encode


class SyntheticRow(msgspec.Struct, frozen=True, gc=False):
    """One row of the generator."""

    number: int  # 1 is the first
    values: list[float]  # as in COLUMNS

    @property
    def line(self) -> int:
        """Return where it stands, as a row of a table does."""
        return self.number

    @property
    def cells(self) -> dict[str, Cell]:
        """Return the row by column name."""
        return dict(zip(COLUMNS, self.values, strict=True))


def synthetic_rows(rows: int, *, seed: int) -> Iterator[SyntheticRow]:
    """Yield the generator's rows one at a time."""
    number = 0
    for chunk in generate(rows, seed=seed):
        for values in chunk.tolist():
            number += 1
            yield SyntheticRow(number, values)


def synthetic_event(row: SyntheticRow, *, stem: str, suffix: str) -> Event:
    """Return the event of a row, as `to_event` does for a table's."""
    cells = row.values
    transaction_id = f"{stem}-{row.number:09d}{suffix}"
    label = int(cells[-1])
    return Event(transaction_id, encode(Transaction(*cells[:-1], transaction_id)), label)
