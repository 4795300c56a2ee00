"""Alerts scored again: identical, different in what, source gone, model unknown, or no alert."""

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from stream_scorer.cli import cli
from stream_scorer.codecs.json import JsonDecoder
from stream_scorer.errors import BadInput
from stream_scorer.model import Model
from stream_scorer.records import Place, Record
from stream_scorer.verify.choosing import latest, sample, with_id
from stream_scorer.verify.command import exit_code, report
from stream_scorer.verify.comparing import WRITING, compare
from stream_scorer.verify.rescoring import BATCH, Verdict, Verifier
from stream_scorer.verify.shelf import Shelf
from stream_scorer.verify.showing import as_object, as_table
from tests.bundles import write_bundle
from tests.records import FRAUD, GOOD, TOPIC, event, record
from tests.test_scorer import make_scorer


def published(model: Model, *sources: Message, threshold: float = 0.8) -> list[Message]:
    """Return the alerts that the scorer writes for these sources, as they stand on their topic."""
    made = make_scorer(model, threshold=threshold)(sources).alerts
    return [record(i, alert.value, topic="alerts") for i, alert in enumerate(made)]


def changed(alert: Message, **changes: Any) -> Message:
    """Return an alert with top fields replaced."""
    value = msgspec.json.decode(alert.value() or b"") | changes
    return record(alert.offset() or 0, msgspec.json.encode(value), topic="alerts")


def verifier(model: Model, *sources: Message, gone: str = "gone") -> Verifier:
    """Return a verifier for which these are all the source records there are."""
    there = {(s.topic(), s.partition(), s.offset()): s for s in sources}

    def fetch(places: Collection[Place]) -> Iterator[tuple[Place, Record | str]]:
        yield from ((place, there.get(place, gone)) for place in sorted(places))

    return Verifier(
        find_model=lambda sha256: model if sha256 == model.sha256 else "no such model",
        make_decoder=JsonDecoder,
        cluster_id="cluster",
        fetch=fetch,
    )


def kinds(verdicts: Sequence[Verdict]) -> list[str]:
    return [verdict.kind for verdict in verdicts]


def fields(verdict: Verdict) -> list[str]:
    return [difference.field for difference in verdict.differences]


def test_what_the_scorer_wrote_is_identical(tiny: Model) -> None:
    sources = [record(i, FRAUD if i % 3 else GOOD, key=b"k") for i in range(3 * BATCH)]
    alerts = published(tiny, *sources)
    found = [*verifier(tiny, *sources)(alerts)]
    assert kinds(found) == ["identical"] * (2 * BATCH)
    assert len({verdict.place for verdict in found}) == 2 * BATCH


def test_repeat_and_another_threshold_are_judged_by_their_own(tiny: Model) -> None:
    source = record(3, FRAUD)
    alerts = [*published(tiny, source) * 2, *published(tiny, source, threshold=0.5)]
    assert kinds([*verifier(tiny, source)(alerts)]) == ["identical"] * 3


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"probability": 0.9}, ["probability"]),
        ({"logit": 1.0}, ["logit"]),
        ({"alert_id": "0" * 32}, ["alert_id"]),
        ({"transaction_id": "other"}, ["transaction_id"]),
        ({"decision": "fraud"}, ["decision"]),
        ({"reasons": []}, ["reasons.0"]),
        ({"features": {"Time": 1.0, "V1": 3.5}}, ["features.V1", "features.Amount"]),
        ({"note": 1}, ["note"]),
    ],
)
def test_field_that_was_changed_is_named_with_both_values(
    tiny: Model, changes: dict[str, Any], names: list[str]
) -> None:
    source = record(3, FRAUD)
    (alert,) = published(tiny, source)
    (verdict,) = verifier(tiny, source)([changed(alert, **changes)])
    assert verdict.kind == "different"
    assert fields(verdict) == names
    first = verdict.differences[0]
    name = next(iter(changes))
    if "." not in first.field:
        assert first.published == changes[name]
        assert first.again == json.loads(alert.value() or b"").get(name, "(absent)")


