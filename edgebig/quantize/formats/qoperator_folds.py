"""Float operators between DequantizeLinear and QuantizeLinear, and the integer operators that stand for them.

Each fold looks at a node and says which node takes its place, or None where there is none. `Quantized` is what a
DequantizeLinear reads: integers, scale, zero point.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from edgebig.graph.edit import constant_array
from edgebig.graph.weights import output_axis

MICROSOFT = "com.microsoft"
STANDARD = ("", "ai.onnx")
Quantized = tuple[ir.Value, ir.Value, ir.Value]


@dataclass(frozen=True)
class Folded:
    """What takes a node's place.

    Attributes:
        op_type: Its operator.
        domain: Its domain.
        inputs: Its inputs.
        output: The value whose place its output takes: integers, or float.
        attributes: Its attributes.
    """

    op_type: str
    domain: str
    inputs: list[ir.Value | None]
    output: ir.Value
    attributes: Mapping[str, ir.Attr]


Fold = Callable[[ir.Node], Folded | None]


def read_by(value: ir.Value | None, axis: int | None = None) -> Quantized | None:
    """What a DequantizeLinear reads: with one scale, or, where an axis is given, also with a scale per index of it."""
    node = None if value is None else value.producer()
    if node is None or node.op_type != "DequantizeLinear" or node.domain not in STANDARD or len(node.inputs) < 3:
        return None
    integers, scale, zero = node.inputs[:3]
    if integers is None or scale is None or zero is None or node.attributes.get_int("block_size", 0) != 0:
        return None
    rank = None if scale.shape is None else len(scale.shape)
    if rank == 0 or (rank == 1 and axis is not None and node.attributes.get_int("axis", 1) == axis):
        return integers, scale, zero
    return None


def quantizer_of(value: ir.Value) -> ir.Node | None:
    """The QuantizeLinear that alone reads a value."""
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output():
        return None
    node = uses[0].node
    fits = node.op_type == "QuantizeLinear" and node.domain in STANDARD and uses[0].idx == 0 and len(node.inputs) > 2
    return node if fits else None


def fold_conv(node: ir.Node) -> Folded | None:
    """QLinearConv, with the bias in int32."""
    x, w, quantizer = read_by(node.inputs[0]), read_by(node.inputs[1], 0), quantizer_of(node.outputs[0])
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    integers = read_by(bias, 0)
    if x is None or w is None or quantizer is None or (bias is not None and integers is None):
        return None
    inputs = [*x, *w, *quantizer.inputs[1:3], *(integers[:1] if integers else ())]
    return Folded("QLinearConv", "", inputs, quantizer.outputs[0], node.attributes)


def fold_gemm(node: ir.Node) -> Folded | None:
    """QGemm: integers in, integers or float out."""
    axis = output_axis("Gemm", 2, index=1, transposed=bool(node.attributes.get_int("transB", 0)))
    x, w, quantizer = read_by(node.inputs[0]), read_by(node.inputs[1], axis), quantizer_of(node.outputs[0])
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    integers = read_by(bias, 0)
    if x is None or w is None or (bias is not None and integers is None):
        return None
    if bias is not None and node.attributes.get_float("beta", 1.0) != 1.0:
        return None
    attributes = {name: value for name, value in node.attributes.items() if name != "beta"}
    after = quantizer.inputs[1:3] if quantizer else ()
    inputs = [*x, *w, integers[0] if integers else None, *after]
    output = quantizer.outputs[0] if quantizer else node.outputs[0]
    return Folded("QGemm", MICROSOFT, inputs, output, attributes)


def fold_matmul(node: ir.Node) -> Folded | None:
    """QLinearMatMul where integers follow, else MatMulIntegerToFloat, which takes in a bias added behind it."""
    second = node.inputs[1]
    rank = 0 if second is None or second.shape is None else len(second.shape)
    a, b = read_by(node.inputs[0]), read_by(second, rank - 1 if rank else None)
    if a is None or b is None:
        return None
    product = node.outputs[0]
    quantizer = quantizer_of(product)
    if quantizer is not None:
        inputs: list[ir.Value | None] = [*a, *b, *quantizer.inputs[1:3]]
        return Folded("QLinearMatMul", "", inputs, quantizer.outputs[0], {})
    (x, x_scale, x_zero), (w, w_scale, w_zero) = a, b
    inputs = [x, w, x_scale, w_scale, x_zero, w_zero]
    bias = _bias_after(product)
    if bias is None:
        return Folded("MatMulIntegerToFloat", MICROSOFT, inputs, product, {})
    return Folded("MatMulIntegerToFloat", MICROSOFT, [*inputs, bias[1]], bias[0], {})


def _bias_after(product: ir.Value) -> tuple[ir.Value, ir.Value] | None:
    """The sum with a float vector of one number per output that alone reads a product, and that vector."""
    uses = list(product.uses())
    if len(uses) != 1 or product.is_graph_output() or uses[0].node.op_type != "Add":
        return None
    vector = uses[0].node.inputs[1 - uses[0].idx]
    array = constant_array(vector)
    if array is None or vector is None or array.ndim != 1 or array.size == 1:
        return None
    return uses[0].node.outputs[0], vector


def fold_binary(node: ir.Node) -> Folded | None:
    """QLinearAdd, QLinearMul."""
    a, b, quantizer = read_by(node.inputs[0]), read_by(node.inputs[1]), quantizer_of(node.outputs[0])
    if a is None or b is None or quantizer is None:
        return None
    return Folded(f"QLinear{node.op_type}", MICROSOFT, [*a, *b, *quantizer.inputs[1:3]], quantizer.outputs[0], {})


def fold_unary(node: ir.Node) -> Folded | None:
    """QLinearSigmoid, QLinearLeakyRelu, QLinearAveragePool, QLinearGlobalAveragePool."""
    x, quantizer = read_by(node.inputs[0]), quantizer_of(node.outputs[0])
    if x is None or quantizer is None:
        return None
    inputs = [*x, *quantizer.inputs[1:3]]
    return Folded(f"QLinear{node.op_type}", MICROSOFT, inputs, quantizer.outputs[0], node.attributes)


def fold_softmax(node: ir.Node) -> Folded | None:
    """QLinearSoftmax, which is told the operator set whose Softmax it stands for."""
    folded = fold_unary(node)
    if folded is None:
        return None
    attributes = {"axis": ir.AttrInt64("axis", node.attributes.get_int("axis", -1)), "opset": ir.AttrInt64("opset", 13)}
    return Folded(folded.op_type, folded.domain, folded.inputs, folded.output, attributes)


def fold_concat(node: ir.Node) -> Folded | None:
    """QLinearConcat: each input with a scale of its own."""
    parts, quantizer = [read_by(value) for value in node.inputs], quantizer_of(node.outputs[0])
    if quantizer is None:
        return None
    inputs = list(quantizer.inputs[1:3])
    for part in parts:
        if part is None:
            return None
        inputs.extend(part)
    return Folded("QLinearConcat", MICROSOFT, inputs, quantizer.outputs[0], node.attributes)


FOLDS: Mapping[str, Fold] = {
    "Conv": fold_conv,
    "Gemm": fold_gemm,
    "MatMul": fold_matmul,
    "Add": fold_binary,
    "Mul": fold_binary,
    "Sigmoid": fold_unary,
    "LeakyRelu": fold_unary,
    "AveragePool": fold_unary,
    "GlobalAveragePool": fold_unary,
    "Softmax": fold_softmax,
    "Concat": fold_concat,
}
