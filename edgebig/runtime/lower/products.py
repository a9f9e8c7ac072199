"""Products of two computed tensors that are not part of a whole attention block."""

from math import prod

import numpy as np
import onnx_ir as ir

from edgebig.kernels.batched import BatchedMatMul
from edgebig.kernels.batched_tile import Layout
from edgebig.kernels.epilogue import Requantize
from edgebig.runtime.lower.builder import Builder
from edgebig.runtime.lower.follow import follow
from edgebig.runtime.lower.parameters import affine_input
from edgebig.runtime.lower.refusal import Refusal
from edgebig.runtime.lower.tensors import Tensor
from edgebig.runtime.plan import View, natural


def emit_product(b: Builder, value: ir.Value, left: Tensor, right: Tensor) -> None:
    """Emit a MatMul of two tensors with the same leading axes, and quantize its result where that follows."""
    tail = follow(b, value)
    b.cover(tail.nodes)
    if not (np.isinf(tail.low) and np.isinf(tail.high)) and tail.affine is None:
        raise Refusal("a relu follows it in float")
    output, divisor = None, 1.0
    if tail.affine is not None:
        low, high = tail.bounds()
        output, divisor = Requantize(tail.affine.zero_point, low, high), float(tail.affine.scale)
    made = b.result(tail.value, "u8" if output else "f32")
    multiply(b, left, right, made, output=output, divisor=divisor)


def multiply(
    b: Builder,
    left: Tensor,
    right: Tensor,
    made: View,
    *,
    scale: float = 1.0,
    output: Requantize | None = None,
    divisor: float = 1.0,
) -> None:
    """Emit left @ right * scale into a view in natural order; a result in 8 bits is divided by its scale.

    Raises:
        Refusal: Their leading axes differ.
    """
    if left.shape[:-2] != right.shape[:-2] or len(left.shape) < 2:
        raise Refusal("it multiplies tensors with different leading axes")
    first, second = affine_input(left), affine_input(right)
    zero_points = (0, 0)
    element = "f32"
    if first is not None and second is not None:
        (left, a), (right, c) = first, second
        element, zero_points = "u8", (a.zero_point, c.zero_point)
        scale *= float(a.scale * c.scale)
    rank = len(left.shape)
    x, y = b.view(left, natural(rank)), _either(b, right)
    transposed = y.key != () and y.key[-1] == rank - 2 and right.shape[-1] != 1
    rows, inner, columns = left.shape[-2], left.shape[-1], right.shape[-1]
    batch = prod(left.shape[:-2])
    step = BatchedMatMul(
        batch=batch,
        rows=rows,
        inner=inner,
        columns=columns,
        transpose_b=transposed,
        a=Layout(inner, rows * inner, rows * inner),
        b=Layout(inner if transposed else columns, inner * columns, inner * columns),
        y=Layout(columns, rows * columns, rows * columns),
        element=element,
        zero_points=zero_points,
        scale=float(np.float32(scale) / np.float32(divisor)),
        output=output,
        tasks=b.tasks(batch * rows * inner * columns),
    )
    operands = {"a": x, "b": y, "y": made}
    if step.workspace_bytes:
        operands["workspace"] = b.new("u8", (step.workspace_bytes,), (0,))
    b.emit(step, operands)


def _either(b: Builder, tensor: Tensor) -> View:
    """A matrix, or a batch of them, as it lies: rows or columns innermost, the rest in natural order."""
    rank = len(tensor.shape)
    turned = (*range(rank - 2), rank - 1, rank - 2)
    view = b.view(tensor)
    for order in (natural(rank), turned):
        if view.key == tuple(axis for axis in order if tensor.shape[axis] != 1):
            return view
    return b.view(tensor, natural(rank))
