"""Odd bytes by the million through decode, score and dead letter: nothing may escape.

    python -m tests.fuzz [--examples 100000] [--mutations 1000000] [--seed 0]

`examples` are drawn by hypothesis, JSON-like and not; `mutations` are good events with bytes
flipped, cut, doubled and spliced, in batches as the stream has them. Ends non-zero at the first
exception or broken rule, with the value that did it.
"""

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, get_args

import click
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from stream_scorer.codecs.json import JsonDecoder
from stream_scorer.config import SHIPPED_MODEL
from stream_scorer.dead_letters import letters
from stream_scorer.model import Model
from stream_scorer.policy import Policy
from stream_scorer.records import Code, Headers
from stream_scorer.scorer import Scorer
from tests.records import record

CODES = frozenset(get_args(Code))
BATCH = 256
# What a mutation may put into an event.
TOKENS = (
    b"NaN", b"-Infinity", b"1e400", b"-0.0", b"5e-324", b"null", b"true", b'"1"', b"[[", b"{",
    b"}", b",", b":", b'"', b"\\", b"\\u0000", b"\\ud800", b"\0", b"\xff", b"\xef\xbb\xbf", b"\r\n",
    b'"Time":', b'"V1":1,', b"9" * 400, b"0." + b"0" * 400 + b"1", b"[" * 3000, b"{}{}", b"",
    b'"o":{"a":1},', b'"n":' + b"9" * 5000 + b",",
    b'"d":' + b'{"a":' * 990 + b"1" + b"}" * 990 + b",",
)  # fmt: skip

Record = tuple[bytes | None, bytes | None, Headers]  # value, key, headers

TEXTS = st.text(max_size=20)
NUMBERS = st.one_of(
    st.floats(), st.integers(), st.sampled_from([1e400, -0.0, 5e-324, 10**400, 2**63, True, None])
)


def json_like(names: Sequence[str]) -> st.SearchStrategy[bytes]:
    """Draw objects with some of the names and others, any values, written by the library."""
    inner = st.recursive(
        st.one_of(NUMBERS, TEXTS),
        lambda each: st.one_of(
            st.lists(each, max_size=3), st.dictionaries(TEXTS, each, max_size=3)
        ),
        max_leaves=5,
    )
    keys = st.one_of(st.sampled_from(list(names)), TEXTS)
    whole = st.fixed_dictionaries(dict.fromkeys(names, NUMBERS))
    return st.one_of(whole, st.dictionaries(keys, inner, max_size=8), inner).map(
        lambda value: json.dumps(value).encode()
    )


def records(names: Sequence[str]) -> st.SearchStrategy[Record]:
    """Draw records of any kind."""
    values = st.one_of(st.none(), st.binary(max_size=300), json_like(names))
    name = st.one_of(st.sampled_from(["dlq.attempt", "dlq.code", "traceparent"]), TEXTS)
    headers = st.lists(st.tuples(name, st.one_of(st.none(), st.binary(max_size=9))), max_size=3)
    return st.tuples(values, st.one_of(st.none(), st.binary(max_size=9)), headers)


def mutated(events: Sequence[bytes], draw: random.Random) -> Iterator[bytes]:
    """Give events with one to four mistakes each, without end."""
    while True:
        value = bytearray(draw.choice(events))
        for _ in range(draw.randint(1, 4)):
            at = draw.randrange(len(value) + 1)
            to = min(len(value), at + draw.choice((0, 1, 2, 8, 50)))
            kind = draw.randrange(4)
            if kind == 0:  # another byte, or one of its bits
                value[at:to] = bytes(draw.randrange(256) for _ in range(to - at))
            elif kind == 1:
                value[at:to] = b""
            elif kind == 2:  # a piece of another event, or of itself
                other = draw.choice(events)
                start = draw.randrange(len(other))
                value[at:to] = other[start : start + draw.randrange(60)]
            else:
                value[at:to] = draw.choice(TOKENS)
        yield bytes(value)


def feed(scorer: Scorer, batch: Sequence[Record]) -> Counter[str]:
    """Score a batch and write its dead letters; return the outcomes, by code, or raise."""
    sent = [record(i, value, key=key, headers=own) for i, (value, key, own) in enumerate(batch)]
    outcome = scorer(sent)
    found: Counter[str] = Counter(letter.reject.code for letter in outcome.dead_letters)
    require(len(outcome.probability) + found.total() + outcome.skipped == len(batch), "one lost")
    require(bool(np.isfinite(outcome.probability).all()), "a score is no number")
    require(set(found) <= CODES, f"unknown code in {found}")
    for letter in outcome.dead_letters:
        written = letters.written(letter, group="g", app="a", sha256="s", now_ms=1, largest=None)
        require(written.value == letter.record.value(), "a dead letter has another value")
        require("\n" not in letter.reject.reason, "a reason has two lines")
        again: Any = written.headers
        read = letters.read(record(0, written.value, key=written.key, headers=again))[1]
        require(isinstance(read, letters.Letter), f"a dead letter cannot be read: {read}")
    found["scored"] = len(outcome.probability)
    return found


def require(truth: bool, otherwise: str) -> None:  # noqa: FBT001
    """Raise AssertionError unless it is so, also where Python runs without asserts."""
    if not truth:
        raise AssertionError(otherwise)


def run_examples(scorer: Scorer, count: int, seed: int) -> Counter[str]:
    """Let hypothesis draw `count` records, one batch each; return the outcomes."""
    found: Counter[str] = Counter()

    @seeded(seed)
    @settings(
        max_examples=count, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.lists(records(scorer.model.feature_names), min_size=1, max_size=1))
    def examples(batch: list[Record]) -> None:
        found.update(feed(scorer, batch))

    examples()
    return found


def run_mutations(scorer: Scorer, count: int, seed: int) -> Counter[str]:
    """Feed `count` mutated events in batches; return the outcomes."""
    found: Counter[str] = Counter()
    draw = random.Random(seed)  # noqa: S311 - for repeatable tests
    names = scorer.model.feature_names
    events = [
        json.dumps({"transaction_id": f"t{i}", **dict(zip(names, row, strict=True))}).encode()
        for i, row in enumerate(np.random.default_rng(seed).normal(size=(20, len(names))).tolist())
    ]
    values = mutated(events, draw)
    for start in range(0, count, BATCH):
        batch: list[Record] = [(next(values), b"k", []) for _ in range(min(BATCH, count - start))]
        found.update(feed(scorer, batch))
    return found


def make_scorer(model: Model) -> Scorer:
    """Return a scorer that looks for everything."""
    decoder = JsonDecoder(model.feature_names)
    strict = Policy(duplicate_keys="reject")
    return Scorer(model=model, decoder=decoder, threshold=0.8, cluster_id="c", policy=strict)


@click.command()
@click.option("--examples", default=100_000, show_default=True)
@click.option("--mutations", default=1_000_000, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(examples: int, mutations: int, seed: int) -> None:
    """Run both and say what came of them, in one line each."""
    scorer = make_scorer(Model.load(SHIPPED_MODEL))
    for name, run, count in (
        ("examples", run_examples, examples),
        ("mutations", run_mutations, mutations),
    ):
        start = time.monotonic()
        found = run(scorer, count, seed)
        kinds = ", ".join(f"{code} {n}" for code, n in sorted(found.items()))
        click.echo(
            f"CHECK R42 {name}: uncaught=0 of {found.total()} in {time.monotonic() - start:.0f} s "
            f"({kinds})"
        )


if __name__ == "__main__":
    sys.exit(main())
