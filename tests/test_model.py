"""A bundle is used only if it proves itself."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from onnx.external_data_helper import set_external_data
from onnxruntime import InferenceSession
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, RuntimeException

from stream_scorer.errors import BadInput, Unfit
from stream_scorer.model import REFUSALS, Model, score_within, warm_up
from tests.bundles import GOLDEN, NAMES, logit, metadata, probability, write_bundle


def test_good_bundle_scores_raw_rows(tiny: Model) -> None:
    rows = np.array([[0.0, 2.5, 10.0], [9.0, -1.0, 0.0]])
    got_logit, got_probability = tiny.score(rows)
    assert got_logit.dtype == got_probability.dtype == np.float32
    assert got_logit == pytest.approx(logit(rows), abs=1e-5)
    assert got_probability == pytest.approx(probability(rows), abs=1e-6)


def test_names_baseline_and_identity_come_from_the_file(tiny: Model, tiny_path: Path) -> None:
    assert tiny.feature_names == NAMES
    assert (tiny.name, tiny.version) == ("tiny", "7")
    assert tiny.sha256 == hashlib.sha256(tiny_path.read_bytes()).hexdigest()


def test_score_of_a_row_does_not_depend_on_its_batch(tiny: Model) -> None:
    rows = np.random.default_rng(0).normal(size=(500, 3))
    together = tiny.score(rows)[1]
    alone = np.concatenate([tiny.score(row[None])[1] for row in rows])
    assert np.array_equal(together, alone)


def test_pinned_file_is_taken_and_any_other_refused(tiny: Model, tiny_path: Path) -> None:
    assert Model.load(tiny_path, sha256=tiny.sha256).sha256 == tiny.sha256
    with pytest.raises(BadInput, match=f"sha256 {tiny.sha256}.*want 00"):
        Model.load(tiny_path, sha256="00" * 32)


def golden(**changes: object) -> str:
    return json.dumps(
        {"features": GOLDEN, "logit": [0] * 4, "probability": probability(GOLDEN).tolist()}
        | changes
    )


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({}, "no bundle of schema 1"),
        (metadata(bundle_schema="2"), "no bundle of schema 1"),
        (metadata(feature_names=None), "no usable 'feature_names'"),
        (metadata(feature_names="["), "no usable 'feature_names'"),
        (metadata(feature_names=json.dumps(["a", "a", "b"])), "must be different"),
        (metadata(feature_names=json.dumps(["a", "b"])), "takes 3 features, names 2"),
        (metadata(baseline="[0, 0]"), "baseline of 2"),
        (metadata(baseline="[0, 0, NaN]"), "not finite"),
        (metadata(golden=None), "no usable 'golden'"),
        (metadata(golden='{"features": [], "probability": []}'), "golden rows have shape"),
        (metadata(golden=golden(probability=[0.1, 0.2, 0.3, 0.4])), "scores golden row"),
        (
            metadata(golden=golden(features=[[c, b, a] for a, b, c in GOLDEN])),
            "scores golden row",
        ),
    ],
)
def test_bundle_that_contradicts_itself_is_refused(
    tmp_path: Path, entries: dict[str, str], says: str
) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        Model.load(write_bundle(tmp_path / "wrong.onnx", entries))
    assert "wrong.onnx" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_model_of_a_later_operator_set_is_refused(tmp_path: Path, tiny_path: Path) -> None:
    model = onnx.load(tiny_path)
    model.opset_import[0].version = 99
    path = tmp_path / "later.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(BadInput, match=r"later\.onnx.*99") as caught:
        Model.load(path)
    assert "\n" not in str(caught.value)


def test_lost_scaling_is_refused(tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "unscaled.onnx", weights=(0.0, 2.0, 0.0001))
    with pytest.raises(BadInput, match="scores golden row"):
        Model.load(path)


def test_weight_that_is_not_a_number_is_refused(tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "nan.onnx", weights=(0.0, float("nan"), 0.01))
    with pytest.raises(BadInput, match="scores golden row 0 as nan"):
        Model.load(path)


def test_weights_in_another_file_are_refused_wherever_that_lies(
    tmp_path: Path, tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = onnx.load(tiny_path)
    weights = next(each for each in model.graph.initializer if each.name == "weights")
    (tmp_path / "weights.bin").write_bytes(weights.raw_data)
    set_external_data(weights, "weights.bin", offset=0, length=len(weights.raw_data))
    weights.ClearField("raw_data")
    path = tmp_path / "apart.onnx"
    path.write_bytes(model.SerializeToString())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=r"apart\.onnx cannot be opened: .*[Ee]xternal data"):
        Model.load(path)


def test_text_that_is_not_utf8_is_refused(tmp_path: Path, tiny_path: Path) -> None:
    path = tmp_path / "odd.onnx"
    path.write_bytes(tiny_path.read_bytes().replace(b"tiny", b"ti\xff\xff"))
    with pytest.raises(BadInput, match=r"odd\.onnx"):
        Model.load(path)


def test_graph_that_never_ends_is_given_up(tiny: Model, tiny_path: Path) -> None:
    model = onnx.load(tiny_path)
    for node in model.graph.node:
        node.output[:] = ["once" if name == "logit" else name for name in node.output]
        node.input[:] = ["once" if name == "logit" else name for name in node.input]
    value = onnx.helper.make_tensor_value_info
    body = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Identity", ["go on"], ["on"]),
            onnx.helper.make_node("Identity", ["x"], ["same"]),
        ],
        "body",
        [
            value("i", TensorProto.INT64, []),
            value("go on", TensorProto.BOOL, []),
            value("x", TensorProto.FLOAT, None),
        ],
        [value("on", TensorProto.BOOL, []), value("same", TensorProto.FLOAT, None)],
    )
    trips = onnx.numpy_helper.from_array(np.array(10**15), "trips")
    model.graph.initializer.extend(
        [trips, onnx.numpy_helper.from_array(np.array(1, dtype=bool), "yes")]
    )
    loop = onnx.helper.make_node("Loop", ["trips", "yes", "once"], ["logit"], body=body)
    model.graph.node.append(loop)
    endless = replace(tiny, session=InferenceSession(model.SerializeToString()))
    with pytest.raises(Exception, match="terminate"):
        score_within(0.1, endless, np.array(GOLDEN))


def test_wrong_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="want features"):
        Model.load(write_bundle(tmp_path / "a.onnx", input_name="x"))
    with pytest.raises(BadInput, match="want features"):
        Model.load(write_bundle(tmp_path / "b.onnx", input_type=TensorProto.FLOAT))


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x09"])
def test_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"broken\.onnx"):
        Model.load(path)


def test_truncated_file_is_refused(tmp_path: Path, tiny_path: Path) -> None:
    path = tmp_path / "short.onnx"
    path.write_bytes(tiny_path.read_bytes()[:-40])
    with pytest.raises(BadInput, match=r"short\.onnx"):
        Model.load(path)


def test_missing_file_says_which_setting_to_mend(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"No such file.*SCORER_MODEL"):
        Model.load(tmp_path / "none.onnx", setting="SCORER_MODEL")


def test_a_changed_list_of_names_is_told_by_the_golden_rows(tmp_path: Path) -> None:
    golden = {**json.loads(metadata()["golden"]), "names": ["V1", "Time", "Amount"]}
    path = write_bundle(tmp_path / "m.onnx", metadata(golden=json.dumps(golden)))
    with pytest.raises(BadInput, match="golden rows have V1, Time, Amount"):
        Model.load(path)


@pytest.mark.parametrize(
    "entries",
    [
        {"feature_names": "5"},
        {"baseline": '["a"]'},
        {"golden": "null"},
        {"golden": "{}"},
        {"golden": "[" * 200_000},
        {"histograms": "[1]"},
        {"histograms": '{"V1": {"edges": [1, 0], "counts": [1]}}'},
        {"histograms": '{"V1": {"edges": [0, 1], "counts": []}}'},
        {"score_histogram": '{"edges": [0, 1]}'},
        {"score_histogram": "{"},
    ],
)
def test_metadata_of_another_shape_is_one_line(tmp_path: Path, entries: dict[str, str]) -> None:
    path = write_bundle(tmp_path / "m.onnx", metadata(**entries))
    with pytest.raises(BadInput, match="metadata"):
        Model.load(path)


def test_batch_of_one_size_only_is_refused(tmp_path: Path) -> None:
    model = onnx.load(write_bundle(tmp_path / "m.onnx"))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 4
    (tmp_path / "fixed.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(BadInput, match="takes 4 rows at a time: want any number"):
        Model.load(tmp_path / "fixed.onnx")


def test_batch_that_a_model_cannot_score_is_named(tiny: Model) -> None:
    class Narrow:
        def run(self, _: object, feed: dict[str, NDArray[np.float64]]) -> list[NDArray[np.float32]]:
            if len(feed["features"]) > 3:
                raise RuntimeError("no memory\nat all")
            return [np.zeros(len(feed["features"]), dtype=np.float32)] * 2

    with pytest.raises(BadInput, match=r"cannot score 512 rows at once: no memory$"):
        warm_up(replace(tiny, session=Narrow()), 512)


def test_name_that_would_forge_a_line_of_the_log_is_refused(tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "m.onnx", metadata(version="1\n2026 INFO all is well"))
    with pytest.raises(BadInput, match="control characters"):
        Model.load(path)


def test_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput, match="no regular file"):
        Model.load(tmp_path / "pipe")


class Refusing:
    """A session that fails as it is told to, and scores everything else as 0."""

    def __init__(self, fails: Callable[[NDArray[np.float64]], bool], error: Exception) -> None:
        self.fails, self.error, self.calls = fails, error, 0

    def run(self, _: object, feed: dict[str, NDArray[np.float64]]) -> list[NDArray[np.float32]]:
        self.calls += 1
        if self.fails(feed["features"]):
            raise self.error
        return [np.zeros(len(feed["features"]), dtype=np.float32)] * 2


def refusing(
    tiny: Model, fails: Callable[[NDArray[np.float64]], bool], error: Exception
) -> tuple[Model, Refusing]:
    session = Refusing(fails, error)
    return replace(tiny, session=session), session


def rows_of(count: int, *, bad: Sequence[int] = ()) -> NDArray[np.float64]:
    matrix = np.zeros((count, 3))
    matrix[list(bad)] = 7.0
    return matrix


def has_bad(matrix: NDArray[np.float64]) -> bool:
    return bool((matrix == 7.0).any())


@pytest.mark.parametrize("error", REFUSALS)
def test_row_that_the_model_does_not_take_has_no_score(tiny: Model, error: type[Exception]) -> None:
    model, session = refusing(tiny, has_bad, error("not that one"))
    logit, probability = model.score(rows_of(1024, bad=[700]))
    assert np.flatnonzero(np.isnan(logit)).tolist() == [700]
    assert np.flatnonzero(np.isnan(probability)).tolist() == [700]
    assert session.calls <= 2 * 10 + 1, "halves, not rows"


def test_batch_that_no_single_row_explains_is_one_line(tiny: Model) -> None:
    model, _ = refusing(tiny, lambda matrix: len(matrix) > 1, Fail("one\nat a time"))
    with pytest.raises(
        Unfit, match=r"tiny 7 cannot score 2 rows at once, but each of them alone: one$"
    ):
        model.score(rows_of(4))


NO_MEMORY = RuntimeException("Failed to allocate memory for requested buffer of size 40000000000")


@pytest.mark.parametrize("rows", [1, 4])
def test_memory_that_is_short_is_no_rows_fault(tiny: Model, rows: int) -> None:
    model, _ = refusing(tiny, lambda _: True, NO_MEMORY)
    with pytest.raises(Unfit, match="cannot score one row: Failed to allocate memory"):
        model.score(rows_of(rows))


def test_row_that_asks_for_too_much_memory_has_no_score(tiny: Model) -> None:
    model, _ = refusing(tiny, has_bad, NO_MEMORY)
    logit, _ = model.score(rows_of(8, bad=[5]))
    assert np.flatnonzero(np.isnan(logit)).tolist() == [5]


def test_batch_that_asks_for_too_much_memory_is_one_line(tiny: Model) -> None:
    model, _ = refusing(tiny, lambda matrix: len(matrix) > 2, NO_MEMORY)
    with pytest.raises(Unfit, match=r"cannot score 4 rows at once, but each of them alone: Failed"):
        model.score(rows_of(4))