def test_alert_that_the_model_would_not_give_says_by_how_much(tiny: Model) -> None:
    (alert,) = published(tiny, record(3, FRAUD))
    (verdict,) = verifier(tiny, record(3, GOOD))([alert])
    assert verdict.kind == "different"
    assert fields(verdict)[:3] == ["decision", "probability", "logit"]
    assert verdict.differences[0].again == "below the threshold"


def test_source_that_cannot_be_scored_is_different_with_the_reason(tiny: Model) -> None:
    (alert,) = published(tiny, record(3, FRAUD))
    (verdict,) = verifier(tiny, record(3, b"{"))([alert])
    assert verdict.kind == "different"
    assert "dead letter, DECODE" in str(verdict.differences[0].again)


@pytest.mark.parametrize("value", [GOOD, b"{", event(V1=4.0)])
def test_another_record_in_the_sources_place_is_a_source_gone(tiny: Model, value: bytes) -> None:
    (alert,) = published(tiny, record(3, FRAUD))
    other = record(3, value, timestamp=(1, 1_800_000_000_000))
    (verdict,) = verifier(tiny, other)([alert])
    assert verdict.kind == "source gone"
    assert "1800000000000 ms and not of 1700000000000" in verdict.detail


def test_changed_timestamp_of_the_same_transaction_is_different(tiny: Model) -> None:
    source = record(3, FRAUD)
    (alert,) = published(tiny, source)
    where = {"topic": TOPIC, "partition": 0, "offset": 3, "timestamp_ms": 5}
    (verdict,) = verifier(tiny, source)([changed(alert, source=where, logit=9.0)])
    assert verdict.kind == "different"
    assert fields(verdict) == ["logit", "source.timestamp_ms"]


def test_source_that_is_not_there_is_gone_and_the_others_are_verified(tiny: Model) -> None:
    sources = [record(i, FRAUD) for i in range(3)]
    found = [*verifier(tiny, sources[0], sources[2])(published(tiny, *sources))]
    assert sorted(kinds(found)) == ["identical", "identical", "source gone"]
    assert exit_code(report(found, as_json=False)) == 3


def test_model_that_is_not_at_hand_is_named(tiny: Model) -> None:
    source = record(3, FRAUD)
    (alert,) = published(tiny, source)
    other = changed(alert, model={"name": "x", "version": "1", "sha256": "f" * 64})
    (verdict,) = verifier(tiny, source)([other])
    assert (verdict.kind, verdict.detail) == ("model unknown", "no such model")
    assert exit_code(report([verdict], as_json=False)) == 3


@pytest.mark.parametrize(
    "value",
    [
        None, b"", b"{", b"[]", b"{}", b'{"schema_version": 1}', b"\xff", b"[" * 100_000,
        b'{"x": 1e999}',
    ],
    ids=["none", "empty", "open", "list", "no-field", "few", "not-utf-8", "deep", "huge"],
)  # fmt: skip
def test_what_is_no_alert_is_counted_and_named_and_fails(tiny: Model, value: bytes | None) -> None:
    source = record(3, FRAUD)
    alerts = [record(7, value, topic="alerts"), *published(tiny, source)]
    found = [*verifier(tiny, source)(alerts)]
    assert kinds(found) == ["no alert", "identical"]
    assert found[0].place == ("alerts", 0, 7)
    assert found[0].detail.isprintable()
    assert exit_code(report(found, as_json=False)) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"schema_version": 2},
        {"threshold": 1.5},
        {"threshold": "0.8"},
        {"source": {"topic": "t", "partition": -1, "offset": 0, "timestamp_ms": 0}},
        {"model": "fraud"},
    ],
    ids=str,
)
def test_alert_of_another_shape_is_no_alert_of_ours(tiny: Model, changes: dict[str, Any]) -> None:
    source = record(3, FRAUD)
    (alert,) = published(tiny, source)
    assert kinds([*verifier(tiny, source)([changed(alert, **changes)])]) == ["no alert"]


