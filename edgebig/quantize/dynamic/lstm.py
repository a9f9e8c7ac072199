"""LSTM as com.microsoft.DynamicQuantizeLSTM: weights in int8 with a scale per gate row, the rest stays as it is.

Its weights are [directions, inputs, 4 * hidden], the transpose of LSTM's; it has no attribute `layout`, so a model with
the batch first gets transpositions around it. Gates, peepholes, states and cell stay float.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.quantize.change import Change
from edgebig.quantize.dynamic.folding import folded_array
from edgebig.quantize.dynamic.writer import DynamicWriter, quantize_matrix
from edgebig.quantize.formats.qdq import WeightRule

DOMAIN = "com.microsoft"
_INPUTS = 8
# Batch-first layouts of what goes in and comes out; the sequence-first ones swap the first two axes (Y: see below).
_BATCH_FIRST = 1


@dataclass(frozen=True)
class RecurrentWeight:
    """A recurrent weight in integers.

    Attributes:
        integers: int8, [directions, inputs, gates * hidden].
        scales: float32, [directions, gates * hidden].
        error: Mean squared error over mean square, the mean of the directions.
    """

    integers: NDArray
    scales: NDArray
    error: float


def check_lstm(node: ir.Node, opset: int) -> str:
    """Why an LSTM cannot be quantized dynamically; empty where it can."""
    return check_recurrent_weights(node, opset)


def check_recurrent_weights(node: ir.Node, opset: int) -> str:
    """Why the weights W and R of a recurrent node cannot be quantized; empty where they can."""
    for name, value in zip(("W", "R"), node.inputs[1:3], strict=True):
        array = folded_array(value, opset)
        if array is None:
            return f"its weight {name} is not constant"
        if array.dtype != np.float32:
            return f"its weight {name} is {array.dtype.name}, not float32"
        if array.ndim != 3 or 0 in array.shape:
            return f"its weight {name} is empty or not of three axes"
        if not np.isfinite(array).all():
            return f"its weight {name} holds NaN or infinity"
    return ""


def write_lstm(node: ir.Node, writer: DynamicWriter) -> Change:
    """Replace a node that `check_lstm` accepts."""
    arrays = [folded_array(value, writer.opset) for value in node.inputs[1:3]]
    name = node.name or "LSTM"
    weights = [quantize_recurrent(array, writer.rule) for array in arrays if array is not None]
    integers = [writer.constant(f"{name}_{what}_quantized", w.integers) for what, w in zip("WR", weights, strict=True)]
    inputs = [*node.inputs, *[None] * (_INPUTS - len(node.inputs))]
    inputs[1:3] = integers
    batch_first = node.attributes.get_int("layout", 0) == _BATCH_FIRST
    if batch_first:
        for index in (0, 5, 6):
            value = inputs[index]
            if value is not None:
                inputs[index] = writer.node("Transpose", [value], value, node, shape=_UNKNOWN, perm=(1, 0, 2))
    for what, weight in zip("WR", weights, strict=True):
        zeros = np.zeros(weight.scales.shape, np.int8)
        inputs.append(writer.constant(f"{name}_{what}_scale", weight.scales))
        inputs.append(writer.constant(f"{name}_{what}_zero_point", zeros))
    new = writer.twin(node, "DynamicQuantizeLSTM", inputs, domain=DOMAIN, without=("layout",))
    for index, (old, output) in enumerate(zip(node.outputs, new.outputs, strict=True)):
        if old.name and batch_first:
            perm = (2, 0, 1, 3) if index == 0 else (1, 0, 2)
            output.shape = None
            output = writer.node("Transpose", [output], old, node, perm=perm)
        if old.name:
            writer.replace(old, output)
    writer.remove(node)
    writer.model.opset_imports.setdefault(DOMAIN, 1)
    return recurrent_change(node, "int8, activations quantized as they come", weights, writer.first_time(integers[0]))


def quantize_recurrent(array: NDArray, rule: WeightRule) -> RecurrentWeight:
    """Quantize a weight [directions, gates * hidden, inputs] with a scale per row."""
    directions = [quantize_matrix(matrix.T, rule) for matrix in array]
    return RecurrentWeight(
        np.stack([weight.integers for weight in directions]),
        np.stack([weight.scales for weight in directions]),
        float(np.mean([weight.error for weight in directions])),
    )


def recurrent_change(node: ir.Node, how: str, weights: list[RecurrentWeight], first: bool) -> Change:
    """What became of a recurrent node; `first` says whether no node before it has the same weights."""
    sizes = [weight.integers.size for weight in weights]
    stored = int(first)
    return Change(
        node=node.name or "",
        op_type=node.op_type,
        how=how,
        weights=stored * sum(sizes),
        weight_error=float(np.average([weight.error for weight in weights], weights=sizes)),
        bytes_before=stored * 4 * sum(sizes),
        bytes_after=stored * sum(weight.integers.nbytes + 5 * weight.scales.size for weight in weights),
    )


_UNKNOWN = ir.Shape([None, None, None])
