"""A model is replaced, challenged and watched on a real Kafka while records keep coming."""

import json
import os
import re
import signal
import subprocess
import sys
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from confluent_kafka import Producer
from numpy.typing import NDArray

from producer.figures import COLUMNS
from producer.generate import generate
from stream_scorer.config import SHIPPED_MODEL
from stream_scorer.model import Model
from tests.bundles import metadata, write_bundle
from tests.integration.stream import Scorer, Stream, fresh_stream, wait_for
from tests.integration.test_commands import command
from tests.integration.test_stream import events, ids

pytestmark = pytest.mark.integration

ROWS = 6000
SWAPPED = 'scorer_model_changes_total{result="swapped"}'
REFUSED = 'scorer_model_changes_total{result="refused"}'


@pytest.fixture
def stream(kafka: str, tmp_path: Path) -> Iterator[Stream]:
    with fresh_stream(kafka, tmp_path) as each:
        yield each


@pytest.fixture(scope="module")
def rows() -> NDArray[np.float64]:
    """Return synthetic transactions with many frauds, raw (ROWS, 30)."""
    return np.concatenate(list(generate(ROWS, seed=11, fraud_rate=0.05)))[:, :-1]


def endless(rows: NDArray[np.float64]) -> Iterator[tuple[str, bytes]]:
    return chain.from_iterable(events(rows, start=k * ROWS) for k in count())


def put(path: Path, version: str, *, shift: float = 0.0) -> str:
    """Put the shipped model there, whole, under another version; return its sha256.

    `shift` is added to every logit: such a model alerts on more, or on less.
    """
    model = onnx.load(SHIPPED_MODEL)
    entries = {entry.key: entry.value for entry in model.metadata_props}
    golden = json.loads(entries["golden"])
    if shift:
        logits = np.array(golden["logit"]) + shift
        golden["probability"] = (1 / (1 + np.exp(-logits))).tolist()
        shift_logits(model, shift)
    changed = {**entries, "version": version, "golden": json.dumps(golden)}
    onnx.helper.set_model_props(model, changed)
    beside = path.with_suffix(".new")
    beside.write_bytes(model.SerializeToString())
    sha256 = Model.load(beside).sha256
    beside.replace(path)
    return sha256


def shift_logits(model: onnx.ModelProto, shift: float) -> None:
    """Add a constant to the logit of a graph."""
    graph = model.graph
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = ["unshifted" if name == "logit" else name for name in names]
    constant = onnx.numpy_helper.from_array(np.array(shift, dtype=np.float32), "shift")
    graph.initializer.append(constant)
    graph.node.append(onnx.helper.make_node("Add", ["unshifted", "shift"], ["logit"]))
    last = next(node for node in graph.node if "probability" in node.output)
    graph.node.remove(last)
    graph.node.append(onnx.helper.make_node("Sigmoid", ["logit"], ["probability"]))


def start(stream: Stream, **environ: str) -> Scorer:
    scorer = stream.start(**{"SCORER_SHADOW_ROWS": "500", **environ})
    scorer.wait_assigned()
    return scorer


def scorers_of(stream: Stream) -> dict[int, list[tuple[int, str]]]:
    """Return, for each partition, from which offset which model scored, as the topic says."""
    found: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for message in stream.read(stream.settings.control_topic):
        if (message.key() or b"").startswith(b"handover/"):
            value: dict[str, Any] = json.loads(message.value() or b"")
            found[value["partition"]].append((value["first_offset"], value["model"]["sha256"]))
    return {partition: sorted(places) for partition, places in found.items()}


def test_new_file_takes_over_under_load_and_the_topic_says_who_scored_what(
    stream: Stream, rows: NDArray[np.float64], tmp_path: Path
) -> None:
    path = tmp_path / "fraud.onnx"
    one = put(path, "1")
    scorer = start(
        stream, SCORER_MODEL=str(path), SCORER_CONTROL_TOPIC=stream.settings.control_topic
    )
    with stream.load(endless(rows)) as sent:
        wait_for("scores", lambda: scorer.metric("scorer_scored_total") > 1000)
        two = put(path, "2")
        wait_for("the new model", lambda: scorer.metric(SWAPPED) == 1)
        before = scorer.metric("scorer_scored_total")
        wait_for("its scores", lambda: scorer.metric("scorer_scored_total") > before + 1000)
    stream.wait_committed(len(sent))
    assert scorer.stop() == 0
    scores = stream.scores()
    assert ids(scores) == Counter(sent), "each once, none lost in the change"
    by_model: Counter[str] = Counter()
    told = scorers_of(stream)
    for message in scores:
        value = json.loads(message.value() or b"")
        places = told[value["source"]["partition"]]
        at = bisect_right(places, value["source"]["offset"], key=lambda place: place[0])
        assert value["model"]["sha256"] == places[at - 1][1]
        by_model[value["model"]["sha256"]] += 1
    assert min(by_model[one], by_model[two]) > 500


def test_bad_file_is_refused_and_the_old_model_goes_on(
    stream: Stream, rows: NDArray[np.float64], tmp_path: Path
) -> None:
    path = tmp_path / "fraud.onnx"
    one = put(path, "1")
    scorer = start(stream, SCORER_MODEL=str(path))
    path.write_bytes(b"no model")
    wait_for("a refusal", lambda: scorer.metric(REFUSED) == 1)
    write_bundle(path, metadata(feature_names=json.dumps(("Time", "V1", "country_risk"))))
    with stream.load(endless(rows)) as sent:
        wait_for("a refusal by the shadow", lambda: scorer.metric(REFUSED) == 2)
    stream.wait_committed(len(sent))
    assert scorer.stop() == 0
    assert "country_risk" in scorer.text()
    scores = [json.loads(message.value() or b"") for message in stream.scores()]
    assert {value["model"]["sha256"] for value in scores} == {one}


