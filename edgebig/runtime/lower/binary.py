"""Add, Sub, Mul, Div: tables where one quantized tensor is all they depend on, integer kernels for two, else float."""

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.edit import constant_array
from edgebig.kernels.elementwise import Add, Multiply
from edgebig.kernels.elementwise_float import FloatBinary
from edgebig.kernels.epilogue import Requantize
from edgebig.runtime.lower.attention import scaled_scores
from edgebig.runtime.lower.broadcast import broadcast, in_order
from edgebig.runtime.lower.builder import Builder, shape_of
from edgebig.runtime.lower.follow import Tail, follow, only_consumer
from edgebig.runtime.lower.parameters import affine_input, weights_of
from edgebig.runtime.lower.refusal import Refusal
from edgebig.runtime.lower.tensors import Affine, Lookup, Sum, Tensor
from edgebig.runtime.plan import View

KINDS = {"Add": "add", "Sub": "subtract", "Mul": "multiply", "Div": "divide"}
_FUNCTIONS = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}


def lower_binary(b: Builder, node: ir.Node) -> None:
    """Lower a sum, difference, product or quotient."""
    shape = shape_of(node.outputs[0])
    if scaled_scores(b, node):
        return
    constants = [_real_constant(value) for value in node.inputs]
    if _look_up(b, node, shape, constants):
        return
    if all(constant is None for constant in constants) and node.op_type in ("Add", "Mul"):
        tensors = [b.tensor(value) for value in node.inputs]
        pairs = [affine_input(tensor) for tensor in tensors]
        tail = follow(b, node.outputs[0])
        if tail.affine is not None and pairs[0] is not None and pairs[1] is not None:
            first, second = pairs[0], pairs[1]
            if tensors[0].shape != shape:
                first, second = second, first
            if first[0].shape == shape:
                b.cover(tail.nodes)
                emit_integer_binary(b, node.op_type, tail, first, second)
                return
    _float(b, node, shape, constants)


def _look_up(b: Builder, node: ir.Node, shape: tuple[int, ...], constants: list[NDArray | None]) -> bool:
    """Where the node depends on one quantized tensor alone (and on numbers): its result is a table of it."""
    tables: list[NDArray] = []
    of: Tensor | None = None
    for value, constant in zip(node.inputs, constants, strict=True):
        if constant is not None:
            if constant.size != 1:
                return False
            tables.append(np.full(256, constant.reshape(-1)[0], np.float32))
            continue
        source = b.tensor(value).source
        if not isinstance(source, Lookup) or source.of.shape != shape or (of is not None and of is not source.of):
            return False
        of = source.of
        tables.append(source.table)
    if of is None:
        return False
    with np.errstate(all="ignore"):
        table = _FUNCTIONS[node.op_type](tables[0], tables[1]).astype(np.float32)
    value = node.outputs[0]
    b.define(value, Tensor(value.name or "", "f32", shape, source=Lookup(of, table)))
    return True


def emit_integer_binary(
    b: Builder, op_type: str, tail: Tail, first: tuple[Tensor, Affine], second: tuple[Tensor, Affine]
) -> None:
    """Emit a sum or product of two quantized tensors; the first has the shape of the result."""
    (left, left_affine), (right, right_affine) = first, second
    a = b.view(left)
    other = _in_rank(b, right, left, a)
    spread = broadcast(left.shape, right.shape, a.order)
    affine = tail.affine
    if affine is None:
        raise Refusal("its output is not quantized")
    low, high = tail.bounds()
    output = Requantize(affine.zero_point, low, high)
    tasks = b.tasks(2 * a.size)
    # onnxruntime rounds sums of int8 tensors in another order than those of uint8.
    points: dict[str, Any] = {
        "a_zero_point": left_affine.zero_point,
        "b_zero_point": right_affine.zero_point,
        "signed": left_affine.signed and right_affine.signed and affine.signed,
    }
    if op_type == "Add":
        scales: dict[str, Any] = {
            "a_scale": float(left_affine.scale / affine.scale),
            "b_scale": float(right_affine.scale / affine.scale),
        }
        step: Add | Multiply = Add(**spread.fields, **scales, **points, output=output, tasks=tasks)
    else:
        scale = float(left_affine.scale * right_affine.scale / affine.scale)
        step = Multiply(**spread.fields, scale=scale, **points, output=output, tasks=tasks)
    made = b.result(tail.value, "u8", a.order)
    b.emit(step, {"a": a, "b": other, "y": made})


def _in_rank(b: Builder, tensor: Tensor, like: Tensor, view: View) -> View:
    """A tensor in the order another lies in; it may have fewer axes, which are the last ones."""
    missing = len(like.shape) - len(tensor.shape)
    order = tuple(axis - missing for axis in view.order if axis >= missing)
    return b.view(tensor, order)


def _float(b: Builder, node: ir.Node, shape: tuple[int, ...], constants: list[NDArray | None]) -> None:
    swapped = constants[0] is not None or (constants[1] is None and b.tensor(node.inputs[0]).shape != shape)
    main, other = (1, 0) if swapped else (0, 1)
    x = b.tensor(node.inputs[main])
    if x.shape != shape:
        raise Refusal("both its inputs are repeated")
    if node.op_type == "Add" and all(c is None for c in constants) and _added_by_next(b, node, shape):
        value = node.outputs[0]
        b.define(value, Tensor(value.name or "", "f32", shape, source=Sum(x, b.tensor(node.inputs[other]))))
        return
    view = b.view(x)
    constant = constants[other]
    if constant is not None:
        spread = broadcast(shape, constant.shape, view.order)
        operand: View | NDArray = in_order(constant, len(shape), view.order)
    else:
        tensor = b.tensor(node.inputs[other])
        spread = broadcast(shape, tensor.shape, view.order)
        operand = _in_rank(b, tensor, x, view)
    step = FloatBinary(kind=KINDS[node.op_type], **spread.fields, swapped=swapped, tasks=b.tasks(2 * view.size))
    made = b.result(node.outputs[0], "f32", view.order)
    b.emit(step, {"a": view, "b": operand, "y": made})


def _added_by_next(b: Builder, node: ir.Node, shape: tuple[int, ...]) -> bool:
    """Whether a normalisation follows, which adds two tensors of the same shape by itself."""
    following = only_consumer(b, node.outputs[0])
    same = all(b.tensor(value).shape == shape for value in node.inputs)
    return same and following is not None and following.op_type == "LayerNormalization"


def _real_constant(value: ir.Value | None) -> NDArray | None:
    """A float32 constant, dequantized where it is stored quantized; None where the value is not constant."""
    array = constant_array(value)
    if array is not None:
        if array.dtype != np.float32:
            raise Refusal(f"its constant input is {array.dtype}, not float32")
        return array
    weights = weights_of(value)
    return None if weights is None else weights.real()
