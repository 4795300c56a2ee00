"""Avro events in a schema registry's wire format: a zero, the schema's id, the record."""

import io
import json
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.schema import SchemaParseException
from numpy.typing import NDArray

from stream_scorer.records import Matrix, Reject

# Returns a schema's text by its id with the texts of those that it refers to, the first first;
# or why there is none for us.
FindSchema = Callable[[int], "Sequence[str] | Reject"]

HEADER = struct.Struct(">bi")  # zero, the schema's id
HEAD = itemgetter(slice(0, HEADER.size))
SIZES = {"double": 8, "float": 4, "boolean": 1, "null": 0}
TYPES = {"double": "<f8", "float": "<f4"}
NUMBERS = {"double", "float", "int", "long"}
# Values in one record, arrays and maps not counted; a transaction has some hundreds at most.
MOST_VALUES = 10_000
# Values that arrays and maps of one record may hold by its length: some 50 ms.
MOST_HELD = 50_000
# Schemas that are asked for at once: each takes the registry's time.
AT_ONCE = 16
# What the length of a text must be below for its length to be one byte.
SHORT = 64


@dataclass(frozen=True, slots=True)
class Run:
    """Features that stand side by side, in the model's order and of one type."""

    offset: int  # bytes, within the part before the text or behind it
    behind: bool  # the text
    dtype: str
    first: int  # column of the matrix
    count: int


@dataclass(frozen=True, slots=True)
class Fixed:
    """Where the features stand in records that have a fixed layout, but for one text."""

    before: int  # bytes before the text, with the header; of all, if there is no text
    behind: int  # bytes behind it
    text: bool
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """What is known of one schema."""

    parsed: Any  # as fastavro wants it
    fixed: Fixed | None  # None: the record is read field by field
    a_byte: float  # how many values a byte of an array or a map may hold


class AvroDecoder:
    """Decodes records by the schema that each was written with; features go by name.

    Where all before a feature has a fixed size, but for one text, numpy reads a batch without a
    Python loop. Anything else goes through fastavro, record by record.
    """

    def __init__(self, feature_names: Sequence[str], find_schema: FindSchema) -> None:
        """Decode these features; `find_schema` raises what must stop the process."""
        self._names = tuple(feature_names)
        self._find_schema = find_schema
        self._layouts: dict[int, Layout | Reject] = {}

    def __call__(
        self, values: Sequence[bytes | None]
    ) -> tuple[Matrix, list[int], dict[int, Reject]]:
        """Return float64 (kept, features), kept and rejects; row i is values[kept[i]]."""
        matrix = np.empty((len(values), len(self._names)), dtype=np.float64)
        rejects: dict[int, Reject] = {}
        of_schema = self._sorted(values, rejects)
        self._ask_at_once([each for each in of_schema if each not in self._layouts])
        for schema_id, places in of_schema.items():
            layout = self._layout(schema_id)
            if isinstance(layout, Reject):
                rejects |= dict.fromkeys(places, layout)
                continue
            some = values if len(places) == len(values) else [values[i] for i in places]
            slow = read_fixed(layout.fixed, some, matrix, places)  # type: ignore[arg-type]
            for i in slow:
                row = self._read(layout, values[i])
                if isinstance(row, Reject):
                    rejects[i] = row
                else:
                    matrix[i] = row
        if not rejects:
            return matrix, list(range(len(values))), rejects
        kept = [i for i in range(len(values)) if i not in rejects]
        return matrix[kept], kept, rejects

    def doubled(
        self,
        values: Sequence[bytes | None],  # noqa: ARG002 - the protocol's
        kept: Sequence[int],  # noqa: ARG002
    ) -> tuple[list[int], dict[int, Reject]]:
        """Return none: a schema names each field once."""
        return [], {}

    def transaction_id(self, value: bytes) -> str | None:
        """Return the record's `transaction_id` if it is a text or a whole number, else None."""
        layout = self._layout(HEADER.unpack(HEAD(value))[1])
        if isinstance(layout, Reject):
            return None
        try:
            found = read_record(layout.parsed, value).get("transaction_id")
        except UNREADABLE:
            return None
        known = isinstance(found, str | int) and not isinstance(found, bool)
        return str(found) if known and found != "" else None

    def _sorted(
        self, values: Sequence[bytes | None], rejects: dict[int, Reject]
    ) -> dict[int, list[int]]:
        """Return the indexes of each schema's values; what names no schema is rejected."""
        try:
            heads = set(map(HEAD, values))  # type: ignore[arg-type]
        except TypeError:
            heads = set()
        if len(heads) == 1:
            (head,) = heads
            if len(head) == HEADER.size and head[0] == 0:
                return {HEADER.unpack(head)[1]: list(range(len(values)))}
        found: dict[int, list[int]] = {}
        for i, value in enumerate(values):
            why = headless(value)
            if why:
                rejects[i] = why
            else:
                found.setdefault(HEADER.unpack(HEAD(value))[1], []).append(i)  # type: ignore[arg-type]
        return found

    def _ask_at_once(self, schema_ids: Sequence[int]) -> None:
        """Ask for several schemas side by side; what is known of them the registry keeps."""
        if len(schema_ids) > 1:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(self._layout, schema_ids))

    def _layout(self, schema_id: int) -> Layout | Reject:
        """Return what is known of a schema; what the registry does not know is asked for again."""
        known = self._layouts.get(schema_id)
        if known is not None:
            return known
        if schema_id < 0:  # some registries answer these with an error, which would stop us
            return Reject("SCHEMA", f"its schema's id is {schema_id}")
        texts = self._find_schema(schema_id)
        if isinstance(texts, Reject):
            return texts
        layout = self._layouts[schema_id] = understand(texts, self._names, schema_id)
        return layout

    def _read(self, layout: Layout, value: bytes | None) -> list[float] | Reject:
        """Return one record's features, read field by field."""
        if layout.a_byte * len(value or b"") > MOST_HELD:
            held = f"{len(value or b'')} bytes with arrays or maps"
            return Reject("LIMIT", f"{held} could hold more than {MOST_HELD} values")
        try:
            record = read_record(layout.parsed, value or b"")
        except RecursionError:
            return Reject("LIMIT", "nested too deeply")
        except UNREADABLE as exc:
            return Reject(
                "DECODE", f"not a record of its schema: {READS.get(type(exc), 'bad bytes')}"
            )
        row = []
        for name in self._names:
            found = record[name]
            if not isinstance(found, float | int) or isinstance(found, bool):
                kind = "null" if found is None else type(found).__name__
                return Reject("TYPE", f"{name} is {kind}: want a number")
            row.append(float(found))
        return row


