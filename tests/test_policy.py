"""What is done with records that are odd: each answer is a setting, and changes nothing else."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from stream_scorer.check import describe_model
from stream_scorer.codecs.json import JsonDecoder, repeats_a_key
from stream_scorer.config import Settings
from stream_scorer.dead_letters import letters
from stream_scorer.errors import BadInput
from stream_scorer.metrics import Metrics
from stream_scorer.model import Model
from stream_scorer.policy import Policy
from stream_scorer.records import DeadLetter, Outcome, Reject
from tests.bundles import NAMES
from tests.records import FRAUD, GOOD, P0, event, record
from tests.test_scorer import make_scorer

TWICE = b'{"Time":1,"V1":3,"Amount":3,"V1":0}'
TWICE_INSIDE = b'{"Time":1,"V1":0,"Amount":3,"more":[{"a":1,"a":2}]}'


def score(model: Model, *values: bytes | None, **policy: Any) -> Outcome:
    scorer = make_scorer(model, policy=Policy(**policy))
    return scorer([record(i, value) for i, value in enumerate(values)])


def codes(outcome: Outcome) -> list[tuple[int | None, str]]:
    return [(each.record.offset(), each.reject.code) for each in outcome.dead_letters]


# Tombstones.


def test_a_tombstone_is_a_dead_letter_unless_it_is_to_be_skipped(tiny: Model) -> None:
    assert codes(score(tiny, GOOD, None)) == [(1, "TOMBSTONE")]


def test_a_skipped_tombstone_is_counted_and_its_offset_moves(tiny: Model) -> None:
    outcome = score(tiny, GOOD, b"{", None, None, skip_tombstones=True)
    assert codes(outcome) == [(1, "DECODE")]
    assert (outcome.skipped, len(outcome.probability)) == (2, 1)
    assert outcome.next_offsets == {P0: 4}


def test_records_are_scored_dead_lettered_or_skipped_and_the_metrics_say_so(tiny: Model) -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry, tiny)
    metrics.batch_done(4, score(tiny, GOOD, b"{", None, TWICE, skip_tombstones=True))
    counted = {
        name: registry.get_sample_value(f"scorer_{name}_total")
        for name in ("records", "scored", "skipped", "duplicate_keys")
    }
    assert counted == {"records": 4, "scored": 2, "skipped": 1, "duplicate_keys": 0}
    assert registry.get_sample_value("scorer_dead_letters_total", {"reason": "DECODE"}) == 1


# Keys that stand twice.


def test_the_last_of_two_keys_counts_and_nobody_looks(tiny: Model) -> None:
    outcome = score(tiny, TWICE)
    assert (outcome.alerts, outcome.doubled, outcome.dead_letters) == ([], 0, [])


def test_keys_that_stand_twice_are_counted(tiny: Model) -> None:
    outcome = score(tiny, GOOD, TWICE, TWICE_INSIDE, duplicate_keys="count")
    assert outcome.doubled == 2
    assert (len(outcome.probability), outcome.dead_letters) == (3, [])


def test_keys_that_stand_twice_are_rejected_and_the_key_is_not_told(tiny: Model) -> None:
    outcome = score(tiny, GOOD, TWICE, b"{", TWICE_INSIDE, FRAUD, duplicate_keys="reject")
    assert codes(outcome) == [(1, "DUPLICATE"), (2, "DECODE"), (3, "DUPLICATE")]
    assert outcome.dead_letters[0].reject.reason == "a key stands twice"
    assert len(outcome.alerts) == 1


@pytest.mark.parametrize(
    "value",
    [
        b'{"Time":1,"V1":2,"Amount":3,"V1":5}',
        b'{"Time":1,"V1":2,"Amount":3,"V1" :5}',
        b'{"Time":1,"V1":2,"Amount":3,"V1"\n\t :5}',
        b'{"Time":1,"V1":2,"Amount":3,"\\u00561":5}',
        b'{"Time":1,"V1":2,"Amount":3,"o":{"x":1,"x":1}}',
        b'{"Time":1,"V1":2,"Amount":3,"at":"10:00","at":"10:00"}',
        b'{"Time":1,"V1":2,"Amount":3,"":1,"":2}',
    ],
)
def test_keys_that_stand_twice_are_found_however_they_are_written(value: bytes) -> None:
    assert JsonDecoder(NAMES).doubled([value], [0]) == ([0], {})


@pytest.mark.parametrize(
    "extra", ['"at":"10:00:01"', '"x":"\\":"', '"o":{"V1":1}', '"l":[{"a":1},{"a":1}]', '"v1":1']
)
def test_keys_that_only_look_alike_are_let_through(extra: str) -> None:
    value = f'{{"Time":1,"V1":2,"Amount":3,{extra}}}'.encode()
    assert JsonDecoder(NAMES).doubled([value], [0]) == ([], {})


KEYS = st.sampled_from(["a", "b", "c", ":", '"', '":', "é", "\\"])
SPACE = st.sampled_from(["", " ", "\n"])


@given(st.lists(st.tuples(KEYS, SPACE, KEYS), max_size=6))
def test_the_quick_look_at_keys_agrees_with_the_whole_one(
    pairs: list[tuple[str, str, str]],
) -> None:
    members = [f"{json.dumps(key)}{space}:{json.dumps(text)}" for key, space, text in pairs]
    value = ("{" + ",".join(members) + "}").encode()
    assert repeats_a_key(value) == (len({key for key, _, _ in pairs}) < len(pairs))
    doubled, _ = JsonDecoder(NAMES).doubled([value], [0])
    assert bool(doubled) == repeats_a_key(value)


@pytest.mark.parametrize("policy", ["count", "reject"])
def test_record_in_which_keys_cannot_be_looked_at_is_dead_lettered(
    tiny: Model, policy: str
) -> None:
    found = set()
    for depth in range(900, 1001):  # somewhere there the decoder can still, and the look cannot
        deep = b'{"Time":1,"V1":2,"Amount":3,"o":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
        outcome = score(tiny, GOOD, deep, FRAUD, duplicate_keys=policy)
        assert len(outcome.probability) >= 2
        found |= {code for _, code in codes(outcome)}
    assert found <= {"LIMIT"}


def test_number_of_5000_digits_is_no_reason_not_to_look(tiny: Model) -> None:
    long = b'{"Time":1,"V1":2,"Amount":3,"n":' + b"9" * 5000 + b',"o":{"a":1%s}}'
    outcome = score(tiny, long % b"", long % b',"a":2', duplicate_keys="reject")
    assert codes(outcome) == [(1, "DUPLICATE")]


# Limits.


@pytest.mark.parametrize(
    ("amount", "inside"), [(0, True), (100, True), (-0.01, False), (100.01, False)]
)
def test_what_is_beyond_its_limits_is_not_scored(tiny: Model, amount: float, inside: bool) -> None:  # noqa: FBT001
    outcome = score(tiny, event(Amount=amount), limits={"Amount": (0, 100), "Time": (0, 1e9)})
    assert codes(outcome) == ([] if inside else [(0, "RANGE")])
    if not inside:
        (dead,) = outcome.dead_letters
        assert dead.reject == Reject("RANGE", "Amount is beyond SCORER_LIMITS, 0..100", "feature")


def test_without_limits_everything_finite_is_scored(tiny: Model) -> None:
    assert len(score(tiny, event(Amount=-1e30)).probability) == 1


def test_limits_of_a_feature_that_the_model_lacks_are_refused() -> None:
    with pytest.raises(BadInput, match="'Amuont': the model has no such feature; did you mean Amo"):
        Policy.of(Settings.load(environ={"SCORER_LIMITS": "Amuont=0..1"}), NAMES)


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("", {}),
        ("Amount=0..25000,Time=0..", {"Amount": (0, 25_000), "Time": (0, float("inf"))}),
        (" a=b =..-1e3 ", {"a=b ": (float("-inf"), -1000)}),
    ],
)
def test_limits_are_read_from_one_text(text: str, limits: dict[str, tuple[float, float]]) -> None:
    assert Settings.load(environ={"SCORER_LIMITS": text}).limits == limits


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Amount", "SCORER_LIMITS is 'Amount': 'Amount' is not NAME=LOW..HIGH, as in Amount=0"),
        ("Amount=1", "is not NAME=LOW..HIGH"),
        ("Amount=a..b", "is not NAME=LOW..HIGH"),
        ("=1..2", "is not NAME=LOW..HIGH"),
        ("Amount=2..1", "Amount 2..1 holds no value: want the lower first"),
        ("Amount=nan..1", "holds no value"),
    ],
)
def test_limits_that_say_nothing_are_refused(text: str, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        Settings.load(environ={"SCORER_LIMITS": text})
    assert message in str(caught.value)


# Size.


def test_a_value_that_is_too_large_is_not_read_and_the_others_are_scored(tiny: Model) -> None:
    large = GOOD[:-1] + b" " * 2000 + b"}"
    outcome = score(tiny, GOOD, large, FRAUD, b"x" * 5000, largest_record_bytes=2000)
    assert codes(outcome) == [(1, "LIMIT"), (3, "LIMIT")]
    assert outcome.dead_letters[0].reject.reason == (
        f"{len(large)} bytes; SCORER_LARGEST_RECORD_BYTES allows 2000"
    )
    assert np.array_equal(outcome.probability, score(tiny, GOOD, FRAUD).probability)
    assert codes(score(tiny, GOOD, largest_record_bytes=len(GOOD))) == []


def written(largest: int | None, **rest: Any) -> tuple[letters.Written, dict[str, str]]:
    """Return a dead letter as it is written, and what its headers say."""
    bad = record(2, rest.pop("value"), **rest)
    own: Any = bad.headers()
    found = letters.written(
        DeadLetter(bad, own, Reject("LIMIT", "large")),
        group="g", app="a", sha256="s", now_ms=1, largest=largest,
    )  # fmt: skip
    return found, {k: (v or b"").decode() for k, v in found.headers if k.startswith("dlq.")}


def test_a_dead_letter_of_a_larger_record_has_its_beginning_its_size_and_its_digest() -> None:
    value = b"ab" * 100_000
    found, ours = written(150_000, value=value, key=b"k", headers=[("h", b"1")])
    assert (found.key, found.value, found.headers[0]) == (b"k", value[:65_536], ("h", b"1"))
    assert (ours["dlq.payload"], ours["dlq.payload_bytes"]) == ("truncated", "200000")
    whole = written(None, value=value)[1]
    assert (whole["dlq.payload"], whole["dlq.payload_sha256"]) == (
        "full",
        ours["dlq.payload_sha256"],
    )


def test_key_and_headers_count_and_are_left_out_where_they_are_long() -> None:
    found, ours = written(
        200_000, value=b"{", key=b"k" * 100_000, headers=[("h", b"1" * 100_000), ("i", None)]
    )
    assert (found.key, found.value) == (None, b"{")
    assert {name for name, _ in found.headers} == set(ours)
    assert ours["dlq.payload"] == "truncated"


def test_a_record_of_just_the_largest_size_is_kept_whole() -> None:
    found, ours = written(20, value=b"{234", key=b"key", headers=[("ab", b"c")])
    assert (found.value, found.key, ours["dlq.payload"]) == (b"{234", b"key", "full")
    assert written(19, value=b"{234", key=b"key", headers=[("ab", b"c")])[1]["dlq.payload"] == (
        "truncated"
    )


def test_a_truncated_dead_letter_cannot_be_fed_in_again() -> None:
    found, _ = written(1000, value=b"a" * 2000)
    letter = letters.read(record(0, found.value, headers=found.headers))[1]
    assert isinstance(letter, letters.Letter)
    assert letter.flaw(found.value) == "dlq.payload is 'truncated': not the whole record is there"


def test_check_finds_a_limit_of_no_feature(tiny_path: Path) -> None:
    assert "golden rows hold" in describe_model(Settings(model=tiny_path))
    with pytest.raises(BadInput, match="did you mean Amount"):
        describe_model(Settings(model=tiny_path, limits={"Amonut": (0.0, 1.0)}))
