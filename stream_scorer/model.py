"""The model bundle: one ONNX file that carries its scaling, its names and the proof of both."""

import hashlib
import json
import os
import stat
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as onnx_errors

from stream_scorer.errors import BadInput, Unfit
from stream_scorer.records import Matrix, Vector

BUNDLE_SCHEMA = "1"
EXTERNAL_WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"
# Across kinds of processor; on one machine scores are identical (onnxruntime 1.32, measured).
TOLERANCE = 1e-6
# Seconds. A loop in a graph may never end; golden rows take microseconds.
GOLDEN_S = 10.0
# A bundle of 30 features and 160 units is 60 kB; a file beyond this is not one of ours.
LARGEST_FILE_BYTES = 256 * 1024 * 1024
onnxruntime.disable_telemetry_events()  # a bank's scorer tells nobody anything
# What onnxruntime raises of a row that the model does not take, or a batch that has such a row: an
# index beyond a table, an unknown category, a division by zero, a shape that depends on the data.
REFUSALS = (
    onnx_errors.InvalidArgument,
    onnx_errors.Fail,
    onnx_errors.RuntimeException,
    onnx_errors.NotImplemented,
    onnx_errors.EPFail,
)
# What an error says if memory is short: a row may ask for too much, or it is no row's fault.
MEMORY_IS_SHORT = ("allocate memory", "bad_alloc", "bad allocation")
ONNX_FLOAT64, ONNX_FLOAT32 = "tensor(double)", "tensor(float)"


Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often each bin's values occurred in training."""

    edges: NDArray[np.float64]  # (bins + 1,) ascending; a bin holds its lower edge
    counts: Counts  # (bins,)

    def count(self, values: NDArray[np.floating[Any]]) -> Counts:
        """Return how many values (n,) are in each bin; those beyond the ends are in the last."""
        places = np.searchsorted(self.edges[1:-1], values, side="right")
        return np.bincount(places, minlength=len(self.counts))


@dataclass(frozen=True, slots=True)
class Model:
    """A checked model, ready to score."""

    name: str
    version: str
    sha256: str  # of the file's bytes: the model's identity
    feature_names: tuple[str, ...]
    baseline: Matrix  # (features,): the median genuine transaction, raw values
    session: onnxruntime.InferenceSession
    histograms: Mapping[str, Histogram]  # of training, by feature; of those that count only
    score_histogram: Histogram | None  # of the logit

    @classmethod
    def load(cls, path: Path, *, sha256: str = "", setting: str = "") -> "Model":
        """Read the file once, check it, score its golden rows; raise BadInput if anything is off.

        `sha256` pins the file. The bytes that are hashed are the bytes that are run. `setting` is
        what a person sets to name another file.
        """
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
                raise BadInput(f"model {str(path)!r} is no regular file")
            size = status.st_size
            content = path.read_bytes() if size <= LARGEST_FILE_BYTES else b""
        except OSError as exc:
            hint = f"; see {setting}" if setting else ""
            raise BadInput(f"model {str(path)!r}: {exc.strerror}{hint}") from exc
        if size > LARGEST_FILE_BYTES:
            raise BadInput(f"model {path} has {size} bytes: want at most {LARGEST_FILE_BYTES}")
        found = hashlib.sha256(content).hexdigest()
        if sha256 and found != sha256:
            raise BadInput(f"model {path} has sha256 {found}: want {sha256}, which it is pinned to")
        return cls.of(content, path)

    @classmethod
    def of(cls, content: bytes, path: Path) -> "Model":
        """Check the bytes of a file, score its golden rows; raise BadInput if anything is off."""
        try:
            session = open_session(path, content)
            metadata = session.get_modelmeta().custom_metadata_map
        except UnicodeDecodeError as exc:
            raise BadInput(f"model {path} has a name or a text that is not UTF-8") from exc
        if metadata.get("bundle_schema") != BUNDLE_SCHEMA:
            raise BadInput(
                f"model {path} is no bundle of schema {BUNDLE_SCHEMA}: it has no feature names and "
                "golden rows; make one with `stream-scorer model train`"
            )
        try:
            model = cls(
                name=metadata.get("name", ""),
                version=metadata.get("version", ""),
                sha256=hashlib.sha256(content).hexdigest(),
                feature_names=tuple(read_json(path, metadata, "feature_names")),
                baseline=np.asarray(read_json(path, metadata, "baseline"), dtype=np.float64),
                session=session,
                histograms=read_histograms(path, metadata),
                score_histogram=read_histogram(metadata.get("score_histogram")),
            )
            check_shape(path, model)
            check_golden_rows(path, model, read_json(path, metadata, "golden"))
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as exc:
            raise BadInput(
                f"model {path} has metadata of another shape than a bundle's: {exc}"
            ) from exc
        return model

    def score(self, matrix: Matrix) -> tuple[Vector, Vector]:
        """Return logit and probability, float32 (rows,), of raw float64 (rows, features).

        NaN for a row that the model does not take, as one whose category it never saw. Raises Unfit
        if memory is short for any row, or if the model takes each row but not all of them at once.
        """
        try:
            return self.run(matrix)
        except REFUSALS as exc:
            return self._without_refused(matrix, exc)

    def _without_refused(self, matrix: Matrix, error: Exception) -> tuple[Vector, Vector]:
        """Return logit and probability of rows that failed together; NaN where one is refused.

        The half without a refused row is scored in one call, so one such row among n costs about
        2 log2(n) calls.
        """
        rows = len(matrix)
        why = first_line(error)
        if rows == 1:
            if any(text in str(error) for text in MEMORY_IS_SHORT) and not self._scores_baseline():
                raise Unfit(f"model {self.name} {self.version} cannot score one row: {why}")
            return np.full(1, np.nan, np.float32), np.full(1, np.nan, np.float32)
        parts, refused = [], False
        for half in np.array_split(matrix, 2):
            try:
                parts.append(self.run(half))
            except REFUSALS as exc:
                parts.append(self._without_refused(half, exc))
                refused = True
        if not refused:
            raise Unfit(
                f"model {self.name} {self.version} cannot score {rows} rows at once, but each of "
                f"them alone: {why}"
            )
        logits, probabilities = zip(*parts, strict=True)
        return np.concatenate(logits), np.concatenate(probabilities)

    def _scores_baseline(self) -> bool:
        """Tell whether the typical row is scored now: then memory is not short for every row."""
        try:
            self.run(self.baseline[np.newaxis])
        except REFUSALS:
            return False
        return True

    def run(self, matrix: Matrix) -> tuple[Vector, Vector]:
        """Return the same of rows that the model takes; raises one of REFUSALS where it does not.

        A model whose output depends on its rows may leave some out without an error.
        """
        logit, probability = self.session.run(["logit", "probability"], {"features": matrix})
        if not len(logit) == len(probability) == len(matrix):
            raise onnx_errors.Fail(
                f"{len(matrix)} rows gave {len(logit)} logits and {len(probability)} probabilities"
            )
        return logit, probability


