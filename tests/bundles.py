"""Makes small model bundles for tests: a linear model whose every score is known by hand."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

NAMES = ("Time", "V1", "Amount")
WEIGHTS = (0.0, 2.0, 0.01)
BIAS = -3.0
BASELINE = (0.0, 0.0, 20.0)
GOLDEN = ((0.0, 0.0, 20.0), (10.0, 3.0, 0.0), (0.0, 2.2, 0.0), (5.0, -4.0, 900.0))


def logit(rows: Any) -> NDArray[np.float32]:
    """Return the linear model's logit, float32 (rows,)."""
    matrix = np.asarray(rows, dtype=np.float64).astype(np.float32)
    weighted: NDArray[np.float32] = matrix @ np.array(WEIGHTS, dtype=np.float32) + np.float32(BIAS)
    return weighted


def probability(rows: Any) -> NDArray[np.float64]:
    """Return its probability, float64 (rows,)."""
    return 1 / (1 + np.exp(-logit(rows).astype(np.float64)))


def metadata(**changes: Any) -> dict[str, str]:
    """Return the bundle's metadata; a change to None leaves the entry out."""
    entries: dict[str, Any] = {
        "bundle_schema": "1",
        "name": "tiny",
        "version": "7",
        "feature_names": json.dumps(NAMES),
        "baseline": json.dumps(BASELINE),
        "golden": json.dumps(
            {
                "features": GOLDEN,
                "logit": logit(GOLDEN).tolist(),
                "probability": probability(GOLDEN).tolist(),
            }
        ),
        **changes,
    }
    return {key: value for key, value in entries.items() if value is not None}


def write_bundle(
    path: Path,
    entries: dict[str, str] | None = None,
    *,
    weights: tuple[float, ...] = WEIGHTS,
    input_name: str = "features",
    input_type: int = TensorProto.DOUBLE,
) -> Path:
    """Write a linear bundle; return its path."""
    constants = [
        numpy_helper.from_array(np.array(weights, dtype=np.float32).reshape(-1, 1), "weights"),
        numpy_helper.from_array(np.array([BIAS], dtype=np.float32), "bias"),
        numpy_helper.from_array(np.array([-1]), "flat"),
    ]
    nodes = [
        helper.make_node("Cast", [input_name], ["narrow"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["narrow", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["column"]),
        helper.make_node("Reshape", ["column", "flat"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
    ]
    taken = helper.make_tensor_value_info(input_name, input_type, ["batch", len(weights)])
    return save(path, nodes, constants, taken, metadata() if entries is None else entries)


def write_table(path: Path) -> Path:
    """Write a bundle whose logit stands in a table of ten, by V1; return its path."""
    table = np.linspace(-4.5, 4.5, 10, dtype=np.float32)
    features = [(0.0, 0.0, 20.0), (10.0, 9.0, 0.0), (0.0, 2.0, 0.0), (5.0, 4.0, 900.0)]
    logits = table[[int(row[1]) for row in features]].astype(np.float64)
    golden = {"features": features, "logit": logits, "probability": 1 / (1 + np.exp(-logits))}
    nodes = [
        helper.make_node("Gather", ["features", "second"], ["V1"], axis=1),
        helper.make_node("Cast", ["V1"], ["place"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "place"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
    ]
    constants = [
        numpy_helper.from_array(np.array(1), "second"),
        numpy_helper.from_array(table, "table"),
    ]
    taken = helper.make_tensor_value_info("features", TensorProto.DOUBLE, ["batch", len(NAMES)])
    text = json.dumps(golden, default=np.ndarray.tolist)
    return save(path, nodes, constants, taken, metadata(golden=text))


def nodes_of(kind: str) -> list[NodeProto]:
    """Return nodes from `V1`, float32 (batch, 1), to `logit`, which do not take every row.

    "encoder": categories 0, 2, 4 and 9, an error for others; "division": by V1 - 5 as whole
    numbers; "shape": rows with V1 of 500 and more are left out.
    """
    if kind == "encoder":
        return [
            helper.make_node("Cast", ["V1"], ["category"], to=TensorProto.INT64),
            helper.make_node(
                "OneHotEncoder",
                ["category"],
                ["one_hot"],
                domain="ai.onnx.ml",
                cats_int64s=[0, 2, 4, 9],
                zeros=0,
            ),
            helper.make_node("Reshape", ["one_hot", "four"], ["rows"]),
            helper.make_node("MatMul", ["rows", "weights"], ["column"]),
            helper.make_node("Reshape", ["column", "flat"], ["logit"]),
        ]
    if kind == "division":
        return [
            helper.make_node("Cast", ["V1"], ["whole"], to=TensorProto.INT64),
            helper.make_node("Sub", ["whole", "five"], ["divisor"]),
            helper.make_node("Div", ["ten", "divisor"], ["quotient"]),
            helper.make_node("Cast", ["quotient"], ["column"], to=TensorProto.FLOAT),
            helper.make_node("Reshape", ["column", "flat"], ["logit"]),
        ]
    return [
        helper.make_node("Less", ["V1", "limit"], ["small"]),
        helper.make_node("Reshape", ["small", "flat"], ["kept"]),
        helper.make_node("Compress", ["V1", "kept"], ["column"], axis=0),
        helper.make_node("Reshape", ["column", "flat"], ["logit"]),
    ]


def write_refusing(path: Path, kind: str) -> Path:
    """Write a bundle that does not take every row, of a kind of `nodes_of`; return its path."""
    constants = [
        numpy_helper.from_array(np.array(1), "second"),
        numpy_helper.from_array(np.array([-1]), "flat"),
        numpy_helper.from_array(np.array([-1, 4]), "four"),
        numpy_helper.from_array(np.array([[-3], [-1], [1], [6]], dtype=np.float32), "weights"),
        numpy_helper.from_array(np.array(5), "five"),
        numpy_helper.from_array(np.array(10), "ten"),
        numpy_helper.from_array(np.array(500, dtype=np.float32), "limit"),
    ]
    nodes = [
        helper.make_node("Gather", ["features", "second"], ["of_V1"], axis=1),
        helper.make_node("Cast", ["of_V1"], ["narrow"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["narrow", "flat"], ["V1"]),
        *nodes_of(kind),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
    ]
    used = {name for node in nodes for name in node.input}
    constants = [constant for constant in constants if constant.name in used]
    taken = helper.make_tensor_value_info("features", TensorProto.DOUBLE, ["batch", len(NAMES)])
    features = [(0.0, 0.0, 20.0), (10.0, 9.0, 0.0), (0.0, 2.0, 0.0), (5.0, 4.0, 900.0)]
    save(path, nodes, constants, taken, metadata(golden=None))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(["logit", "probability"], {"features": np.array(features)})
    golden = {"features": features, "logit": found[0].tolist(), "probability": found[1].tolist()}
    return save(path, nodes, constants, taken, metadata(golden=json.dumps(golden)))


def save(
    path: Path,
    nodes: Sequence[NodeProto],
    constants: Sequence[TensorProto],
    taken: ValueInfoProto,
    entries: dict[str, str],
) -> Path:
    """Write a graph that gives logit and probability, float32 (batch,); return its path."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [taken],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch"])
            for name in ("logit", "probability")
        ],
        constants,
    )
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=9)
    helper.set_model_props(model, entries)
    path.write_bytes(model.SerializeToString())
    return path
