"""Add of a quantized tensor and a quantized constant: the bias behind a product that was quantized before it."""

import numpy as np
import onnx_ir as ir

from edgebig.runtime.lower.attention import scores_behind
from edgebig.runtime.lower.binary import emit_integer_binary, lower_binary
from edgebig.runtime.lower.builder import Builder, shape_of
from edgebig.runtime.lower.follow import follow
from edgebig.runtime.lower.parameters import SIGNED_OFFSET, affine_input, weights_of
from edgebig.runtime.lower.tensors import Affine, Tensor
from edgebig.runtime.plan import Buffer, Place, View, natural


def lower_add(b: Builder, node: ir.Node) -> None:
    """Lower a sum: in integers where one side is a constant of 8 bits and the result is quantized."""
    for mine, other in (node.inputs, tuple(reversed(node.inputs))):
        tensor = b.tensors.get(mine) if mine is not None else None
        constant = _constant(other)
        integer = None if tensor is None or scores_behind(tensor) is not None else affine_input(tensor)
        if integer is None or constant is None:
            continue
        tail = follow(b, node.outputs[0])
        fits = len(constant[0].shape) <= len(integer[0].shape) and integer[0].shape == shape_of(node.outputs[0])
        if tail.affine is not None and fits and not _is_number(constant[0]):
            b.cover(tail.nodes)
            emit_integer_binary(b, "Add", tail, integer, constant)
            return
    lower_binary(b, node)


def _is_number(tensor: Tensor) -> bool:
    """Whether all a tensor holds is one number: then the sum is a table."""
    return all(size == 1 for size in tensor.shape)


def _constant(value: ir.Value | None) -> tuple[Tensor, Affine] | None:
    """A constant of 8 bits with one scale, as a tensor; None where a value is something else."""
    weights = weights_of(value)
    if value is None or weights is None or weights.scale is None or weights.zero_point is None:
        return None
    if weights.scale.size != 1 or weights.array.dtype not in (np.uint8, np.int8):
        return None
    signed = weights.array.dtype == np.int8
    array = (weights.array.view(np.uint8) ^ 0x80) if signed else weights.array
    buffer = Buffer(array.nbytes, Place.CONSTANT, array=np.ascontiguousarray(array), label=value.name or "")
    view = View(buffer, "u8", array.shape, natural(array.ndim))
    point = int(weights.zero_point.reshape(-1)[0]) + (SIGNED_OFFSET if signed else 0)
    affine = Affine(np.float32(weights.scale.reshape(-1)[0]), point, bool(signed))
    return Tensor(value.name or "", "u8", array.shape, [view]), affine
