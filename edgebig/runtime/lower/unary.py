"""Functions of one tensor: of a quantized one they are tables of 256 entries, worked out by onnxruntime itself."""

import onnx_ir as ir

from edgebig.kernels.float_unary import FloatUnary
from edgebig.runtime.lower.builder import Builder
from edgebig.runtime.lower.follow import clip_bounds
from edgebig.runtime.lower.probe import run_alone
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
        table = run_alone(node, x.source.table)
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


def evaluate_named(op_type: str, node: ir.Node, source: object) -> Lookup:
    """The function of a standard operator, with a node's attributes, of what a quantized tensor stands for."""
    if not isinstance(source, Lookup):
        raise Refusal("its input is not quantized")
    alone = ir.Node("", op_type, [None], list(node.attributes.values()), version=16)
    return Lookup(source.of, run_alone(alone, source.table))
