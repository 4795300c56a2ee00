"""Error codes are found in answers of each layout."""

import struct

import pytest

from tests.faults.answers import (
    ADD_OFFSETS_TO_TXN,
    END_TXN,
    OFFSET_COMMIT,
    PRODUCE,
    TXN_OFFSET_COMMIT,
    error_codes,
)

CORRELATION, THROTTLE = struct.pack(">i", 7), struct.pack(">i", 0)
FENCED = 47
# One topic "in" with partitions 0 (taken) and 1 (refused): texts and arrays by length, or compact.
PARTITIONS = (struct.pack(">ih", 0, 0), struct.pack(">ih", 1, FENCED))
PLAIN = struct.pack(">ih2si", 1, 2, b"in", 2) + b"".join(PARTITIONS)
COMPACT = b"\x02\x03in\x03" + b"\0".join(PARTITIONS) + b"\0\0\0"


@pytest.mark.parametrize(
    ("api_key", "version", "body", "codes"),
    [
        (END_TXN, 1, CORRELATION + THROTTLE + struct.pack(">h", FENCED), {FENCED}),
        (END_TXN, 3, CORRELATION + b"\0" + THROTTLE + struct.pack(">h", 0) + b"\0", {0}),
        (ADD_OFFSETS_TO_TXN, 0, CORRELATION + THROTTLE + struct.pack(">h", FENCED), {FENCED}),
        (OFFSET_COMMIT, 7, CORRELATION + THROTTLE + PLAIN, {0, FENCED}),
        (OFFSET_COMMIT, 9, CORRELATION + b"\0" + THROTTLE + COMPACT, {0, FENCED}),
        (TXN_OFFSET_COMMIT, 3, CORRELATION + b"\0" + THROTTLE + COMPACT, {0, FENCED}),
        (PRODUCE, 7, CORRELATION + PLAIN, {0}),
    ],
)
def test_codes_of_every_partition_are_read(
    api_key: int, version: int, body: bytes, codes: set[int]
) -> None:
    assert error_codes(api_key, version, body) == codes
