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

Probabilities = NDArray[np.float32]
FEATURES = COLUMNS[:-1]
THRESHOLD = np.float32(0.8)
# Rows that are drawn; longer workloads go round. Of the drawn, 2 % alert with so many frauds.
BASE_ROWS = 20_000
FRAUD_RATE = 0.03
BAD_RATE = 0.01
REASONS = 3
# Every so many rows one whose probability is exactly the threshold: it must alert.
EDGE_EVERY = 1000
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
    """Records 0 to `records` - 1, which go round the partitions in order."""

    seed: int
    records: int
    partitions: int

    @cached_property
    def _rows(self) -> NDArray[np.float64]:
        """The drawn rows, float64 (BASE_ROWS, 30)."""
        chunks = generate(BASE_ROWS, seed=self.seed, fraud_rate=FRAUD_RATE)
        rows = np.concatenate(list(chunks))[:, :-1]
        rows[::EDGE_EVERY] = edge(self._session, rows)
        return rows

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        return onnxruntime.InferenceSession(SHIPPED_MODEL.read_bytes())

    @cached_property
    def _values(self) -> list[bytes]:
        """Their events."""
        rows = self._rows.tolist()
        return [msgspec.json.encode(dict(zip(FEATURES, row, strict=True))) for row in rows]

    @cached_property
    def probability(self) -> Probabilities:
        """The probability of each drawn row, float32 (rows,)."""
        return score(self._session, self._rows)

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

    @cached_property
    def _baseline(self) -> NDArray[np.float64]:
        """The bundle's typical transaction, float64 (30,)."""
        entries = self._session.get_modelmeta().custom_metadata_map
        return np.array(json.loads(entries["baseline"]))

    def features_of(self, n: int) -> dict[str, float]:
        """Return what a record that can be scored holds."""
        return dict(zip(FEATURES, self._rows[n % BASE_ROWS].tolist(), strict=True))

    def reasons_of(self, n: int) -> dict[str, float]:
        """Return the features whose typical value lowers the log-odds most, and by how much."""
        i = n % BASE_ROWS
        if i not in self._reasons:
            self._reasons[i] = self._explain(i)
        return self._reasons[i]

    @cached_property
    def _reasons(self) -> dict[int, dict[str, float]]:
        return {}

    def _explain(self, i: int) -> dict[str, float]:
        row = self._rows[i]
        copies = np.vstack([row, np.where(np.eye(len(row), dtype=bool), self._baseline, row)])
        (logit,) = self._session.run(["logit"], {"features": copies})
        effect = logit[0] - logit[1:]
        strongest = sorted(range(len(row)), key=lambda k: -effect[k])[:REASONS]
        return {FEATURES[k]: float(effect[k]) for k in strongest if effect[k] > 0}

    def expected(self, n: int) -> tuple[str, ...]:
        """Return the kinds of outcome that record n must have, each once."""
        if n in self.bad:
            return (LETTER,)
        return (SCORE, ALERT) if self.probability_of(n) >= THRESHOLD else (SCORE,)

    def events(self, start: int, stop: int) -> Iterator[tuple[str, bytes | None]]:
        """Yield key and value of the records from `start` to before `stop`."""
        for n in range(start, stop):
            value = self.bad[n][1] if n in self.bad else self._values[n % len(self._values)]
            yield key_of(n), value


def score(session: onnxruntime.InferenceSession, rows: NDArray[np.float64]) -> Probabilities:
    """Return probabilities, float32 (rows,), of rows, float64 (rows, 30)."""
    (found,) = session.run(["probability"], {"features": rows})
    result: Probabilities = found
    return result


def edge(session: onnxruntime.InferenceSession, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a row, float64 (30,), whose probability is the threshold to the last bit.

    The row that is nearest to it is moved along one feature after the other, ever finer; raises
    ValueError if no step meets it.
    """
    nearest = rows[int(np.argmin(np.abs(score(session, rows) - THRESHOLD)))]
    for column in range(len(FEATURES)):
        middle, width = nearest[column], 1.0
        while width > np.finfo(np.float32).eps:
            steps = np.tile(nearest, (4001, 1))
            steps[:, column] = np.linspace(middle - width, middle + width, len(steps))
            off = np.abs(score(session, steps) - THRESHOLD)
            best = int(np.argmin(off))
            if off[best] == 0:
                found: NDArray[np.float64] = steps[best]
                return found
            middle, width = steps[best, column], width / 1000
    raise ValueError("no row has exactly the threshold as its probability")


def key_of(n: int) -> str:
    """Return a record's key, which is its transaction id."""
    return f"t{n}"


def number_of(key: bytes | None) -> int | None:
    """Return the number in a key, None if it is no key of ours."""
    text = (key or b"").decode(errors="replace")
    return int(text[1:]) if text.startswith("t") and text[1:].isdecimal() else None