ALERT = {
    "probability": 0.97310001,
    "logit": 3.59,
    "reasons": [{"feature": "V14", "effect": 2.1}],
    "source": {"timestamp_ms": 5},
}


def rewritten(**changes: Any) -> bytes:
    return msgspec.json.encode(ALERT | changes)


@pytest.mark.parametrize(
    ("changes", "tolerated"),
    [
        ({"probability": 0.97310001 + 9e-7}, True),
        ({"probability": 0.97310001 + 2e-6}, False),
        ({"logit": 3.59 + 3e-6}, True),
        ({"logit": 3.59 + 4e-6}, False),
        ({"reasons": [{"feature": "V14", "effect": 2.101}]}, True),
        ({"reasons": [{"feature": "V14", "effect": 2.102}]}, False),
        ({"reasons": [{"feature": "V4", "effect": 2.1}]}, False),
        ({"logit": 3.59 + 1e-6, "source": {"timestamp_ms": 6}}, False),
        ({"probability": 1}, False),
    ],
    ids=str,
)
def test_only_what_another_processor_may_round_is_tolerated(
    changes: dict[str, Any],
    tolerated: bool,  # noqa: FBT001 - pytest passes by name
) -> None:
    found = compare(rewritten(), rewritten(**changes))
    assert found.differences
    assert found.tolerated is tolerated


def test_tolerance_is_only_for_numbers_in_the_same_writing() -> None:
    spaced = json.dumps(ALERT | {"logit": 3.59 + 1e-6}).encode()
    assert not compare(spaced, rewritten()).tolerated
    (writing,) = compare(json.dumps(ALERT).encode(), rewritten()).differences
    assert writing.field == WRITING


def test_score_of_another_processor_is_within_tolerance(tiny: Model) -> None:
    source = record(3, FRAUD)
    (alert,) = published(tiny, source)
    value = json.loads(alert.value() or b"")
    nudged = float(np.nextafter(np.float32(value["probability"]), np.float32(0)))
    found = [*verifier(tiny, source)([changed(alert, probability=nudged)])]
    assert kinds(found) == ["within tolerance"]
    assert exit_code(report(found, as_json=False)) == 0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-1, 1) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=8,
)


@given(json_values, json_values)
def test_two_alerts_have_no_difference_exactly_if_their_bytes_are_equal(a: Any, b: Any) -> None:
    one, other = (msgspec.json.encode({"value": each}) for each in (a, b))
    assert (compare(one, other).differences == ()) is (one == other)
    assert compare(one, one).differences == ()


def test_sample_is_the_same_for_a_seed_in_whatever_order_alerts_come() -> None:
    alerts = [record(i, b"", partition=p, topic="alerts") for p in range(3) for i in range(50)]
    drawn = {(m.partition(), m.offset()) for m in sample(alerts, 10, seed=1)}
    again = {(m.partition(), m.offset()) for m in sample(alerts[::-1], 10, seed=1)}
    other = {(m.partition(), m.offset()) for m in sample(alerts, 10, seed=2)}
    assert len(drawn) == 10
    assert drawn == again != other


def test_every_alert_is_drawn_as_often_as_any_other() -> None:
    alerts = [record(i, b"", topic="alerts") for i in range(20)]
    drawn = [m.offset() or 0 for seed in range(2000) for m in sample(alerts, 5, seed=seed)]
    counts = np.bincount(drawn, minlength=20)
    assert np.abs(counts - 500).max() < 5 * np.sqrt(500 * 0.75)


