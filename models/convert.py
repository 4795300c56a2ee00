"""From somebody's net, scaling and feature order to the bytes of a checked bundle."""

import importlib.metadata
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort

from models import bundle, made_up
from models.scaling import Scaling
from models.transactions import Floats
from models.typical import Typical
from models.wrap import Net, check_net, first_line, wrap
from stream_scorer.errors import BadInput

TOOLS = ("numpy", "onnx", "onnxruntime")
KERAS_TOOLS = ("keras", "tf2onnx")
SEED = 0


@dataclass(frozen=True, slots=True)
class Order:
    """What to convert and how to call it."""

    name: str
    version: str
    command: str  # what to type to get this model again
    features: Typical
    scaling: Scaling | None  # None: the net takes raw values
    gives_logit: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """A net as ONNX, and its scores by the library that it comes from."""

    file: str
    model: onnx.ModelProto
    # What the net gives, float64 (n,) or (n, columns), for its own float32 (n, features).
    predict: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float64]]
    tools: tuple[str, ...]


def keras_source(path: Path) -> Source:
    """Return a net that Keras wrote, with Keras's own scores."""
    from models.keras_file import open_keras

    opened = open_keras(path)
    return Source(path.name, opened.to_onnx(), opened.predict, (*TOOLS, *KERAS_TOOLS))


def onnx_source(path: Path) -> Source:
    """Return a net that somebody exported, with onnxruntime's scores of it as it is."""
    try:
        content = path.read_bytes()
        model = onnx.load_from_string(content)
    except OSError as exc:
        raise BadInput(f"{path}: {exc.strerror or exc}") from exc
    except Exception as exc:  # protobuf's error has no public name
        raise BadInput(f"{path} is no ONNX file: {first_line(exc)}") from exc
    net = check_net(model, name=path.name, gives_logit=False)

    def predict(scaled: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        kind = onnx.helper.tensor_dtype_to_np_dtype(net.input_type)
        session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
        (found,) = session.run([net.output], {net.input: scaled.astype(kind)})
        return np.asarray(found, dtype=np.float64)

    return Source(path.name, model, predict, TOOLS)


def convert(source: Source, order: Order) -> bytes:
    """Return the bundle: its golden rows are scored by the library that the net comes from."""
    net = check_net(source.model, name=source.file, gives_logit=order.gives_logit)
    names = order.features.names
    if len(names) != net.width:
        raise BadInput(
            f"{source.file} takes {net.width} features and {len(names)} are named "
            f"({', '.join(names)}): want the same number, in the order of training"
        )

    def probability(raw: Floats) -> Floats:
        scaled = order.scaling(raw) if order.scaling else raw.astype(np.float32)
        return to_probability(source.predict(scaled), net)

    golden = made_up.make(order.features.baseline, order.features.spread, probability, seed=SEED)
    graph = wrap(net, order.scaling, name=order.name)
    rows = order.features.rows
    scores = (
        bundle.score_histogram(graph.SerializeToString(), rows, np.ones(len(rows)))
        if len(rows)
        else {}
    )
    return bundle.pack(
        graph,
        bundle.Metadata(
            name=order.name,
            version=order.version,
            feature_names=names,
            training_data_sha256=order.features.sha256,
            baseline=order.features.baseline,
            golden=golden,
            histograms=order.features.histograms,
            score_histogram=scores,
            weightless=(),
            evaluation={},
            comparison={},
            trained_on={"converted_from": source.file, "command": order.command},
            tools={
                "python": platform.python_version(),
                **{tool: importlib.metadata.version(tool) for tool in source.tools},
            },
        ),
    )


def to_probability(found: npt.NDArray[np.float64], net: Net) -> Floats:
    """Return the probability of fraud, float64 (n,), of what the net gives."""
    column = found.reshape(len(found), -1)[:, -1]
    return (1 + np.tanh(column / 2)) / 2 if net.gives_logit else column