class LongerError(ValueError):
    """Bytes stand behind a record."""


# What fastavro's errors mean; their texts hold addresses of memory.
READS = {EOFError: "cut short", IndexError: "cut short", LongerError: "bytes stand behind it"}
# What fastavro raises for bytes that are no record of a schema.
UNREADABLE = (EOFError, ValueError, IndexError, TypeError, KeyError, OverflowError, RecursionError)


def headless(value: bytes | None) -> Reject | None:
    """Return why a value names no schema, None if it does."""
    if value is None:
        return Reject("TOMBSTONE", "the record has no value")
    if not value:
        return Reject("DECODE", "the value is empty")
    if value[0] != 0:
        return Reject("SCHEMA", f"it begins with the byte {value[0]}, want 0 and a schema's id")
    if len(value) < HEADER.size:
        return Reject("DECODE", f"{len(value)} bytes: no room for a schema's id")
    return None


def write_record(schema_id: int, parsed: Any, record: Mapping[str, Any]) -> bytes:  # noqa: ANN401
    """Return a record in the wire format; `parsed` is fastavro's schema."""
    stream = io.BytesIO()
    stream.write(HEADER.pack(0, schema_id))
    schemaless_writer(stream, parsed, record)
    return stream.getvalue()


def read_record(parsed: Any, value: bytes) -> Mapping[str, Any]:  # noqa: ANN401 - fastavro's
    """Return one record; raise one of UNREADABLE if the bytes are none, or more than one."""
    stream = io.BytesIO(value)
    stream.seek(HEADER.size)
    record: Mapping[str, Any] = schemaless_reader(stream, parsed, None)  # type: ignore[assignment]
    if stream.tell() != len(value):
        raise LongerError
    return record


