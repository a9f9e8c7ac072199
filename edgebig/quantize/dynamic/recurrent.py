"""GRU and RNN: weights in int8, dequantized in front of the float operator. No runtime has an integer kernel for them.

The file is a quarter of the size and nothing but the rounding of the weights is lost. Speed is not gained: onnxruntime
dequantizes on every run. On one core of an AMD EPYC (AVX2) that took from 10 % (64 hidden units) to 110 % (256 and
more) of a single step's time again, and up to 27 % of 32 steps'.
"""

import numpy as np
import onnx_ir as ir

from edgebig.quantize.change import Change
from edgebig.quantize.dynamic.folding import folded_array
from edgebig.quantize.dynamic.gru_step import is_step, write_step
from edgebig.quantize.dynamic.lstm import (
    RecurrentWeight,
    check_recurrent_weights,
    quantize_recurrent,
    recurrent_change,
)
from edgebig.quantize.dynamic.writer import DynamicWriter
from edgebig.quantize.formats.qdq import WeightRule

# The operator computes in float: no sums of integers could saturate.
RULE = WeightRule(8, pair_sums=False)
HOW = "int8 weights, dequantized on every run: smaller, not faster"


def check_recurrent(node: ir.Node, opset: int) -> str:
    """Why the weights of a GRU or RNN cannot be quantized; empty where they can."""
    return check_recurrent_weights(node, opset)


def write_recurrent(node: ir.Node, writer: DynamicWriter) -> Change:
    """Put int8 weights behind a GRU or RNN that `check_recurrent` accepts."""
    if node.op_type == "GRU" and is_step(node, writer.opset):
        return write_step(node, writer)
    weights, stored = [], []
    for index, what in ((1, "W"), (2, "R")):
        array = folded_array(node.inputs[index], writer.opset)
        assert array is not None  # check_recurrent has seen it
        weight = quantize_recurrent(array, RULE)
        floats, integers = _dequantized(f"{node.name or node.op_type}_{what}", weight, node, writer)
        node.replace_input_with(index, floats)
        weights.append(weight)
        stored.append(integers)
    return recurrent_change(node, HOW, weights, writer.first_time(stored[0]))


def _dequantized(name: str, weight: RecurrentWeight, node: ir.Node, writer: DynamicWriter) -> tuple[ir.Value, ir.Value]:
    """A weight as the operator takes it, [directions, gates * hidden, inputs], float; and the integers behind it."""
    integers = weight.integers.transpose(0, 2, 1)
    directions, rows, inputs = integers.shape
    like = ir.Value(name=name, shape=ir.Shape(integers.shape), type=ir.TensorType(ir.DataType.FLOAT))
    # A scale per row of either direction needs one axis of rows.
    stacked = integers if directions == 1 else integers.reshape(-1, inputs)
    constants = [
        writer.constant(f"{name}_quantized", np.ascontiguousarray(stacked)),
        writer.constant(f"{name}_scale", weight.scales.reshape(-1)),
        writer.constant(f"{name}_zero_point", np.zeros(directions * rows, np.int8)),
    ]
    axis = 1 if directions == 1 else 0
    floats = writer.node("DequantizeLinear", constants, like, node, shape=ir.Shape(stacked.shape), axis=axis)
    if directions == 1:
        return floats, constants[0]
    shape = writer.constant(f"{name}_shape", np.array(integers.shape, np.int64))
    return writer.node("Reshape", [floats, shape], like, node), constants[0]