def test_latest_are_those_of_the_latest_times_the_newest_last() -> None:
    alerts = [record(i, b"", timestamp=(1, ms)) for i, ms in enumerate([30, 10, 20])]
    assert [m.timestamp()[1] for m in latest(alerts, 2)] == [20, 30]


def test_id_is_found_in_the_values() -> None:
    alerts = [record(0, b'{"alert_id":"abc"}'), record(1, b"{}"), record(2, None)]
    assert [m.offset() for m in with_id(alerts, "abc")] == [0]


def test_shelf_finds_models_by_sha256_in_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "old" / "deep").mkdir(parents=True)
    one = write_bundle(tmp_path / "one.onnx")
    other = write_bundle(tmp_path / "old" / "deep" / "other.onnx", weights=(0.0, 2.0, 0.01 + 1e-9))
    broken = tmp_path / "old" / "broken.onnx"
    broken.write_bytes(b"no model")
    shelf = Shelf([one, tmp_path / "old"])
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (one, other, broken)]
    for sha256 in hashes[:2]:
        found = shelf.find(sha256)
        assert isinstance(found, Model)
        assert found.sha256 == sha256
    assert "cannot be opened" in str(shelf.find(hashes[2]))
    assert shelf.find("f" * 64) == "no such model was given"


def test_model_place_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is a folder without"):
        Shelf([tmp_path])
    with pytest.raises(BadInput, match="No such file"):
        Shelf([tmp_path / "none.onnx"])


@pytest.mark.parametrize("text", ["[/x]", "[bold]b", "\x1b[31mRED\x07\nNL", "a\r\nb", "\u202eb"])
def test_text_from_outside_neither_breaks_the_table_nor_steers_the_terminal(
    tiny: Model, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = record(3, event(V1=3.0, transaction_id=text))
    (alert,) = published(tiny, source)
    bad = [
        changed(alert, alert_id=text, decision=text, **{text: text}),
        changed(alert, model={"sha256": text}),
        record(7, json.dumps({text: text}).encode(), topic="alerts"),
    ]
    found = [*verifier(tiny, source, gone=text)(bad)]
    assert sorted(kinds(found)) == ["different", "model unknown", "no alert"]
    assert as_table(found).row_count == 3
    report(found, as_json=False)
    shown = capsys.readouterr().out
    assert all(line.isprintable() for line in shown.split("\n"))
    report(found, as_json=True)
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["verdict"] for line in lines] == kinds(found)
    assert all(line.isascii() and line.isprintable() for line in lines)


def test_json_names_the_alert_its_source_and_both_values(tiny: Model) -> None:
    source = record(3, FRAUD)
    (alert,) = published(tiny, source)
    (verdict,) = verifier(tiny, source)([changed(alert, logit=9.5)])
    found = as_object(verdict)
    assert found["source"] == {"topic": TOPIC, "partition": 0, "offset": 3}
    assert found["alert"] == {"topic": "alerts", "partition": 0, "offset": 0}
    logit = json.loads(alert.value() or b"")["logit"]
    assert found["differences"] == [{"field": "logit", "published": 9.5, "again": logit}]


@pytest.mark.parametrize(
    "arguments",
    [["--last", "3", "--sample", "3"], ["--id", "x", "--last", "3"], ["--seed", "1"]],
    ids=" ".join,
)
def test_choices_that_exclude_each_other_are_a_usage_error(arguments: list[str]) -> None:
    done = CliRunner().invoke(cli, ["verify", *arguments])
    assert (done.exit_code, "Error: " in done.output) == (2, True)


def test_table_shows_the_first_that_do_not_hold_and_says_how_many_more(
    tiny: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = [record(i, FRAUD) for i in range(30)]
    alerts = published(tiny, *sources)
    counts = report(verifier(tiny, *sources[:5])(alerts), as_json=False)
    assert counts == {"identical": 5, "source gone": 25}
    shown = capsys.readouterr().out
    assert shown.count("source gone") == 20
    assert "... and 5 more; --json gives every one" in shown
