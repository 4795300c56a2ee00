"""Every wire format: what it reads, what it refuses, and with which code."""

import json
import math
import struct
import sys
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.codecs import MakeDecoder
from stream_scorer.codecs.avro import AvroDecoder
from stream_scorer.codecs.json import JsonDecoder

NAMES = ("Time", "V1", "Amount")


def to_json(row: Sequence[float]) -> bytes:
    return json.dumps(dict(zip(NAMES, row, strict=True))).encode()


def to_avro(row: Sequence[float]) -> bytes:
    return b"\0\0\0\0\7" + struct.pack("<3d", *row)


SCHEMA = {
    "type": "record",
    "name": "Transaction",
    "fields": [{"name": name, "type": "double"} for name in NAMES],
}
CODECS: dict[str, tuple[MakeDecoder, Callable[[Sequence[float]], bytes]]] = {
    "json": (JsonDecoder, to_json),
    "avro": (partial(AvroDecoder, find_schema=lambda _: [json.dumps(SCHEMA)]), to_avro),
}
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(FINITE, FINITE, FINITE), max_size=20))
@pytest.mark.parametrize("codec", sorted(CODECS))
def test_what_is_written_is_read_bit_for_bit(
    codec: str, rows: list[tuple[float, float, float]]
) -> None:
    make, encode = CODECS[codec]
    matrix, kept, rejects = make(NAMES)([encode(row) for row in rows])
    assert matrix.dtype == np.float64
    assert matrix.shape == (len(rows), 3)
    assert matrix.tobytes() == np.array(rows, dtype=np.float64).tobytes()
    assert (kept, rejects) == (list(range(len(rows))), {})


def test_fields_go_by_name_in_the_models_order() -> None:
    value = b'{"Amount": 3, "other": [1], "V1": 2, "Time": 1, "Class": 1}'
    matrix, _, _ = JsonDecoder(NAMES)([value])
    assert matrix.tolist() == [[1.0, 2.0, 3.0]]


@pytest.mark.parametrize("names", [("a b", "class", "é"), ("1", "__init__"), ("x",)])
def test_any_feature_names_will_do(names: tuple[str, ...]) -> None:
    event = json.dumps(dict.fromkeys(names, 1.5)).encode()
    matrix, _, rejects = JsonDecoder(names)([event])
    assert (matrix.tolist(), rejects) == ([[1.5] * len(names)], {})


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "TOMBSTONE"),
        (b"", "DECODE"),
        (b"{", "DECODE"),
        (b"\0\0\0\0\x05{}", "SCHEMA"),
        (b"\0\0\0\0\x05\xff", "SCHEMA"),
        (b"\xef\xbb\xbf{}", "DECODE"),
        ('{"Time":1}'.encode("utf-16"), "DECODE"),
        (b'{"Time":1,"V1":2,"Amount":3} {}', "DECODE"),
        (b'{"Time":1,"V1":2,"Amount":3', "DECODE"),
        (b'{"Time":1,"V1":2,"Amount":3,"transaction_id":"\xff"}', "DECODE"),
        (b'{"Time":1,"V1":2,"Amount":3,"note":"\xe2\x82"}', "DECODE"),
        (b'{"Time":1,"V1":2,"Amount":3,"\xff":1}', "DECODE"),
        (b'{"Time":1,"V1":2,"Amount":3,"note":"\\ud800"}', "DECODE"),
        (b"null", "TYPE"),
        (b"[1,2,3]", "TYPE"),
        (b'{"Time":1,"V1":2}', "MISSING"),
        (b'{"Time":1,"V1":2,"Amount":null}', "TYPE"),
        (b'{"Time":1,"V1":2,"Amount":"3"}', "TYPE"),
        (b'{"Time":1,"V1":true,"Amount":3}', "TYPE"),
        (b'{"Time":1,"V1":[2],"Amount":3}', "TYPE"),
        (b'{"Time":1,"V1":NaN,"Amount":3}', "NONFINITE"),
        (b'{"Time":1,"V1":-Infinity,"Amount":3}', "NONFINITE"),
        (b'{"Time":1,"V1":1e400,"Amount":3}', "RANGE"),
        (b'{"Time":1,"V1":' + b"9" * 5000 + b',"Amount":3}', "RANGE"),
        (b'{"Time":1,"V1":2,"note":"NaN","Amount":}', "DECODE"),
        (b'{"x":' + b"[" * 1_000_000, "LIMIT"),
        # From 3.14 on Python goes by the stack that is left: it reads on to where the text ends.
        (b'{"x":' + b"[" * 100_000, "DECODE" if sys.version_info >= (3, 14) else "LIMIT"),
    ],
)
def test_bad_value_is_named_by_its_code(value: bytes | None, code: str) -> None:
    matrix, kept, rejects = JsonDecoder(NAMES)([value])
    assert (len(matrix), kept) == (0, [])
    assert rejects[0].code == code


def test_reason_names_the_field_and_never_the_value() -> None:
    _, _, rejects = JsonDecoder(NAMES)([b'{"Time":1,"V1":"4111111111111111","Amount":3}'])
    assert "V1" in rejects[0].reason
    assert "4111" not in rejects[0].reason


def test_last_of_two_equal_keys_counts() -> None:
    matrix, _, _ = JsonDecoder(NAMES)([b'{"Time":1,"V1":2,"Amount":3,"V1":5}'])
    assert matrix.tolist() == [[1.0, 5.0, 3.0]]


@given(st.lists(st.booleans(), max_size=30))
def test_kept_rows_and_rejects_share_out_the_batch(good: list[bool]) -> None:
    values = [
        json.dumps({"Time": i, "V1": 0, "Amount": 0}).encode() if ok else b"{"
        for i, ok in enumerate(good)
    ]
    matrix, kept, rejects = JsonDecoder(NAMES)(values)
    assert matrix[:, 0].tolist() == kept == [i for i, ok in enumerate(good) if ok]
    assert sorted(rejects) == [i for i, ok in enumerate(good) if not ok]


@given(st.binary(max_size=200))
def test_no_bytes_at_all_make_it_raise(value: bytes) -> None:
    matrix, kept, rejects = JsonDecoder(NAMES)([value])
    assert len(kept) + len(rejects) == 1
    assert all(math.isfinite(cell) for row in matrix.tolist() for cell in row)


@pytest.mark.parametrize(
    ("extra", "transaction_id"),
    [
        ('"transaction_id": "t"', "t"),
        ('"transaction_id": 7', "7"),
        ('"transaction_id": 7.5', None),
        ('"transaction_id": true', None),
        ('"transaction_id": ""', None),
        ('"other": 1', None),
        ('"transaction_id": "\\ud800"', None),
    ],
)
def test_transaction_id_is_a_string_or_a_whole_number(
    extra: str, transaction_id: str | None
) -> None:
    value = f'{{"Time":1,"V1":2,"Amount":3,{extra}}}'.encode()
    assert JsonDecoder(NAMES).transaction_id(value) == transaction_id
