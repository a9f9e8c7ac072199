"""MatMul and Gemm by a constant weight, as onnxruntime fuses them.

    DynamicQuantizeLinear -> MatMulInteger -> Cast -> Mul(input scale * weight scales) [-> Add bias]

becomes DynamicQuantizeMatMul, or one DynamicQuantizeLinear and a MatMulIntegerToFloat for each of several readers
(query, key and value of attention). A bias added behind a MatMul is left where it is: it is fused as well.
"""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.edit import constant_array
from edgebig.graph.weights import WeightedNode, as_weighted
from edgebig.quantize.change import Change
from edgebig.quantize.dynamic.writer import DynamicWriter, quantize_matrix
from edgebig.quantize.weights import QuantizedWeight

# Per number of the activation, quantizing costs as much as this many products save (measured on AVX2, onnxruntime 1.31:
# 10 and 16 outputs lose, 64 win).
FEWEST_OUTPUTS = 32


def check_product(node: ir.Node, opset: int) -> str:
    """Why a MatMul or Gemm cannot be quantized dynamically; empty where it can."""
    weighted = as_weighted(node)
    if weighted is None:
        return "it has no constant weight"
    if weighted.weight_index != 1:
        return "its first factor is the constant one; integer kernels take the weight second"
    if weighted.weight.dtype not in (None, ir.DataType.FLOAT) or weighted.array().dtype != np.float32:
        return f"its weight is {weighted.array().dtype.name}, not float32"
    shape = weighted.array().shape
    if len(shape) > 2 and (any(size != 1 for size in shape[:-2]) or _rank(weighted.activation) < len(shape)):
        return "its weight is a stack of matrices; a scale per output channel needs one matrix"
    if 0 in shape:
        return "its weight is empty"
    if node.op_type == "Gemm" and node.attributes.get_int("transA", 0) == 1:
        return "its first factor is transposed"
    outputs = shape[weighted.output_axis]
    if outputs < FEWEST_OUTPUTS:
        return f"float is faster: its {outputs} outputs save less than quantizing the activation costs"
    if not np.isfinite(weighted.array()).all():
        return "its weight holds NaN or infinity"
    return ""


def write_product(node: ir.Node, writer: DynamicWriter) -> Change:
    """Replace a node that `check_product` accepts."""
    weighted = as_weighted(node)
    assert weighted is not None  # check_product has seen it
    matrix = _matrix(weighted)
    output = node.outputs[0]
    result, weight, integers = multiply(weighted.activation, matrix, weighted.weight.name or "weight", node, writer)
    bias = _bias(node, writer)
    if bias is not None:
        result = writer.node("Add", [result, bias], output, node)
    writer.replace(output, result)
    writer.remove(node)
    stored = int(writer.first_time(integers))
    return Change(
        node=node.name or "",
        op_type=node.op_type,
        how="int8, activations quantized as they come",
        weights=stored * matrix.size,
        weight_error=weight.error,
        bytes_before=stored * matrix.size * 4,
        bytes_after=stored * (weight.integers.nbytes + 5 * weight.scales.size),
    )


def multiply(
    value: ir.Value, matrix: NDArray, name: str, before: ir.Node, writer: DynamicWriter
) -> tuple[ir.Value, QuantizedWeight, ir.Value]:
    """Insert the product of an activation and a weight in front of a node.

    Args:
        value: The activation.
        matrix: The weight, [inputs, outputs].
        name: The weight's name.
        before: The node; the product is named after its first output.
        writer: The writer.

    Returns:
        The product in float, the weight in integers, and the initializer that holds them.
    """
    weight = quantize_matrix(matrix, writer.rule)
    integers = writer.constant(f"{name}_quantized", weight.integers)
    zeros = writer.constant(f"{name}_zero_point", np.zeros_like(weight.scales, dtype=np.int8))
    scales = writer.constant(f"{name}_scale", weight.scales)
    x, x_scale, x_zero = writer.activation(value, before)
    like = ir.Value(name=before.outputs[0].name, shape=_product_shape(value, matrix), type=value.type)
    sums = writer.node("MatMulInteger", [x, integers, x_zero, zeros], like, before, dtype=ir.DataType.INT32)
    floats = writer.node("Cast", [sums], like, before, dtype=ir.DataType.FLOAT, to=int(ir.DataType.FLOAT))
    scale = writer.node("Mul", [x_scale, scales], like, before, shape=ir.Shape(weight.scales.shape))
    return writer.node("Mul", [floats, scale], like, before), weight, integers


def _product_shape(value: ir.Value, matrix: NDArray) -> ir.Shape | None:
    return None if value.shape is None else ir.Shape([*value.shape[:-1], matrix.shape[1]])


def _matrix(weighted: WeightedNode) -> NDArray:
    """The weight as [inputs, outputs], with alpha in it."""
    array = weighted.array()
    array = array.reshape(array.shape[-2:])
    node = weighted.node
    if node.op_type == "MatMul":
        return array
    alpha = np.float32(node.attributes.get_float("alpha", 1.0))
    matrix = array.T if node.attributes.get_int("transB", 0) else array
    return matrix if alpha == 1.0 else matrix * alpha


def _bias(node: ir.Node, writer: DynamicWriter) -> ir.Value | None:
    """The third input of a Gemm, with beta in it."""
    value = node.inputs[2] if node.op_type == "Gemm" and len(node.inputs) > 2 else None
    beta = node.attributes.get_float("beta", 1.0)
    if value is None or beta == 0.0:
        return None
    array = constant_array(value)
    if array is not None:
        # onnxruntime fuses a vector of one number per output.
        array = array.reshape(array.shape[-1:]) if array.ndim == 2 and array.shape[0] == 1 else array
        return writer.constant(f"{value.name}_bias", array * np.float32(beta))
    return value if beta == 1.0 else writer.node("Mul", [value, writer.constant("beta", np.float32(beta))], value, node)


def _rank(value: ir.Value) -> int:
    return 0 if value.shape is None else len(value.shape)
