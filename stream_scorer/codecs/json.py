"""JSON events: an object with the model's features as numbers, by name."""

import json
import re
import struct
from collections.abc import Sequence
from itertools import starmap
from typing import NoReturn

import msgspec
import numpy as np

from stream_scorer.records import Matrix, Reject

ENDS_OF_KEYS = re.compile(rb'"\s*:').findall


class Tagged(msgspec.Struct, gc=False):
    """The one field of an event that is no feature."""

    transaction_id: str | int | None = None


class JsonDecoder:
    """Decodes by a type made of the feature names: nothing is coerced, other fields are skipped.

    A duplicate key counts with its last value. The way through a struct of floats, a tuple and
    `struct.pack` is the fastest exact one measured (DECISIONS.md, 4).
    """

    def __init__(self, feature_names: Sequence[str]) -> None:
        fields = [(f"f{i}", float) for i in range(len(feature_names))]
        rename = {field: name for (field, _), name in zip(fields, feature_names, strict=True)}
        features = msgspec.defstruct("Transaction", fields, rename=rename, gc=False)
        self._decode = msgspec.json.Decoder(features).decode
        self._keys = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
        self._decode_id = msgspec.json.Decoder(Tagged).decode
        self._pack = struct.Struct(f"={len(feature_names)}d").pack
        self._width = len(feature_names)

    def __call__(
        self, values: Sequence[bytes | None]
    ) -> tuple[Matrix, list[int], dict[int, Reject]]:
        """Return float64 (kept, features), kept and rejects; row i is values[kept[i]].

        A bad value costs one `except`: the iterator goes on behind it, nothing is decoded twice.
        """
        rows: list[bytes] = []
        rejects: dict[int, Reject] = {}
        # Through `str`: msgspec itself looks at the UTF-8 of the fields it keeps only.
        texts = map(bytes.decode, values)  # type: ignore[arg-type]
        decoded = starmap(self._pack, map(msgspec.structs.astuple, map(self._decode, texts)))
        while len(rows) + len(rejects) < len(values):
            try:
                rows.extend(decoded)  # what came before an error stays
            except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as exc:
                index = len(rows) + len(rejects)
                rejects[index] = explain(values[index], exc)
        matrix = np.frombuffer(b"".join(rows), dtype=np.float64).reshape(-1, self._width)
        if rejects:
            return matrix, [i for i in range(len(values)) if i not in rejects], rejects
        return matrix, list(range(len(values))), rejects

    def doubled(
        self, values: Sequence[bytes | None], kept: Sequence[int]
    ) -> tuple[list[int], dict[int, Reject]]:
        """Return those of `kept`, indexes of values that decoded, in which a key stands twice.

        And a reject for each that is nested too deeply to be looked at.
        """
        doubled: list[int] = []
        rejects: dict[int, Reject] = {}
        for i in kept:
            try:
                if self._repeats_a_key(values[i] or b""):
                    doubled.append(i)
            except RecursionError:
                rejects[i] = Reject("LIMIT", "nested too deeply to look for keys that stand twice")
        return doubled, rejects

    def _repeats_a_key(self, value: bytes) -> bool:
        """Tell whether a key stands twice.

        A quote and a colon end each key: where there are as many as different keys, none stands
        twice. Where there are more (objects in it) the standard library tells, in five times
        the time.
        """
        return (
            value.count(b":") != (different := len(self._keys(value)))
            and len(ENDS_OF_KEYS(value)) != different
            and repeats_a_key(value)
        )

    def transaction_id(self, value: bytes) -> str | None:
        """Return the event's `transaction_id` if it is a string or a whole number, else None."""
        try:
            found = self._decode_id(value).transaction_id
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        return str(found) if found not in {None, ""} else None


def explain(value: bytes | None, exc: Exception) -> Reject:  # noqa: PLR0911 - a list of cases
    """Name what is wrong with a value that did not decode; the payload is not quoted."""
    if value is None:
        return Reject("TOMBSTONE", "the record has no value")
    if isinstance(exc, RecursionError):
        return Reject("LIMIT", "nested too deeply")
    if isinstance(exc, UnicodeDecodeError) and not value.startswith(b"\0"):
        return Reject("DECODE", f"not UTF-8: {exc.reason} at byte {exc.start}")
    text = str(exc)[:200]
    if isinstance(exc, msgspec.ValidationError):
        if "out of range" in text:
            return Reject("RANGE", text)
        if "missing required field" in text:
            return Reject("MISSING", text)
        return Reject("TYPE", text)
    if not value:
        return Reject("DECODE", "the value is empty")
    if value.startswith(b"\0"):
        return Reject("SCHEMA", "it begins with the byte 0 of a schema registry's format, not JSON")
    if holds_nonfinite(value):
        return Reject("NONFINITE", "NaN and Infinity are not JSON numbers")
    return Reject("DECODE", text)


class RepeatedKeyError(Exception):
    """Raised by the look at the keys of an object."""


def repeats_a_key(value: bytes) -> bool:
    """Tell whether a key stands twice in an object of a JSON value, at any depth."""

    def look(pairs: list[tuple[str, object]]) -> None:
        if len(dict(pairs)) < len(pairs):
            raise RepeatedKeyError

    try:
        json.loads(value, object_pairs_hook=look, parse_int=str)  # int() takes no 5,000 digits
    except RepeatedKeyError:
        return True
    return False


# Bytes. A larger value that is no JSON is DECODE without a second look, which takes its time.
LOOK_AGAIN_BYTES = 65_536


class NonFiniteError(Exception):
    """Raised by the second look at a value that holds NaN or Infinity as a number."""


def holds_nonfinite(value: bytes) -> bool:
    """Tell whether a value is no JSON only because it holds NaN or Infinity where a number goes."""
    if len(value) > LOOK_AGAIN_BYTES or (b"NaN" not in value and b"Infinity" not in value):
        return False

    def refuse(_: str) -> NoReturn:
        raise NonFiniteError

    try:
        json.loads(value, parse_constant=refuse)
    except NonFiniteError:
        return True
    except (ValueError, RecursionError):
        return False
    return False
