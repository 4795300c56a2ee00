"""What goes in and what must come out of it, from the seed alone: no channel between the two ends.

The probability of a row is onnxruntime's on the shipped file; nothing of the scorer's is asked.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import msgspec
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from producer.figures import COLUMNS
from producer.generate import generate
from stream_scorer.config import SHIPPED_MODEL

FEATURES = COLUMNS[:-1]
THRESHOLD = np.float32(0.8)
# Rows that are drawn; longer workloads go round. Of the drawn, 2 % alert with so many frauds.
BASE_ROWS = 20_000
FRAUD_RATE = 0.03
BAD_RATE = 0.01
SCORE, ALERT, LETTER = "score", "alert", "dead letter"
KINDS = (SCORE, ALERT, LETTER)


def bad_values() -> list[tuple[str, bytes | None]]:
    """Return one value of each kind that cannot be scored, with the code that README gives it."""
    good = dict.fromkeys(FEATURES, 0.5)
    lacking = {name: value for name, value in good.items() if name != "V14"}
    whole = json.dumps(good)
    return [
        ("DECODE", b"{"),
        ("DECODE", b""),
        ("DECODE", b"\xff\xfe"),
        ("SCHEMA", b"\x00\x00\x00\x00\x01{}"),
        ("TOMBSTONE", None),
        ("MISSING", json.dumps(lacking).encode()),
        ("TYPE", json.dumps(good | {"V14": "0.5"}).encode()),
        ("NONFINITE", whole.replace("0.5", "NaN", 1).encode()),
        ("RANGE", whole.replace("0.5", "1e400", 1).encode()),
    ]


@dataclass(frozen=True)
class Workload:
    """Records 0 to `records` - 1; record n is on partition n modulo `partitions`, in order."""

    seed: int
    records: int
    partitions: int

    @cached_property
    def _rows(self) -> NDArray[np.float64]:
        """The drawn rows, float64 (at most BASE_ROWS, 30)."""
        count = min(self.records, BASE_ROWS)
        chunks = generate(count, seed=self.seed, fraud_rate=FRAUD_RATE)
        return np.concatenate(list(chunks))[:, :-1]

    @cached_property
    def _values(self) -> list[bytes]:
        """Their events."""
        rows = self._rows.tolist()
        return [msgspec.json.encode(dict(zip(FEATURES, row, strict=True))) for row in rows]

    @cached_property
    def probability(self) -> NDArray[np.float32]:
        """The probability of each drawn row, float32 (rows,)."""
        session = onnxruntime.InferenceSession(SHIPPED_MODEL.read_bytes())
        (found,) = session.run(["probability"], {"features": self._rows})
        result: NDArray[np.float32] = found
        return result

    @cached_property
    def bad(self) -> dict[int, tuple[str, bytes | None]]:
        """Code and value of each record that cannot be scored."""
        rng = np.random.default_rng(self.seed)
        kinds = bad_values()
        where = np.flatnonzero(rng.random(self.records) < BAD_RATE).tolist()
        return {n: kinds[i % len(kinds)] for i, n in enumerate(where)}

    def probability_of(self, n: int) -> np.float32:
        """Return the probability of a record that can be scored."""
        found: np.float32 = self.probability[n % len(self.probability)]
        return found

    def expected(self, n: int) -> tuple[str, ...]:
        """Return the kinds of outcome that record n must have, each once."""
        if n in self.bad:
            return (LETTER,)
        return (SCORE, ALERT) if self.probability_of(n) >= THRESHOLD else (SCORE,)

    def events(self, start: int, stop: int) -> Iterator[tuple[int, str, bytes | None]]:
        """Yield partition, key and value of the records from `start` to before `stop`."""
        for n in range(start, stop):
            value = self.bad[n][1] if n in self.bad else self._values[n % len(self._values)]
            yield n % self.partitions, key_of(n), value


def key_of(n: int) -> str:
    """Return a record's key, which is its transaction id."""
    return f"t{n}"


def number_of(key: bytes | None) -> int | None:
    """Return the number in a key, None if it is no key of ours."""
    text = (key or b"").decode(errors="replace")
    return int(text[1:]) if text.startswith("t") and text[1:].isdecimal() else None
