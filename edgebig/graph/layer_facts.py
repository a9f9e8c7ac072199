"""Facts of one layer: parameters, multiply-accumulates, precision, zeros. Weights are read one at a time, in parts."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgebig.graph.cost import GATES, count_macs, has_macs
from edgebig.graph.stored_weights import FLOAT_TWINS, StoredWeight, stored_weight
from edgebig.records.inspect import LayerInfo

BLOCK_OUTPUTS, BLOCK_INPUTS = 16, 4
INTEGER_OPS = (*FLOAT_TWINS, "DynamicQuantizeLSTM")
FLOATS = ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE")
_READS_QUANTIZED = ("DequantizeLinear", *INTEGER_OPS)


@dataclass(frozen=True)
class Zeros:
    """Counts of zeros.

    Attributes:
        elements: Weights.
        zeros: Those that are zero.
        blocks: Blocks of 16 outputs x 4 inputs, the last of a row or column possibly smaller.
        zero_blocks: Those that are zero throughout.
    """

    elements: int = 0
    zeros: int = 0
    blocks: int = 0
    zero_blocks: int = 0

    def __add__(self, other: "Zeros") -> "Zeros":
        return Zeros(
            self.elements + other.elements,
            self.zeros + other.zeros,
            self.blocks + other.blocks,
            self.zero_blocks + other.zero_blocks,
        )

    @property
    def share(self) -> float | None:
        """Share of zeros; None without weights."""
        return self.zeros / self.elements if self.elements else None

    @property
    def block_share(self) -> float | None:
        """Share of zero blocks; None without blocks."""
        return self.zero_blocks / self.blocks if self.blocks else None


def layer_facts(node: ir.Node) -> tuple[LayerInfo, Zeros] | None:
    """The facts of a node that multiplies and accumulates; None for other nodes.

    Args:
        node: A node of a graph with shapes.
    """
    if not has_macs(node):
        return None
    weight = stored_weight(node)
    zeros = count_zeros(weight) if weight is not None else _recurrent_zeros(node)
    shape = node.outputs[0].shape
    info = LayerInfo(
        name=node.name or (weight.value.name if weight is not None else "") or "",
        op=node.op_type,
        output=None if shape is None else tuple(size if isinstance(size, int) else size.value for size in shape),
        parameters=sum(parameters(value) for value in constants_of(node)),
        macs=count_macs(node),
        precision=_precision(node, weight),
        zeros=zeros.share,
        zero_blocks=zeros.block_share,
    )
    return info, zeros


def count_zeros(weight: StoredWeight) -> Zeros:
    """Zeros and zero blocks of a weight."""
    total = Zeros()
    for part in weight.nonzero_parts(BLOCK_OUTPUTS):
        rows, columns = part.shape
        padding = ((0, -rows % BLOCK_OUTPUTS), (0, -columns % BLOCK_INPUTS))
        grid = np.pad(part, padding).reshape(-(-rows // BLOCK_OUTPUTS), BLOCK_OUTPUTS, -1, BLOCK_INPUTS)
        filled = grid.any(axis=(1, 3))
        nonzero = int(np.count_nonzero(part))
        total += Zeros(part.size, part.size - nonzero, filled.size, filled.size - int(np.count_nonzero(filled)))
    return total


def constants_of(node: ir.Node) -> Iterator[ir.Value]:
    """The constants a node reads, those behind a DequantizeLinear included."""
    for value in node.inputs:
        producer = value.producer() if value is not None else None
        source = producer.inputs[0] if producer is not None and producer.op_type == "DequantizeLinear" else value
        if source is not None and source.is_initializer():
            yield source


def parameters(value: ir.Value) -> int:
    """How many numbers of a constant are parameters: floats, and integers that are quantized weights or biases."""
    tensor = value.const_value
    if tensor is None:
        return 0
    readers = [user for user, _ in value.uses()]
    packed = next((user for user in readers if user.op_type == "MatMulNBits" and user.inputs[1] is value), None)
    if packed is not None:
        return int(packed.attributes.get_int("K", 0)) * int(packed.attributes.get_int("N", 0))
    if tensor.dtype.name in FLOATS or any(user.op_type in _READS_QUANTIZED for user in readers):
        return math.prod(tensor.shape.numpy())
    return 0


def weight_bits(value: ir.Value) -> int:
    """Bits of one parameter of a constant."""
    for user, index in value.uses():
        if user.op_type == "MatMulNBits" and index == 1:
            return int(user.attributes.get_int("bits", 4))
    return value.const_value.dtype.bitwidth if value.const_value is not None else 0


def _recurrent_zeros(node: ir.Node) -> Zeros:
    """Zeros of the weights of an LSTM, GRU or RNN (inputs 1 and 2), which have no 16 x 4 blocks."""
    total = Zeros()
    for value in node.inputs[1:3] if node.op_type in GATES else ():
        if value is not None and value.const_value is not None and not value.is_graph_input():
            array = value.const_value.numpy()
            total += Zeros(array.size, array.size - int(np.count_nonzero(array)))
    return total


def _precision(node: ir.Node, weight: StoredWeight | None) -> str:
    if node.op_type in INTEGER_OPS:
        return "int8"
    if node.op_type == "MatMulNBits":
        return f"int{node.attributes.get_int('bits', 4)} weights"
    sources = [value.producer() if value is not None else None for value in node.inputs[:2]]
    dequantized = [source is not None and source.op_type == "DequantizeLinear" for source in sources]
    if len(dequantized) == 2 and all(dequantized):
        return f"int{_stored_bits(sources)}"
    stored = weight.value.const_value if weight is not None else None
    if any(dequantized) and stored is not None:
        return f"int{stored.dtype.bitwidth} weights"
    dtype = stored.dtype if stored is not None else node.outputs[0].dtype
    return "unknown" if dtype is None else str(np.dtype(dtype.numpy()))


def _stored_bits(sources: list[ir.Node | None]) -> int:
    """The widest of what two DequantizeLinear read."""
    widths = []
    for source in sources:
        value = source.inputs[0] if source is not None else None
        dtype = None if value is None else value.const_value.dtype if value.const_value is not None else value.dtype
        widths.append(8 if dtype is None else dtype.bitwidth)
    return max(widths)
