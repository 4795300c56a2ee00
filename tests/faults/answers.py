"""The error codes in an answer of Kafka's, for the requests that the proxy can deliver late.

Layouts: https://kafka.apache.org/protocol
"""

import struct

PRODUCE, OFFSET_COMMIT, ADD_OFFSETS_TO_TXN, END_TXN, TXN_OFFSET_COMMIT = 0, 8, 25, 26, 28
# The first version of each whose arrays and texts are compact, with tagged fields behind them.
FLEXIBLE_FROM = {
    PRODUCE: 9,
    OFFSET_COMMIT: 8,
    ADD_OFFSETS_TO_TXN: 3,
    END_TXN: 3,
    TXN_OFFSET_COMMIT: 3,
}


class Reader:
    """Reads the fields of a body one after the other."""

    def __init__(self, body: bytes, *, flexible: bool) -> None:
        """Begin behind the correlation id and, of a flexible answer, the header's tags."""
        self.body = body
        self.at = 4 + flexible
        self.flexible = flexible

    def number(self, layout: str) -> int:
        """Return the next number, in the layout of `struct`."""
        (value,) = struct.unpack_from(f">{layout}", self.body, self.at)
        self.at += struct.calcsize(f">{layout}")
        return int(value)

    def skip(self, count: int) -> None:
        """Pass over so many bytes."""
        self.at += count

    def length(self, layout: str) -> int:
        """Return the length of an array or a text."""
        if not self.flexible:
            return self.number(layout)
        value = shift = 0
        while True:
            byte = self.number("B")
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value - 1


def error_codes(api_key: int, version: int, body: bytes) -> set[int]:
    """Return the error codes in the body of an answer; 0 means that the broker took the request.

    Of a Produce answer those of its first partition: more would need the layout of every version.
    """
    reader = Reader(body, flexible=version >= FLEXIBLE_FROM[api_key])
    if api_key != PRODUCE:  # there it comes last
        reader.number("i")  # the throttle time
    if api_key in {END_TXN, ADD_OFFSETS_TO_TXN}:
        return {reader.number("h")}
    codes = set()
    for _ in range(reader.length("i")):
        reader.skip(reader.length("h"))  # the topic
        for _ in range(reader.length("i")):
            reader.number("i")  # the partition
            codes.add(reader.number("h"))
            if api_key == PRODUCE:
                return codes
            reader.skip(reader.flexible)  # no tags: one byte
        reader.skip(reader.flexible)
    return codes
