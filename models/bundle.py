"""The bundle: an ONNX graph with the metadata that lets a stranger trust and serve it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort

from models import profile
from models.transactions import Floats
from stream_scorer.errors import BadInput, ScorerError

SCHEMA = "1"
# Largest difference in probability between the file and what it was made from. Float32 and another
# processor's order of additions make 3e-7 of it; a wrong column or scale makes far more.
TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Golden:
    """Rows whose scores are known; row i of each. `features` float64 (n, k) raw, the others (n,).

    The scores are those of the library that made the model, not of onnxruntime: they would not
    tell a wrong export otherwise.
    """

    features: Floats
    logit: Floats
    probability: Floats


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the file says of itself. `baseline` float64 (k,) in the order of `feature_names`."""

    name: str
    version: str
    feature_names: Sequence[str]
    training_data_sha256: str
    baseline: Floats
    golden: Golden
    histograms: Mapping[str, Mapping[str, Sequence[float]]]
    # Of the logit on the training rows; empty where there were none.
    score_histogram: Mapping[str, Sequence[float]]
    # Features that are read and change no score: nobody need watch them.
    weightless: Sequence[str]
    evaluation: Mapping[str, object]
    # With other kinds of model on the same data; empty where none was given.
    comparison: Mapping[str, object]
    trained_on: Mapping[str, object]
    tools: Mapping[str, str]

    def texts(self) -> dict[str, str]:
        """Return the entries as the file holds them: plain text or JSON."""
        return {
            "bundle_schema": SCHEMA,
            "name": self.name,
            "version": self.version,
            "feature_names": _json(list(self.feature_names)),
            "training_data_sha256": self.training_data_sha256,
            "baseline": _json(self.baseline.tolist()),
            "golden": _json(
                {
                    # Again: whoever changes the one list of names is told by the other.
                    "names": list(self.feature_names),
                    "features": self.golden.features.tolist(),
                    "logit": self.golden.logit.tolist(),
                    "probability": self.golden.probability.tolist(),
                }
            ),
            "histograms": _json(self.histograms),
            **({"score_histogram": _json(self.score_histogram)} if self.score_histogram else {}),
            "weightless": _json(list(self.weightless)),
            "evaluation": _json(self.evaluation),
            **({"comparison": _json(self.comparison)} if self.comparison else {}),
            "trained_on": _json(self.trained_on),
            "tools": _json(self.tools),
        }


def pack(model: onnx.ModelProto, metadata: Metadata) -> bytes:
    """Return the bundle's bytes: `model` with `metadata`, checked as a file and on its golden rows.

    `model` itself is not changed.
    """
    bundled = onnx.ModelProto()
    bundled.CopyFrom(model)
    onnx.helper.set_model_props(bundled, metadata.texts())
    onnx.checker.check_model(bundled, full_check=True)
    content: bytes = bundled.SerializeToString(deterministic=True)
    golden = metadata.golden
    check_parity(golden.probability, score(content, golden.features)[1], rows="golden rows")
    return content


def check_parity(wanted: Floats, found: npt.NDArray[np.float32], *, rows: str) -> float:
    """Return the largest difference in probability between two (n,); raise if beyond TOLERANCE."""
    largest = float(np.abs(wanted - found).max())
    if not largest <= TOLERANCE:  # written so that NaN fails
        raise ScorerError(
            f"the exported file differs from the model that it was made from by {largest:.2g} in "
            f"probability on the {rows}; want at most {TOLERANCE:g}: nothing was written"
        )
    return largest


def score(
    content: bytes, features: Floats
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return logit and probability, float32 (n,) each, of raw `features` float64 (n, k)."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    # By name: unnamed outputs come sorted by name.
    logit, probability = session.run(["logit", "probability"], {"features": features})
    return logit, probability


def score_histogram(content: bytes, features: Floats, weights: Floats) -> profile.Histogram:
    """Return the histogram of the logit on raw rows (n, k), for who watches the scores drift."""
    logit, _ = score(content, features)
    return profile.histogram(logit.astype(np.float64), weights)


def metadata_texts(content: bytes) -> dict[str, str]:
    """Return the metadata entries of a bundle's bytes."""
    return {entry.key: entry.value for entry in onnx.load_from_string(content).metadata_props}


def sha256(content: bytes) -> str:
    """Return the model's identity: the hex digest of the file's bytes."""
    return hashlib.sha256(content).hexdigest()


def write(path: Path, content: bytes) -> None:
    """Put `content` at `path`, whole or not at all: a reader never sees half a file."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError as exc:
        unfinished.unlink(missing_ok=True)
        raise BadInput(f"cannot write {path}: {exc.strerror or exc}") from exc


def _json(value: object) -> str:
    # No NaN: it is no JSON, and a figure that is not a number must not pass for one.
    return json.dumps(value, allow_nan=False)
