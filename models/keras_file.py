"""Open what Keras wrote (.keras, .h5, a SavedModel folder): its ONNX graph and its own scores."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import onnx
import tensorflow as tf
import tf2onnx
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

from models.export import OPSET
from models.wrap import first_line
from stream_scorer.errors import BadInput

logging.getLogger("tf2onnx").setLevel(logging.ERROR)

# What the net gives, float64 (n,) or (n, 2), for its own float32 (n, features).
Predict = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class KerasNet:
    """A net and the library that made it."""

    width: int  # features
    predict: Predict
    call: Callable[[tf.Tensor], tf.Tensor]  # float32 (batch, width) -> one tensor

    def to_onnx(self) -> onnx.ModelProto:
        """Return the graph as tf2onnx writes it; operators that it does not know are in it too.

        Frozen first: what a Normalization layer has learnt would else become further inputs.
        """
        signature = [tf.TensorSpec((None, self.width), tf.float32, name="input")]
        function = tf.function(self.call, input_signature=signature, autograph=False)
        model: onnx.ModelProto
        try:
            frozen = convert_variables_to_constants_v2(function.get_concrete_function())
            model, _ = tf2onnx.convert.from_graph_def(
                frozen.graph.as_graph_def(),
                input_names=[each.name for each in frozen.inputs],
                output_names=[each.name for each in frozen.outputs],
                opset=OPSET,
                custom_op_handlers={"Erfc": (write_erfc, [])},
            )
        # tf2onnx raises whatever comes up in the converter of one operator.
        except Exception as exc:
            raise BadInput(f"tf2onnx cannot convert the net: {first_line(exc)}") from exc
        return model


def write_erfc(context: Any, node: Any, name: str, _: object) -> None:  # noqa: ANN401 - tf2onnx's
    """Write Keras's gelu: 1 - erf(x) for erfc(x), which neither tf2onnx nor ONNX has."""
    shapes, dtypes = node.output_shapes, node.output_dtypes
    context.remove_node(name)
    erf = context.make_node("Erf", node.input)
    one = context.make_const(f"{name}_one", np.array(1, dtype=np.float32))
    inputs = [one.output[0], erf.output[0]]
    context.make_node("Sub", inputs, outputs=node.output, shapes=shapes, dtypes=dtypes)


def open_keras(path: Path) -> KerasNet:
    """Return the net of a file or folder; raise BadInput that says what is wrong with it."""
    if not path.exists():
        raise BadInput(f"{path}: no such file or folder")
    if path.is_dir():
        return open_saved_model(path)
    if path.suffix.lower() not in {".keras", ".h5", ".hdf5"}:
        raise BadInput(
            f"{path}: want a .keras or .h5 file or a SavedModel folder (--onnx for ONNX)"
        )
    try:
        # A Lambda layer is a program in the file: Keras refuses it in its safe mode.
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    # Keras raises whatever the reading of a layer meets.
    except Exception as exc:
        raise BadInput(f"{path} cannot be opened by Keras: {first_line(exc)}") from exc
    shapes = model.input_shape if isinstance(model.input_shape, list) else [model.input_shape]
    outputs = model.output_shape if isinstance(model.output_shape, list) else [model.output_shape]
    width = check_shapes(path, shapes, outputs)

    def call(scaled: tf.Tensor) -> tf.Tensor:
        return model(scaled, training=False)

    def predict(scaled: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        found: npt.NDArray[np.float64] = np.asarray(
            model.predict(scaled, verbose=0, batch_size=1024), dtype=np.float64
        )
        return found

    return KerasNet(width, predict, call)


def open_saved_model(path: Path) -> KerasNet:
    """Return the net of a SavedModel, by its serving signature."""
    try:
        loaded = tf.saved_model.load(str(path))
    except (OSError, ValueError, LookupError) as exc:
        raise BadInput(f"{path} is no SavedModel: {first_line(exc)}") from exc
    if not loaded.signatures:
        raise BadInput(f"{path} has no serving signature: write it with model.export(folder)")
    key = "serving_default" if "serving_default" in loaded.signatures else min(loaded.signatures)
    signature = loaded.signatures[key]
    _, inputs = signature.structured_input_signature
    outputs = signature.structured_outputs
    width = check_shapes(
        path,
        [tuple(each.shape) for each in inputs.values()],
        [tuple(each.shape) for each in outputs.values()],
    )
    (entry,), (output,) = inputs, outputs

    def call(scaled: tf.Tensor) -> tf.Tensor:
        # Not `signature`: its variables live as long as what was loaded.
        return loaded.signatures[key](**{entry: tf.cast(scaled, inputs[entry].dtype)})[output]

    def predict(scaled: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        found: npt.NDArray[np.float64] = call(tf.constant(scaled)).numpy().astype(np.float64)
        return found

    return KerasNet(width, predict, call)


def check_shapes(path: Path, inputs: list[object], outputs: list[object]) -> int:
    """Return the number of features; raise BadInput unless (rows, features) go to one output."""
    if len(inputs) != 1 or len(outputs) != 1:
        raise BadInput(
            f"{path} has {len(inputs)} inputs and {len(outputs)} outputs: want one of each"
        )
    (given,), (made,) = inputs, outputs
    if not isinstance(given, tuple) or len(given) != 2 or not given[1]:  # noqa: PLR2004
        raise BadInput(f"{path} takes {given}: want (rows, features)")
    if not isinstance(made, tuple) or len(made) not in {1, 2} or made[-1] not in {1, 2, None}:
        raise BadInput(f"{path} gives {made}: want (rows, 1), or (rows, 2) for genuine and fraud")
    return int(given[1])
