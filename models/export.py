"""Write the nets as one ONNX graph: scaling, five nets side by side as one, calibration."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt
import onnx
import tensorflow as tf
import tf2onnx

from models.calibration import Platt
from models.scaling import Scaling

# The newest that tf2onnx writes.
OPSET = 18
INPUT = "features"

Weights = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Folded:
    """One net with one hidden layer that does what the joined nets do.

    `hidden` float32 (features, units), `hidden_bias` (units,), `output` (units, 1),
    `output_bias` (1,). A feature that is left out has a row of zeros.
    """

    hidden: Weights
    hidden_bias: Weights
    output: Weights
    output_bias: Weights


def fold(nets: Sequence[keras.Sequential], platt: Platt, *, used: npt.NDArray[np.bool_]) -> Folded:
    """Fold normalisation, mean and calibration into the kernels; `used` bool (features,).

    In float64, rounded once at the end: exact to 3e-7 of the probability.
    """
    hidden, hidden_bias, output, output_bias = [], [], [], []
    for net in nets:
        gamma, beta, mean, variance = (
            w.astype(np.float64) for w in net.get_layer("norm").get_weights()
        )
        gain = gamma / np.sqrt(variance + net.get_layer("norm").epsilon)
        kernel = np.zeros((len(used), len(gain)))
        kernel[used] = net.get_layer("hidden").get_weights()[0]
        last_kernel, last_bias = net.get_layer("logit").get_weights()
        hidden.append(kernel * gain)
        hidden_bias.append(beta - mean * gain)
        output.append(last_kernel.astype(np.float64) * platt.slope / len(nets))
        output_bias.append(last_bias.astype(np.float64) * platt.slope / len(nets))
    return Folded(
        np.hstack(hidden).astype(np.float32),
        np.hstack(hidden_bias).astype(np.float32),
        np.vstack(output).astype(np.float32),
        (np.sum(output_bias, axis=0) + platt.offset).astype(np.float32),
    )


def to_onnx(scaling: Scaling, net: Folded, *, name: str) -> onnx.ModelProto:
    """Return the graph from raw `features` float64 (batch, n) to `logit` and `probability`.

    Numpy arrays only inside: a TensorFlow constant made outside would become a second input. No
    slice and no squeeze: the converter names the constants of a slice at random.
    """

    def score(features: tf.Tensor) -> dict[str, tf.Tensor]:
        scaled = tf.cast((features - scaling.centre) * scaling.factor, tf.float32)
        clipped = tf.clip_by_value(scaled, -scaling.clip, scaling.clip)
        units = tf.nn.relu(tf.matmul(clipped, net.hidden) + net.hidden_bias)
        logit = tf.reshape(tf.matmul(units, net.output) + net.output_bias, [-1])
        return {
            "logit": tf.identity(logit, "logit"),
            "probability": tf.identity(tf.sigmoid(logit), "probability"),
        }

    signature = [tf.TensorSpec((None, len(scaling.centre)), tf.float64, name=INPUT)]
    model: onnx.ModelProto
    model, _ = tf2onnx.convert.from_function(
        tf.function(score, input_signature=signature), input_signature=signature, opset=OPSET
    )
    _tidy(model.graph, name=name)
    return model


def _tidy(graph: onnx.GraphProto, *, name: str) -> None:
    """Give every part a name that depends on nothing but the graph, and name the batch dimension.

    The converter's names count what the process did before, so equal nets gave unequal files.
    """
    graph.name = name
    graph.doc_string = ""
    del graph.value_info[:]
    outside = {value.name for value in (*graph.input, *graph.output)}
    constants = {constant.name for constant in graph.initializer}
    new_names = {kept: kept for kept in outside}
    for position, node in enumerate(graph.node):
        node.name = f"{position:02}_{node.op_type}"
        for index, old in enumerate(node.input):
            if old in constants:
                new_names.setdefault(old, f"{node.name}_constant")
            node.input[index] = new_names[old]
        for index, old in enumerate(node.output):
            node.output[index] = new_names.setdefault(old, f"{node.name}_result")
    for constant in graph.initializer:
        constant.name = new_names[constant.name]
    ordered = sorted(graph.initializer, key=lambda constant: constant.name)
    del graph.initializer[:]
    graph.initializer.extend(ordered)
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
