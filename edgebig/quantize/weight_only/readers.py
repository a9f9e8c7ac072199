"""The operators whose weights can be stored in few bits, and along which axis of its weight each of them sums."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import onnx_ir as ir

from edgebig.quantize.weight_only.source import STANDARD, WeightSource, weight_source
from edgebig.registry import Registry

WIDTHS = (ir.DataType.FLOAT, ir.DataType.FLOAT16)


class Form(Enum):
    """How a node reads a quantized weight.

    Attributes:
        MATMUL: By MatMulNBits, or behind a DequantizeLinear.
        TABLE: Rows are gathered, then dequantized.
        BEHIND: Behind a DequantizeLinear only.
    """

    MATMUL = "matmul"
    TABLE = "table"
    BEHIND = "behind"


@dataclass(frozen=True)
class Reader:
    """A node that reads a weight.

    Attributes:
        node: The node.
        index: Which input the weight is.
        source: The initializer behind it.
        form: How it can read a quantized weight.
        inputs_axis: The axis of the initializer that the node sums over (for a table: that its rows run along).
        outputs_axis: The axis of the initializer that counts outputs (for a table: rows).
    """

    node: ir.Node
    index: int
    source: WeightSource
    form: Form
    inputs_axis: int
    outputs_axis: int


Handler = Callable[[ir.Node, int, WeightSource], Reader | str]
readers: Registry[Handler] = Registry("operator with weights")


def read_by(node: ir.Node, index: int) -> Reader | str | None:
    """See an input of a node as a weight; a reason where it is a constant that cannot be one, None where it is none."""
    source = weight_source(node.inputs[index])
    if source is None:
        return None
    if node.domain not in STANDARD or node.op_type not in readers:
        return f"{node.op_type} reads it, which knows no quantized weights"
    if source.dtype not in WIDTHS or source.value.const_value is None:
        return f"it computes in {source.dtype.name.lower()}; float32 and float16 are known"
    return readers.get(node.op_type)(node, index, source)


@readers.decorator("MatMul")
def _matmul(node: ir.Node, index: int, source: WeightSource) -> Reader | str:
    rank = _rank(source)
    if rank < 2:
        return "its weight is a vector"
    if weight_source(node.inputs[1 - index]) is not None:
        return "both its operands are constant"
    inputs, outputs = (rank - 2, rank - 1) if index == 1 else (rank - 1, rank - 2)
    other = node.inputs[1 - index]
    vector = other is not None and other.shape is not None and len(other.shape) < 2
    form = Form.MATMUL if rank == 2 and index == 1 and not vector else Form.BEHIND
    return _turned(Reader(node, index, source, form, inputs, outputs))


@readers.decorator("Gemm")
def _gemm(node: ir.Node, index: int, source: WeightSource) -> Reader | str:
    if index != 1:
        return "it is the first operand or the bias of a Gemm"
    inputs = 1 if node.attributes.get_int("transB", 0) else 0
    return _turned(Reader(node, index, source, Form.MATMUL, inputs, 1 - inputs))


@readers.decorator("Gather")
def _gather(node: ir.Node, index: int, source: WeightSource) -> Reader | str:
    axis = node.attributes.get_int("axis", 0)
    if index != 0 or _rank(source) != 2:
        return "it gathers from a constant that is no table of rows"
    if axis not in (0, -2):
        return "it gathers columns"
    return _turned(Reader(node, index, source, Form.TABLE, 1, 0))


@readers.decorator("Conv")
def _conv(node: ir.Node, index: int, source: WeightSource) -> Reader | str:
    return Reader(node, index, source, Form.BEHIND, 1, 0) if index == 1 else "it is no kernel"


@readers.decorator("ConvTranspose")
def _conv_transpose(node: ir.Node, index: int, source: WeightSource) -> Reader | str:
    return Reader(node, index, source, Form.BEHIND, 0, 1) if index == 1 else "it is no kernel"


def _recurrent(node: ir.Node, index: int, source: WeightSource) -> Reader | str:
    if index not in (1, 2):
        return "it is a bias or a state"
    return Reader(node, index, source, Form.BEHIND, 2, 1)


for _name in ("LSTM", "GRU", "RNN"):
    readers.register(_name, _recurrent)


def _rank(source: WeightSource) -> int:
    return len(source.value.const_value.shape) if source.value.const_value is not None else 0


def _turned(reader: Reader) -> Reader:
    """The same in axes of the initializer, where a Transpose lies between."""
    if not reader.source.turned:
        return reader
    return Reader(
        reader.node, reader.index, reader.source, reader.form, 1 - reader.inputs_axis, 1 - reader.outputs_axis
    )