def test_sighup_reads_the_file_again_and_does_not_end_the_process(
    stream: Stream, tmp_path: Path
) -> None:
    path = tmp_path / "fraud.onnx"
    put(path, "1")
    scorer = start(stream, SCORER_MODEL=str(path))
    scorer.process.send_signal(signal.SIGHUP)
    stream.send([("a", b"{}")])
    stream.wait_committed(1)
    scorer.process.send_signal(signal.SIGHUP)
    stream.send([("b", b"{}")])
    stream.wait_committed(2)
    assert scorer.stop() == 0


def test_request_on_the_topic_reaches_every_replica_and_outlives_a_restart(
    stream: Stream, rows: NDArray[np.float64], tmp_path: Path
) -> None:
    path = tmp_path / "fraud.onnx"
    put(path, "1")
    two = put(tmp_path / "two.onnx", "2")
    environ = {
        "SCORER_MODEL": str(path),
        "SCORER_CONTROL_TOPIC": stream.settings.control_topic,
        "SCORER_KAFKA_BOOTSTRAP_SERVERS": stream.bootstrap,
    }
    replicas = [start(stream, **environ), start(stream, **environ)]
    replicas[0].wait_assigned(2)  # again, when the second has joined
    with stream.load(endless(rows)):
        switch(environ, str(tmp_path / "two.onnx"))
        for replica in replicas:
            wait_for("the model asked for", lambda: replica.metric(SWAPPED) == 1)  # noqa: B023
        for replica in replicas:
            assert replica.stop() == 0
        again = start(stream, **environ)
        assert f"with model fraud 2 ({two[:12]})" in again.text(), "from its first record on"
        told = command("check", stream=stream, COLUMNS="300", **environ)
        assert "fraud 2 (" in told.stdout
        switch(environ, "--back")
        wait_for("the file of the settings", lambda: again.metric(SWAPPED) == 1)
    assert again.stop() == 0


def test_request_that_is_no_good_neither_stops_a_replica_nor_keeps_one_from_starting(
    stream: Stream, tmp_path: Path
) -> None:
    path = tmp_path / "fraud.onnx"
    put(path, "1")
    environ = {"SCORER_MODEL": str(path), "SCORER_CONTROL_TOPIC": stream.settings.control_topic}
    scorer = start(stream, **environ)
    producer = Producer({"bootstrap.servers": stream.bootstrap})
    producer.produce(stream.settings.control_topic, b'{"file":"\xed\xa0\xbd"}', b"model")
    assert producer.flush(30) == 0
    wait_for("a refusal", lambda: scorer.metric(REFUSED) == 1)
    again = start(stream, **environ)
    assert "request is refused, SCORER_MODEL scores" in again.text()
    told = command("check", stream=stream, COLUMNS="300", **environ)
    assert told.returncode == 1
    assert re.search(r"NO +model asked for +the control record is not", told.stdout), told.stdout
    assert scorer.stop() == again.stop() == 0


def switch(environ: dict[str, str], *arguments: str) -> None:
    """Run `stream-scorer model switch`."""
    done = subprocess.run(
        [sys.executable, "-m", "stream_scorer", "model", "switch", *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "Asked on" in done.stdout


def test_challenger_is_compared_and_never_alerts(
    stream: Stream, rows: NDArray[np.float64], tmp_path: Path
) -> None:
    eager = put(tmp_path / "eager.onnx", "eager", shift=3.0)
    scorer = start(
        stream,
        SCORER_CHALLENGER=str(tmp_path / "eager.onnx"),
        SCORER_DISAGREEMENTS_TOPIC=stream.settings.disagreements_topic,
        SCORER_DISAGREEMENTS_SAMPLE="1",
    )
    stream.send(events(rows))
    stream.wait_committed(ROWS)
    model = Model.load(SHIPPED_MODEL)
    champion = model.score(rows)[1] >= np.float32(0.8)
    challenger = Model.load(tmp_path / "eager.onnx").score(rows)[1] >= np.float32(0.8)
    wanted = {f"t{i}" for i in np.flatnonzero(champion != challenger)}
    assert len(wanted) > 5
    alerts = stream.alerts()
    assert ids(alerts) == Counter(f"t{i}" for i in np.flatnonzero(champion))
    shas = {json.loads(each.value() or b"")["model"]["sha256"] for each in alerts}
    assert shas == {model.sha256}
    found = stream.read(stream.settings.disagreements_topic)
    assert ids(found) == Counter(wanted)
    value = json.loads(found[0].value() or b"")
    assert (value["champion"]["sha256"], value["challenger"]["sha256"]) == (model.sha256, eager)
    counted = 'scorer_challenger_disagreements_total{alerts="challenger"}'
    assert scorer.metric(counted) == len(wanted)
    assert scorer.metric('scorer_challenger_difference_bucket{le="+Inf"}') == ROWS
    assert scorer.stop() == 0


def test_drift_of_a_shifted_stream_is_seen(stream: Stream, rows: NDArray[np.float64]) -> None:
    scorer = start(stream)
    shifted = rows.copy()
    shifted[:, COLUMNS.index("V14")] -= 3.0
    with stream.load(endless(shifted)):
        wait_for("drift", lambda: scorer.metric('scorer_drift_psi{feature="V14"}') > 0.25)
    assert scorer.metric('scorer_drift_psi{feature="V2"}') < 0.25
    assert scorer.stop() == 0
