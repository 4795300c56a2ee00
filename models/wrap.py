"""Make a bundle's graph of a net that somebody has: raw values in, `logit` and `probability` out.

features -> (x - centre) * factor -> float32 -> [clip] -> the net -> logit, probability
float64     float64                                                  float32 (batch,)
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
import onnx.compose
import onnx.inliner
import onnx.shape_inference
from onnx import TensorProto, helper, numpy_helper

from models.scaling import Scaling
from stream_scorer.errors import BadInput

# What the service's runtime brings; anything else would need somebody's own library in it.
DOMAINS = {"": "ai.onnx", "ai.onnx": "ai.onnx", "ai.onnx.ml": "ai.onnx.ml"}
# The oldest whose Clip and ReduceSum take what we write as inputs, and the newest that was tried.
OLDEST_OPSET, NEWEST_OPSET = 13, 23
# Nodes that hand on the values of their first input, whatever its shape.
SHAPES_ONLY = {"Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten"}
# A probability that is exactly 0 or 1 has no log-odds; this is half of float32's step below 1.
SMALLEST = 2.0**-25
PREFIX = "net/"


@dataclass(frozen=True, slots=True)
class Net:
    """Somebody's model, checked: `input` takes (batch, width), `output` gives the probability."""

    graph: onnx.ModelProto
    input: str
    input_type: int  # TensorProto.FLOAT or DOUBLE
    output: str
    width: int
    columns: int  # of the output: 1, or 2 for genuine and fraud
    gives_logit: bool = False  # the output is the log-odds, not the probability


