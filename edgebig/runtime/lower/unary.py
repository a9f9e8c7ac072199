"""Functions of one tensor: of a quantized one they are tables of 256 entries, worked out by onnxruntime itself."""

from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.dependencies import require
from edgebig.kernels.float_unary import FloatUnary
from edgebig.runtime.lower.builder import Builder
from edgebig.runtime.lower.follow import clip_bounds
from edgebig.runtime.lower.refusal import Refusal
from edgebig.runtime.lower.tensors import Lookup, Tensor

# Operators, and what the float kernel calls them with which of their attributes; None: only the table.
UNARY: dict[str, tuple[str, tuple[str, ...]] | None] = {
    "Abs": ("abs", ()),
    "Celu": None,
    "Clip": ("clip", ()),
    "Elu": ("elu", ("alpha",)),
    "Erf": ("erf", ()),
    "Exp": ("exp", ()),
    "Gelu": ("gelu", ()),
    "HardSigmoid": ("hardsigmoid", ("alpha", "beta")),
    "HardSwish": ("hardswish", ()),
    "LeakyRelu": ("leaky_relu", ("alpha",)),
    "Log": ("log", ()),
    "Mish": None,
    "Neg": ("negate", ()),
    "QuickGelu": ("silu", ("alpha",)),
    "Reciprocal": ("reciprocal", ()),
    "Relu": ("relu", ()),
    "Selu": None,
    "Sigmoid": ("sigmoid", ()),
    "Softplus": ("softplus", ()),
    "Softsign": None,
    "Sqrt": ("sqrt", ()),
    "Tanh": ("tanh", ()),
    "ThresholdedRelu": None,
}


def lower_unary(b: Builder, node: ir.Node) -> None:
    """Lower a function of one tensor (Clip's bounds are constants)."""
    x = b.tensor(node.inputs[0])
    value = node.outputs[0]
    if isinstance(x.source, Lookup):
        table = evaluate(node, x.source.table)
        b.define(value, Tensor(value.name or "", "f32", x.shape, source=Lookup(x.source.of, table)))
        return
    kind, parameters = kernel_of(node)
    view = b.view(x)
    made = b.result(value, "f32", view.order)
    step = FloatUnary(kind=kind, size=view.size, tasks=b.tasks(8 * view.size), **parameters)
    b.emit(step, {"x": view, "y": made})


def kernel_of(node: ir.Node) -> tuple[str, dict[str, float]]:
    """The float kernel's name for a node, and its parameters."""
    known = UNARY[node.op_type]
    if known is None:
        raise Refusal(f"there is no float kernel for {node.op_type}")
    kind, names = known
    if kind == "gelu" and node.attributes.get_string("approximate", "none") == "tanh":
        kind = "gelu_tanh"
    if kind == "clip":
        bounds = clip_bounds(node)
        if bounds is None:
            raise Refusal("its bounds are not constant")
        return kind, {"alpha": bounds[0], "beta": bounds[1]}
    return kind, {name: node.attributes[name].as_float() for name in names if name in node.attributes}


def evaluate(node: ir.Node, values: NDArray) -> NDArray:
    """What onnxruntime gives for a node whose first input is a vector and whose others are constants.

    Args:
        node: The node.
        values: float32 [n].

    Returns:
        float32 [n].
    """
    run = _session(node)
    return run(values.astype(np.float32))


def evaluate_named(op_type: str, node: ir.Node, source: object) -> Lookup:
    """The function of a standard operator, with a node's attributes, of what a quantized tensor stands for."""
    if not isinstance(source, Lookup):
        raise Refusal("its input is not quantized")
    alone = ir.Node("", op_type, [None], list(node.attributes.values()), version=16)
    return Lookup(source.of, evaluate(alone, source.table))


def _session(node: ir.Node) -> Callable[[NDArray], NDArray]:
    ort = require("onnxruntime", extra="cpu", purpose="edgebig.runtime")
    proto = ir.to_proto(node)
    del proto.input[:]
    del proto.output[:]
    proto.input.append("x")
    proto.output.append("y")
    initializers = []
    for i, value in enumerate(node.inputs[1:], 1):
        tensor = None if value is None else value.const_value
        proto.input.append("" if tensor is None else f"c{i}")
        if tensor is not None:
            initializers.append(onnx.numpy_helper.from_array(np.asarray(tensor.numpy()), f"c{i}"))
    vector = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n"]) for name in "xy"]
    graph = onnx.helper.make_graph([proto], "unary", vector[:1], vector[1:], initializers)
    opset = node.version or (node.graph.opset_imports.get(node.domain, 21) if node.graph is not None else 21)
    imports = [onnx.helper.make_opsetid(node.domain, opset)]
    model = onnx.helper.make_model(graph, opset_imports=imports, ir_version=10)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda values: np.asarray(session.run(None, {"x": values})[0])
