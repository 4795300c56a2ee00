"""Events in Avro: a schema from the first row's columns, registered, and each row by it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from producer.steps import Rows
from stream_scorer.errors import BadInput
from stream_scorer.events import ID, Event
from stream_scorer.registry import MISSING_EXTRA, Registry
from stream_scorer.tables import Malformed

# The largest below which a double has every whole number.
LARGEST_WHOLE = 2**53


class AvroEncoder:
    """Writes events by one schema in the registry's wire format."""

    def __init__(self, registry: Registry, topic: str) -> None:
        """Register the schema under `<topic>-value` with the first event.

        Raises BadInput where fastavro is not installed.
        """
        try:
            from fastavro import parse_schema

            from stream_scorer.codecs.avro import write_record
        except ImportError as exc:
            raise BadInput(MISSING_EXTRA) from exc
        self._parse: Callable[[Any], Any] = parse_schema
        self._write: Callable[[int, Any, Mapping[str, Any]], bytes] = write_record
        self._registry = registry
        self._subject = f"{topic}-value"
        self._schema: Any = None
        self._schema_id = 0
        self._numbers: tuple[str, ...] = ()

    def __call__(self, event: Event) -> bytes | str:
        """Return an event's value in Avro, or why it cannot be.

        Raises RegistryTrouble if the registry does not take the schema.
        """
        cells: dict[str, Any] = msgspec.json.decode(event.value)
        if self._schema is None:
            self._register(cells)
        for name in self._numbers:
            if not isinstance(cells.get(name), float | int):
                return f"{name} is {cells.get(name)!r}: want a number, as in the first row"
            if is_long(cells[name]):
                return f"{name} is {cells[name]}: a double has not so many digits"
        return self._write(self._schema_id, self._schema, {**cells, **self._texts(cells)})

    def _texts(self, cells: dict[str, Any]) -> dict[str, str | None]:
        """Return the cells that are no numbers in the schema, as texts."""
        return {
            name: None if value is None else str(value)
            for name, value in cells.items()
            if name not in self._numbers
        }

    def _register(self, cells: dict[str, Any]) -> None:
        """Make the schema: numbers first, so that their places are fixed, then the id."""
        empty = [name for name, cell in cells.items() if cell is None]
        if empty:
            raise BadInput(
                f"{empty[0]} is empty in the first row, of which the Avro schema is made: want a "
                "first row that has all, or SCORER_FORMAT=json"
            )
        self._numbers = tuple(
            name
            for name, cell in cells.items()
            if isinstance(cell, float | int) and not is_long(cell) and name != ID
        )
        others = [name for name in cells if name not in self._numbers and name != ID]
        record = {
            "type": "record",
            "name": "Transaction",
            "namespace": "stream_scorer",
            "fields": [
                *({"name": name, "type": "double"} for name in self._numbers),
                {"name": ID, "type": "string"},
                *({"name": name, "type": ["null", "string"]} for name in others),
            ],
        }
        text = json.dumps(record)
        try:
            self._schema = self._parse(json.loads(text))
        except ValueError as exc:
            raise BadInput(f"no Avro schema can be made of the columns: {exc}") from exc
        self._schema_id = self._registry.register(self._subject, text)


def is_long(cell: float) -> bool:
    """Tell whether a number has more digits than a double: an account's, most likely."""
    return isinstance(cell, int) and abs(cell) > LARGEST_WHOLE


def in_avro(rows: "Rows[Any]", encode: AvroEncoder) -> "Rows[Any]":
    """Return rows whose events are in Avro."""

    def to_event(row: Any, *, suffix: str) -> Event | Malformed:  # noqa: ANN401 - any row
        event = rows.to_event(row, suffix=suffix)
        if isinstance(event, Malformed):
            return event
        value = encode(event)
        if isinstance(value, str):
            return Malformed(row.number, row.line, value)
        return msgspec.structs.replace(event, value=value)

    return replace(rows, to_event=to_event)