def read_fixed(
    fixed: Fixed | None, values: Sequence[bytes], matrix: Matrix, places: list[int]
) -> list[int]:
    """Read what has a fixed layout into rows `places` of the matrix; return the places left."""
    if fixed is None:
        return places
    count, lengths = len(values), np.fromiter(map(len, values), np.int64, len(values))
    least = fixed.before + fixed.text + fixed.behind
    head = fixed.before + fixed.text
    if (lengths < least).any():
        return places if count == 1 else one_by_one(fixed, values, matrix, places)
    heads = part(values, slice(0, head), head)
    good = lengths == least
    if fixed.text:
        size = heads[:, -1].astype(np.int64)
        good = (size % 2 == 0) & (size < 2 * SHORT) & (lengths == least + size // 2)
    tails = None
    if any(run.behind for run in fixed.runs):
        tails = part(values, slice(-fixed.behind, None), fixed.behind)
    everything = bool(good.all()) and count == len(matrix)
    rows = slice(None) if everything else np.array(places)[good]
    for run in fixed.runs:
        block = tails if run.behind and tails is not None else heads
        width = np.dtype(run.dtype).itemsize * run.count
        picked = block[:, run.offset : run.offset + width]
        numbers = np.ascontiguousarray(picked if everything else picked[good]).view(run.dtype)
        with np.errstate(invalid="ignore"):  # a signalling NaN: found to be not finite later
            matrix[rows, run.first : run.first + run.count] = numbers
    return [] if everything else np.array(places)[~good].tolist()


def one_by_one(
    fixed: Fixed, values: Sequence[bytes], matrix: Matrix, places: list[int]
) -> list[int]:
    """Read those of a batch that are long enough; return the places of all others."""
    least = fixed.before + fixed.text + fixed.behind
    long = [i for i, value in enumerate(values) if len(value) >= least]
    short = [places[i] for i, value in enumerate(values) if len(value) < least]
    if not long:
        return short
    rest = read_fixed(fixed, [values[i] for i in long], matrix, [places[i] for i in long])
    return sorted(short + rest)


def part(values: Sequence[bytes], piece: slice, width: int) -> NDArray[np.uint8]:
    """Return the same piece of each value, uint8 (values, width)."""
    joined = b"".join(map(itemgetter(piece), values))
    return np.frombuffer(joined, dtype=np.uint8).reshape(len(values), width)


def understand(texts: Sequence[str], names: Sequence[str], schema_id: int) -> Layout | Reject:
    """Return where the features stand in records of a schema, or why they do not.

    `texts` are those that the last one refers to, and that one.
    """
    which = f"schema {schema_id}"
    known: dict[str, Any] = {}
    try:
        for text in texts:
            schema = plain(json.loads(text))
            parsed = parse_schema(schema, named_schemas=known)
        if not isinstance(schema, dict) or schema.get("type") != "record":
            return Reject("SCHEMA", f"{which} is no record")
        unfolded = Unfolded(known)
        if unfolded.extent(parsed) > MOST_VALUES:
            return Reject("SCHEMA", f"{which} lets a record hold values without end")
        fixed = find_fixed(schema["fields"], names)
    except (ValueError, KeyError, TypeError, SchemaParseException, RecursionError) as exc:
        return Reject("SCHEMA", f"{which} cannot be read: {type(exc).__name__}")
    types = {field["name"]: field["type"] for field in schema["fields"]}
    for name in names:
        if name not in types:
            return Reject("MISSING", f"{which} has no field {name}")
        if not may_be_number(types[name]):
            return Reject("TYPE", f"{name} is {str(types[name])[:60]} in {which}: want a number")
    return Layout(parsed, fixed, unfolded.a_byte)


class Unfolded:
    """How many values records of a schema may hold; `known` are the named types.

    fastavro recurses in C without a limit and trusts the counts of arrays: a type that holds itself
    ends the process by a full stack, an array of what takes no bytes never ends, and one of what
    takes few bytes for many values lasts.
    """

    def __init__(self, known: Mapping[str, Any]) -> None:
        """Nothing is looked at yet."""
        self._known = known
        self._sizes: dict[str, float] = {}  # of named types; infinite while one is looked at
        self._densest: dict[str, tuple[int, int]] = {}
        self.a_byte = 0.0  # values, of what arrays and maps hold

    def extent(self, schema: Any) -> float:  # noqa: ANN401
        """Return how many values there may be beside those in arrays and maps; or without end."""
        if isinstance(schema, list):
            return 1 + max((self.extent(each) for each in schema), default=0.0)
        if isinstance(schema, str):
            if schema in self._known and schema not in self._sizes:
                return self.extent(self._known[schema])
            return self._sizes.get(schema, 1)
        kind = schema["type"]
        if kind in {"array", "map"}:
            return 1 + self._held(schema["items" if kind == "array" else "values"], kind)
        if kind in {"record", "error"}:
            self._sizes[schema["name"]] = math.inf
            parts = (self.extent(field["type"]) for field in schema["fields"])
            self._sizes[schema["name"]] = 1 + sum(parts)
            return self._sizes[schema["name"]]
        return self.extent(kind) if isinstance(kind, dict | list) else 1

    def _held(self, items: Any, kind: str) -> float:  # noqa: ANN401
        """Return the extent of one of what an array or a map holds; note how dense it may be."""
        size = self.extent(items)
        if size == math.inf:
            return size
        values, least = self.densest(items)
        least += kind == "map"  # its key
        if not least:
            return math.inf
        self.a_byte = max(self.a_byte, values / least)
        return size

    def densest(self, schema: Any) -> tuple[int, int]:  # noqa: ANN401
        """Return values and bytes of what has the most values a byte.

        Not for types that hold themselves. What arrays and maps in it hold is looked at by itself.
        """
        if isinstance(schema, str):
            if schema not in self._known:
                return 1, SIZES.get(schema, 1)
            if schema not in self._densest:
                self._densest[schema] = self.densest(self._known[schema])
            return self._densest[schema]
        if isinstance(schema, list):
            each = [(values, 1 + size) for values, size in map(self.densest, schema)]
            return max(each, key=lambda pair: pair[0] / pair[1], default=(0, 1))
        kind = schema["type"]
        if kind in {"record", "error"}:
            parts = [self.densest(field["type"]) for field in schema["fields"]]
            return 1 + sum(values for values, _ in parts), sum(size for _, size in parts)
        if isinstance(kind, dict | list):
            return self.densest(kind)
        return 1, schema["size"] if kind == "fixed" else SIZES.get(kind, 1)


def plain(schema: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a schema whose numbers stay numbers: without what makes a date of a long."""
    if isinstance(schema, dict):
        return {name: plain(each) for name, each in schema.items() if name != "logicalType"}
    return [plain(each) for each in schema] if isinstance(schema, list) else schema


def kind_of(schema: Any) -> str:  # noqa: ANN401 - JSON
    """Return a type's name, of `{"type": "double"}` as of `"double"`; empty for a union."""
    kind = schema.get("type") if isinstance(schema, dict) else schema
    return kind if isinstance(kind, str) else ""


def may_be_number(schema: Any) -> bool:  # noqa: ANN401 - JSON
    """Tell whether a field of this type may hold a number."""
    if isinstance(schema, list):
        return any(kind_of(each) in NUMBERS for each in schema)
    return kind_of(schema) in NUMBERS


def find_fixed(fields: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Fixed | None:
    """Return where the features stand, None if a field's size is not fixed, but for one text."""
    parts = [HEADER.size, 0]  # bytes before the text, and behind it
    places: dict[str, tuple[int, int, str]] = {}
    text = False
    for field in fields:
        kind = kind_of(field["type"])
        if kind in {"string", "bytes"} and not text:
            text = True
            continue
        if kind in TYPES:
            places[field["name"]] = (int(text), parts[text], kind)
        if kind not in SIZES and kind != "fixed":
            return None
        if kind == "fixed" and field["type"]["size"] < 0:
            raise ValueError(field["name"])
        parts[text] += field["type"]["size"] if kind == "fixed" else SIZES[kind]
    if not all(name in places for name in names):
        return None
    runs: list[Run] = []
    for column, name in enumerate(names):
        behind, offset, kind = places[name]
        last = runs[-1] if runs else None
        end = last.offset + SIZES[kind] * last.count if last else -1
        if last and (last.behind, last.dtype, end) == (bool(behind), TYPES[kind], offset):
            runs[-1] = Run(last.offset, last.behind, last.dtype, last.first, last.count + 1)
        else:
            runs.append(Run(offset, bool(behind), TYPES[kind], column, 1))
    return Fixed(parts[0], parts[1], text, tuple(runs))