def score_within(seconds: float, model: Model, matrix: Matrix) -> tuple[Vector, Vector]:
    """Score as `Model.score` does; onnxruntime raises if that takes longer."""
    options = onnxruntime.RunOptions()
    timer = threading.Timer(seconds, setattr, (options, "terminate", True))
    timer.start()
    try:
        logit, probability = model.session.run(
            ["logit", "probability"], {"features": matrix}, options
        )
    finally:
        timer.cancel()
    return logit, probability


def first_line(error: Exception) -> str:
    """Return the first line of an error of onnxruntime's, or its name where it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def warm_up(model: Model, rows: int) -> None:
    """Score the batch shapes to come: the first call of a shape allocates in onnxruntime.

    Raises BadInput if the model cannot score one of them.
    """
    for count in (1, len(model.feature_names), rows):
        try:
            model.run(np.tile(model.baseline, (count, 1)))
        except Exception as exc:  # onnxruntime's errors have no base class but this
            raise BadInput(
                f"model {model.name} {model.version} cannot score {count} rows at once: "
                f"{first_line(exc)}"
            ) from exc


def open_session(path: Path, content: bytes) -> onnxruntime.InferenceSession:
    """Open the bytes with one thread and check that inputs and outputs are the contract's.

    One thread: the default pool spins, 1.19 cores for a call every 5 ms against 0.19; more speed
    comes from more processes.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Weights in another file are not part of what is hashed: let there be no folder to look in.
    options.add_session_config_entry(EXTERNAL_WEIGHTS_FOLDER, os.devnull)
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # onnxruntime's errors have no base class but this
        raise BadInput(f"model {path} cannot be opened: {first_line(exc)}") from exc
    inputs = {each.name: each.type for each in session.get_inputs()}
    outputs = {each.name: each.type for each in session.get_outputs()}
    if inputs != {"features": ONNX_FLOAT64}:
        raise BadInput(f"model {path} has inputs {inputs}: want features, {ONNX_FLOAT64}")
    if outputs != {"logit": ONNX_FLOAT32, "probability": ONNX_FLOAT32}:
        raise BadInput(
            f"model {path} has outputs {outputs}: want logit and probability, {ONNX_FLOAT32}"
        )
    return session