def check_net(model: onnx.ModelProto, *, name: str, gives_logit: bool) -> Net:
    """Return the net of a model; raise BadInput that names what cannot be served."""
    check_weights(model.graph, name=name)
    try:
        model = onnx.inliner.inline_local_functions(model)
        check_operators(model, name=name)
        onnx.checker.check_model(model)
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, RuntimeError) as exc:
        raise BadInput(f"{name} is no valid ONNX model: {first_line(exc)}") from exc
    check_classes(model.graph, name=name)
    constants = {each.name for each in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(each.name for each in inputs) or "none"
        raise BadInput(f"{name} has the inputs {names}: want one, (batch, features)")
    kind, shape = describe(inputs[0])
    if kind not in {TensorProto.FLOAT, TensorProto.DOUBLE} or len(shape) != 2 or not shape[1]:  # noqa: PLR2004
        raise BadInput(
            f"{name}: the input {inputs[0].name} is {say(kind, shape)}: want float (rows, features)"
        )
    if shape[0]:
        raise BadInput(
            f"{name}: the input {inputs[0].name} is {say(kind, shape)}: want any number of rows; "
            "export it with a free first dimension"
        )
    output, columns = find_output(model.graph, name=name)
    if gives_logit and columns != 1:
        raise BadInput(f"{name}: the output {output} has {columns} columns: want one logit")
    return Net(model, inputs[0].name, kind, output, shape[1], columns, gives_logit)


def check_bundle(content: bytes, *, name: str) -> None:
    """Raise BadInput unless a bundle is sound ONNX, of known operators and finite weights."""
    model = onnx.load_from_string(content)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as exc:
        raise BadInput(f"{name} is no valid ONNX model: {first_line(exc)}") from exc
    check_operators(model, name=name)
    check_weights(model.graph, name=name)


def first_line(exc: Exception) -> str:
    """Return what an error says, in one line of a bearable length."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return (lines or [type(exc).__name__])[0][:300]


def describe(value: onnx.ValueInfoProto) -> tuple[int, list[int]]:
    """Return an input's or output's element type and shape; 0 stands for a free dimension."""
    tensor = value.type.tensor_type
    return tensor.elem_type, [each.dim_value for each in tensor.shape.dim]


def say(kind: int, shape: list[int]) -> str:
    """Return a type and shape in words."""
    name = TensorProto.DataType.Name(kind).lower() if kind else "no tensor"
    return f"{name} ({', '.join(str(each or '?') for each in shape)})"


def nodes_of(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield the nodes of a graph and of the graphs inside its nodes."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                yield from nodes_of(inner)


def check_operators(model: onnx.ModelProto, *, name: str) -> None:
    """Raise BadInput that lists every operator that onnxruntime alone cannot run."""
    versions = {each.domain: each.version for each in model.opset_import}
    version = versions.get("", versions.get("ai.onnx", 0))
    if version and not OLDEST_OPSET <= version <= NEWEST_OPSET:
        raise BadInput(
            f"{name} is of opset {version}: want {OLDEST_OPSET} to {NEWEST_OPSET}; export it anew"
        )
    unknown: dict[str, int] = {}
    for node in nodes_of(model.graph):
        known = node.domain in DOMAINS and onnx.defs.has(
            node.op_type, max_inclusive_version=versions.get(node.domain, 1), domain=node.domain
        )
        if not known:
            operator = f"{node.domain or 'ai.onnx'}.{node.op_type}"
            unknown[operator] = unknown.get(operator, 0) + 1
    if unknown:
        listed = ", ".join(f"{operator} ({count})" for operator, count in sorted(unknown.items()))
        raise BadInput(f"{name} cannot be converted, for these operators: {listed}")


def check_classes(graph: onnx.GraphProto, *, name: str) -> None:
    """Raise BadInput for a classifier of other classes than 0 and 1: which is fraud is not said."""
    for node in nodes_of(graph):
        for attribute in node.attribute:
            texts = [each.decode(errors="replace") for each in attribute.strings]
            classes = list(attribute.ints) or texts
            if attribute.name.startswith("classlabels_") and classes not in ([], [0, 1]):
                raise BadInput(
                    f"{name} has the classes {', '.join(map(repr, classes))}: want 0 for genuine "
                    "and 1 for fraud; train it with those"
                )


def check_weights(graph: onnx.GraphProto, *, name: str) -> None:
    """Raise BadInput for weights that are kept in another file or are not finite."""
    constants = [
        (node.output[0], attribute.t)
        for node in nodes_of(graph)
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.type == onnx.AttributeProto.TENSOR
    ]
    for label, tensor in [*((each.name, each) for each in graph.initializer), *constants]:
        if tensor.data_location == TensorProto.EXTERNAL:
            raise BadInput(f"{name}: the weights {label} are in another file: want one file")
        if tensor.data_type in {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16}:
            values = numpy_helper.to_array(tensor)
            if not np.isfinite(values).all():
                raise BadInput(f"{name}: the weights {label} hold a value that is not finite")


def find_output(graph: onnx.GraphProto, *, name: str) -> tuple[str, int]:
    """Return the probability's name and number of columns.

    A classifier of scikit-learn's or LightGBM's converters gives a label, int64, beside it.
    """
    found = []
    for each in graph.output:
        kind, shape = describe(each)
        if not each.type.HasField("tensor_type"):
            raise BadInput(
                f"{name}: the output {each.name} is no tensor: convert it with zipmap=False"
            )
        if kind in {TensorProto.FLOAT, TensorProto.DOUBLE}:
            found.append((each.name, kind, shape))
    if len(found) != 1:
        names = ", ".join(each.name for each in graph.output)
        raise BadInput(f"{name} has the outputs {names}: want one probability, float (batch, 1)")
    label, kind, shape = found[0]
    columns = shape[1] if len(shape) == 2 else 1  # noqa: PLR2004 - rows and columns
    if len(shape) not in {1, 2} or columns not in {1, 2}:
        raise BadInput(
            f"{name}: the output {label} is {say(kind, shape)}: want float (rows,), (rows, 1), or "
            "(rows, 2) for genuine and fraud"
        )
    return label, columns


def wrap(net: Net, scaling: Scaling | None, *, name: str) -> onnx.ModelProto:
    """Return the graph from raw `features` float64 (batch, n) to `logit` and `probability`."""
    inner = onnx.compose.add_prefix(net.graph, PREFIX)
    opset = {each.domain: each.version for each in inner.opset_import}
    constants = list(inner.graph.initializer)
    before = list(scale(net, scaling, constants))
    after = list(give(inner.graph, net, constants))
    graph = helper.make_graph(
        needed([*before, *inner.graph.node, *after], {"logit", "probability"}),
        name,
        [helper.make_tensor_value_info("features", TensorProto.DOUBLE, ["batch", net.width])],
        [
            helper.make_tensor_value_info(each, TensorProto.FLOAT, ["batch"])
            for each in ("logit", "probability")
        ],
    )
    used = {each for node in nodes_of(graph) for each in node.input}
    graph.initializer.extend(each for each in constants if each.name in used)
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid(d, v) for d, v in opset.items()],
        ir_version=max(inner.ir_version, 8),
        producer_name="stream-scorer",
    )


def scale(
    net: Net, scaling: Scaling | None, constants: list[onnx.TensorProto]
) -> Iterator[onnx.NodeProto]:
    """Yield the nodes from `features` to the net's input; their constants are added."""
    entry = PREFIX + net.input
    if scaling is None:
        yield helper.make_node("Cast", ["features"], [entry], to=net.input_type)
        return
    constants += [
        numpy_helper.from_array(scaling.centre, "centre"),
        numpy_helper.from_array(scaling.factor, "factor"),
    ]
    yield helper.make_node("Sub", ["features", "centre"], ["centred"])
    yield helper.make_node("Mul", ["centred", "factor"], ["scaled"])
    clipped = np.isfinite(scaling.clip)
    yield helper.make_node("Cast", ["scaled"], ["narrow" if clipped else entry], to=net.input_type)
    if clipped:
        kind = helper.tensor_dtype_to_np_dtype(net.input_type)
        constants += [
            numpy_helper.from_array(np.array(-scaling.clip, dtype=kind), "lowest"),
            numpy_helper.from_array(np.array(scaling.clip, dtype=kind), "highest"),
        ]
        yield helper.make_node("Clip", ["narrow", "lowest", "highest"], [entry])


def give(
    inner: onnx.GraphProto, net: Net, constants: list[onnx.TensorProto]
) -> Iterator[onnx.NodeProto]:
    """Yield the nodes from the net's output to `logit` and `probability`.

    The logit is what goes into the net's last sigmoid or softmax: taken from the probability it
    would be lost where that rounds to 0 or 1. Where a net ends otherwise it is taken from there.
    """
    made_by = {output: node for node in inner.node for output in node.output}
    tensor = PREFIX + net.output
    while (node := made_by.get(tensor)) and node.op_type in SHAPES_ONLY:
        tensor = node.input[0]
    constants.append(numpy_helper.from_array(np.array([-1], dtype=np.int64), "flat"))
    if net.gives_logit:
        yield helper.make_node("Cast", [PREFIX + net.output], ["raw"], to=TensorProto.FLOAT)
    elif node is not None and node.op_type == "Sigmoid" and net.columns == 1:
        yield helper.make_node("Cast", [node.input[0]], ["raw"], to=TensorProto.FLOAT)
    elif node is not None and node.op_type == "Softmax" and net.columns == 2:  # noqa: PLR2004
        difference = np.array([[-1.0], [1.0]], dtype=np.float32)
        constants.append(numpy_helper.from_array(difference, "difference"))
        yield helper.make_node("Cast", [node.input[0]], ["both"], to=TensorProto.FLOAT)
        yield helper.make_node("MatMul", ["both", "difference"], ["raw"])
    else:
        yield from from_probability(net, constants)
        return
    yield helper.make_node("Reshape", ["raw", "flat"], ["logit"])
    yield helper.make_node("Sigmoid", ["logit"], ["probability"])


def from_probability(net: Net, constants: list[onnx.TensorProto]) -> Iterator[onnx.NodeProto]:
    """Yield the nodes that take the log-odds from the probability, in float64, held off 0 and 1."""
    constants += [
        numpy_helper.from_array(np.array(SMALLEST), "smallest"),
        numpy_helper.from_array(np.array(1 - SMALLEST), "largest"),
        numpy_helper.from_array(np.array(1.0), "one"),
        # Sums of float32 may end a step beyond.
        numpy_helper.from_array(np.array(0.0, dtype=np.float32), "none"),
        numpy_helper.from_array(np.array(1.0, dtype=np.float32), "certain"),
    ]
    found = PREFIX + net.output
    if net.columns == 2:  # noqa: PLR2004 - genuine, fraud
        constants.append(numpy_helper.from_array(np.array(1, dtype=np.int64), "second"))
        yield helper.make_node("Gather", [found, "second"], ["fraud"], axis=1)
        found = "fraud"
    yield helper.make_node("Reshape", [found, "flat"], ["wide"])
    yield helper.make_node("Cast", ["wide"], ["rounded"], to=TensorProto.FLOAT)
    yield helper.make_node("Clip", ["rounded", "none", "certain"], ["probability"])
    yield helper.make_node("Cast", ["wide"], ["exact"], to=TensorProto.DOUBLE)
    yield helper.make_node("Clip", ["exact", "smallest", "largest"], ["inside"])
    yield helper.make_node("Sub", ["one", "inside"], ["rest"])
    yield helper.make_node("Div", ["inside", "rest"], ["odds"])
    yield helper.make_node("Log", ["odds"], ["exact_logit"])
    yield helper.make_node("Cast", ["exact_logit"], ["logit"], to=TensorProto.FLOAT)


def needed(nodes: list[onnx.NodeProto], wanted: set[str]) -> list[onnx.NodeProto]:
    """Return the nodes, in their order, that lead to what is wanted."""
    kept = []
    for node in reversed(nodes):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input)
            wanted |= {each for inner in nodes_of_node(node) for each in inner.input}
    return kept[::-1]


def nodes_of_node(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """Yield the nodes of the graphs inside a node: they may use what is outside."""
    for attribute in node.attribute:
        for inner in [attribute.g, *attribute.graphs]:
            yield from nodes_of(inner)
