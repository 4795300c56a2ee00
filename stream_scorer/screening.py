"""What is wrong with a record beside its value: headers nobody can read, numbers that are none."""

from collections.abc import Mapping, Sequence

import numpy as np

from stream_scorer.records import Headers, Matrix, Record, Reject


def read_headers(records: Sequence[Record]) -> tuple[dict[int, Headers], dict[int, Reject]]:
    """Return the headers there are, by record, and a reject for each record whose cannot be read.

    A header key that is not UTF-8 makes the client set an error and return a list all the same,
    with a hole in it that crashes whoever looks (confluent-kafka 2.16.1). A `record.headers()` in a
    warm loop does not notice: the interpreter's fast path skips the check, and the error comes up
    later, at another record. A call made by `map` is always checked. So: by `map`, and each record
    once. All records of a batch have one type.
    """
    headers: dict[int, Headers] = {}
    rejects: dict[int, Reject] = {}
    done = 0
    remaining = map(type(records[0]).headers, records)
    while done < len(records):
        try:
            for found in remaining:
                if found:
                    headers[done] = found
                done += 1
        except SystemError:
            rejects[done] = Reject("HEADERS", "a header key is not UTF-8; headers are not copied")
            done += 1
    return headers, rejects


def find_too_large(values: Sequence[bytes | None], largest: int) -> dict[int, Reject]:
    """Return a reject for each value of more than `largest` bytes: it would take its time."""
    if max(map(len, filter(None, values)), default=0) <= largest:
        return {}
    return {
        i: Reject("LIMIT", f"{len(value)} bytes; SCORER_LARGEST_RECORD_BYTES allows {largest}")
        for i, value in enumerate(values)
        if value and len(value) > largest
    }


def find_outside(
    matrix: Matrix,
    kept: Sequence[int],
    names: Sequence[str],
    limits: Mapping[str, tuple[float, float]],
) -> dict[int, Reject]:
    """Return a reject for each row with a feature beyond its limits."""
    rejects: dict[int, Reject] = {}
    for name, (low, high) in limits.items():
        column = matrix[:, names.index(name)]
        for i in np.flatnonzero((column < low) | (column > high)).tolist():
            reason = f"{name} is beyond SCORER_LIMITS, {low:g}..{high:g}"
            rejects[kept[i]] = Reject("RANGE", reason, "feature")
    return rejects


def find_nonfinite(matrix: Matrix, kept: Sequence[int], names: Sequence[str]) -> dict[int, Reject]:
    """Return a reject for each row that holds NaN or infinity: a model may call them harmless."""
    finite = np.isfinite(matrix)
    if finite.all():
        return {}
    return {
        kept[i]: Reject("NONFINITE", f"{names[int(np.argmin(finite[i]))]} is not finite", "feature")
        for i in np.flatnonzero(~finite.all(axis=1)).tolist()
    }