def read_json(path: Path, metadata: dict[str, str], key: str) -> Any:  # noqa: ANN401 - JSON
    """Return one decoded entry of the bundle's metadata."""
    try:
        return json.loads(metadata[key])
    except (KeyError, json.JSONDecodeError, RecursionError) as exc:
        raise BadInput(f"model {path} has no usable {key!r} in its metadata") from exc


def read_histograms(path: Path, metadata: dict[str, str]) -> dict[str, Histogram]:
    """Return the histograms of the features that weigh something; none where there are none."""
    if "histograms" not in metadata:
        return {}
    weightless = json.loads(metadata.get("weightless", "[]"))
    return {
        name: to_histogram(entry)
        for name, entry in dict(read_json(path, metadata, "histograms")).items()
        if name not in weightless
    }


def read_histogram(text: str | None) -> Histogram | None:
    """Return one histogram of the metadata, if it is there."""
    return to_histogram(json.loads(text)) if text else None


def to_histogram(entry: Mapping[str, Any]) -> Histogram:
    """Check and return a histogram; raise ValueError if it is none."""
    edges = np.asarray(entry["edges"], dtype=np.float64)
    counts = np.asarray(entry["counts"], dtype=np.int64)
    if (counts < 0).any():
        raise ValueError("a histogram's counts must not be negative")
    if len(counts) < 1 or edges.shape != (len(counts) + 1,) or not (np.diff(edges) > 0).all():
        raise ValueError("a histogram's edges must ascend and be one more than its counts")
    return Histogram(edges, counts)


def check_shape(path: Path, model: Model) -> None:
    """Raise BadInput unless names, baseline and input agree on the number of features."""
    names, width = model.feature_names, model.session.get_inputs()[0].shape[-1]
    if len(set(names)) != len(names) or not all(isinstance(n, str) and n for n in names):
        raise BadInput(f"model {path}: feature names must be different, non-empty strings")
    if not len(names) == width == model.baseline.size:
        raise BadInput(
            f"model {path} takes {width} features, names {len(names)} and has a baseline of "
            f"{model.baseline.size}: want the same number"
        )
    if not f"{model.name}{model.version}".isprintable():
        raise BadInput(f"model {path} has a name or version with control characters in it")
    rows = model.session.get_inputs()[0].shape[0]
    if isinstance(rows, int):
        raise BadInput(f"model {path} takes {rows} rows at a time: want any number (batch)")
    if not np.isfinite(model.baseline).all():
        raise BadInput(f"model {path}: the baseline row holds a value that is not finite")


def check_golden_rows(path: Path, model: Model, golden: dict[str, Any]) -> None:
    """Raise BadInput unless the model gives its golden rows the probabilities written beside them.

    The probabilities were computed where the model was trained, so that a wrong column order or a
    lost scaling cannot pass.
    """
    expected = np.asarray(golden["probability"], dtype=np.float64)
    matrix = np.asarray(golden["features"], dtype=np.float64)
    if not len(expected) or matrix.shape != (len(expected), len(model.feature_names)):
        raise BadInput(f"model {path}: golden rows have shape {matrix.shape}")
    if tuple(golden.get("names", model.feature_names)) != model.feature_names:
        raise BadInput(
            f"model {path} names its features {', '.join(model.feature_names)}, but its golden "
            f"rows have {', '.join(map(str, golden['names']))}: want the same order"
        )
    try:
        logit, probability = score_within(GOLDEN_S, model, matrix)
        alone = score_within(GOLDEN_S, model, matrix[:1])[1]
    except Exception as exc:  # onnxruntime's errors have no base class but this
        raise BadInput(f"model {path} cannot score: {first_line(exc)}") from exc
    if logit.shape != expected.shape or probability.shape != expected.shape:
        raise BadInput(f"model {path} gives shape {probability.shape}: want {expected.shape}")
    off = np.abs(probability - expected)
    worst = int(np.argmax(np.where(np.isfinite(off), off, np.inf)))
    if not off[worst] <= TOLERANCE:
        raise BadInput(
            f"model {path} scores golden row {worst} as {probability[worst]:.7g}: "
            f"want {expected[worst]:.7g} within {TOLERANCE:g}"
        )
    if alone.shape != (1,) or not abs(alone[0] - probability[0]) <= TOLERANCE:
        raise BadInput(f"model {path} scores a row otherwise when it is alone")
