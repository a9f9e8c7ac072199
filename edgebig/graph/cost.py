"""Multiply-accumulates of a node, from the shapes of its values. One function per kind of operator.

A counter takes a node and gives its multiply-accumulates (MACs) for one run, or None where a shape is not known.
Operators without a counter (elementwise, pooling, normalisation, data movement) count as none.
"""

import math
from collections.abc import Callable

import onnx_ir as ir

from edgebig.graph.shapes import static_shape
from edgebig.registry import Registry

MacCounter = Callable[[ir.Node], int | None]

mac_counters: Registry[MacCounter] = Registry("operator with multiply-accumulates")

# Where a node's weights stand among its inputs, where that is not input 1.
WEIGHT_INPUTS = {"QLinearConv": 3, "QLinearMatMul": 3, "QGemm": 3}
GATES = {"LSTM": 4, "DynamicQuantizeLSTM": 4, "GRU": 3, "RNN": 1}


def count_macs(node: ir.Node) -> int | None:
    """MACs of one run of a node: 0 for operators that have none, None where a shape is not known."""
    return mac_counters.get(node.op_type)(node) if node.op_type in mac_counters else 0


def has_macs(node: ir.Node) -> bool:
    """Whether the node is of a kind that multiplies and accumulates."""
    return node.op_type in mac_counters


def _register(*names: str) -> Callable[[MacCounter], MacCounter]:
    def register(counter: MacCounter) -> MacCounter:
        for name in names:
            mac_counters.register(name, counter)
        return counter

    return register


def _input(node: ir.Node, index: int) -> tuple[int, ...] | None:
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is not None and value.const_value is not None:
        return tuple(value.const_value.shape.numpy())
    return static_shape(value)


@_register("Conv", "ConvInteger", "QLinearConv", "FusedConv")
def conv(node: ir.Node) -> int | None:
    """Every output needs the weights of its channel once: |Y| * I/g * kernel."""
    output, weight = static_shape(node.outputs[0]), _input(node, WEIGHT_INPUTS.get(node.op_type, 1))
    return None if output is None or weight is None else math.prod(output) * math.prod(weight[1:])


@_register("ConvTranspose")
def conv_transpose(node: ir.Node) -> int | None:
    """Every input meets the weights of its channel once: |X| * O/g * kernel."""
    data, weight = _input(node, 0), _input(node, 1)
    return None if data is None or weight is None else math.prod(data) * math.prod(weight[1:])


@_register("MatMul", "MatMulInteger", "QLinearMatMul", "FusedMatMul", "MatMulIntegerToFloat", "DynamicQuantizeMatMul")
def matmul(node: ir.Node) -> int | None:
    """|Y| * K."""
    output, data = static_shape(node.outputs[0]), _input(node, 0)
    if output is None or not data:
        return None
    return math.prod(output) * data[-2 if node.attributes.get_int("transA", 0) != 0 else -1]


@_register("Gemm", "QGemm", "FusedGemm")
def gemm(node: ir.Node) -> int | None:
    """M * N * K."""
    output, data = static_shape(node.outputs[0]), _input(node, 0)
    if output is None or data is None:
        return None
    return math.prod(output) * data[0 if node.attributes.get_int("transA", 0) != 0 else 1]


@_register("MatMulNBits")
def matmul_nbits(node: ir.Node) -> int | None:
    """|Y| * K; the weights are packed, K is an attribute."""
    output = static_shape(node.outputs[0])
    return None if output is None else math.prod(output) * int(node.attributes.get_int("K", 0))


@_register("LSTM", "GRU", "RNN", "DynamicQuantizeLSTM")
def recurrent(node: ir.Node) -> int | None:
    """Steps * batch * directions * gates * hidden * (inputs + hidden)."""
    data, state = _input(node, 0), _input(node, 2)
    if data is None or state is None:
        return None
    hidden = int(node.attributes.get_int("hidden_size", state[-1]))
    return data[0] * data[1] * state[0] * GATES[node.op_type] * hidden * (data[2] + hidden)


@_register("Attention", "MultiHeadAttention", "GroupQueryAttention")
def attention(node: ir.Node) -> int | None:
    """Scores |Q| * L and mixing |Y| * L, for L keys; the Attention of com.microsoft projects its input first."""
    query, output = _input(node, 0), static_shape(node.outputs[0])
    if query is None or output is None:
        return None
    if node.op_type == "Attention" and node.domain == "com.microsoft":
        weight = _input(node, 1)
        return None if weight is None else math.prod(query[:2]) * (math.prod(weight) + 2 * query[1] * output[-1])
    keys = _input(node, 1)
    if keys is None:
        return None
    past = _input(node, 4) if node.op_type == "Attention" and len(node.inputs) > 4 and node.inputs[4] else (0, 0)
    return None if past is None else (math.prod(query) + math.prod(output)) * (keys[-2] + past[-2])


@_register("Einsum")
def einsum(node: ir.Node) -> int | None:
    """The product of the sizes of all letters, for two or more operands."""
    equation = node.attributes.get_string("equation", "").replace(" ", "")
    shapes = [_input(node, index) for index in range(len(node.inputs))]
    terms = equation.split("->")[0].split(",")
    if "..." in equation or any(shape is None for shape in shapes):
        return None
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        sizes.update(zip(term, shape or (), strict=True))
    return math.prod(sizes.values()) if len(terms) > 1 else 0
