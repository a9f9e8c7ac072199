"""Convolutions and products of inputs that were quantized at run time: real results, with bias and activation."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from llvmlite import ir
from numpy.typing import ArrayLike, NDArray

from edgebig.kernels import dots
from edgebig.kernels.dense import Conv
from edgebig.kernels.dynamic_tile import DynamicTile, load_parameters
from edgebig.kernels.errors import KernelError
from edgebig.kernels.float_rows import stepped
from edgebig.kernels.float_unary import PLAIN
from edgebig.kernels.packing import pad_filters
from edgebig.kernels.vector import Value

OPERANDS = ("x", "parameters", "weights", "column_sums", "bias", "multiplier", "y")


def check_dynamic(product: Conv, activation: str) -> None:
    """Refuse what has no real result.

    Raises:
        KernelError: The activation is not known, or the dot product is one of floats.
    """
    if activation and activation not in PLAIN:
        raise KernelError(f"activation is {activation!r}; known are {', '.join(PLAIN)}, or '' for none.")
    if dots.get(product.dot).real:
        raise KernelError(f"{product.dot} multiplies floats; give a dot product of integers.")


def dynamic_constants(
    product: Conv,
    weights: NDArray[np.generic],
    bias: NDArray[np.generic] | None,
    multiplier: ArrayLike,
    weight_zero_point: ArrayLike,
) -> dict[str, NDArray[Any]]:
    """The constant operands of a product, packed.

    Args:
        product: Its geometry; the output is f32.
        weights: [filters, channels / groups, height, width], s8 or u8.
        bias: [filters] f32; None is none.
        multiplier: Scale of the weights: [filters] f32, or one for all.
        weight_zero_point: Of the weights, one or one per filter.
    """
    packed = product.constants(weights, None, multiplier, weight_zero_point)
    zero_point = np.broadcast_to(np.asarray(weight_zero_point, np.int64), (product.filters,))
    sums = weights.sum(axis=(1, 2, 3), dtype=np.int64) - weights[0].size * zero_point
    reals = np.zeros(product.filters, np.float32) if bias is None else np.asarray(bias, np.float32)
    blocks = product.work.blocks
    return {
        "weights": packed["weights"],
        "column_sums": pad_filters(sums.astype(np.int32), product.groups, blocks),
        "bias": pad_filters(reals, product.groups, blocks),
        "multiplier": packed["multiplier"],
    }


def dynamic_run(product: Conv, activation: str) -> Callable[..., Any]:
    """The jitted function `run(x, parameters, weights, column_sums, bias, multiplier, y, task)`.

    Raises:
        KernelError: The processor lacks the dot product.
    """
    if not dots.runs(dots.get(product.dot)):
        known = ", ".join(dot.name for dot in dots.available())
        raise KernelError(f"this processor has no {product.dot}; it has {known}")
    work = product.work

    def body(b: ir.IRBuilder, *values: Value) -> None:
        x, parameters, weights, column_sums, bias, multiplier, y, task = values
        scale, zero_point = load_parameters(b, parameters)
        fields = {name: getattr(work.tile, name) for name in work.tile.__dataclass_fields__}
        tile = DynamicTile(
            **fields,
            scale=scale,
            zero_point=zero_point,
            bias_after=b.sub(bias, multiplier),
            activation=activation,
        )
        panel = work.panel
        if panel is not None:  # what lies outside of an image stands for 0
            panel = replace(panel, window=replace(panel.window, padding=zero_point))
        replace(work, tile=tile, panel=panel).emit(b, x, weights, column_sums, multiplier, y, task)

    return stepped(len(OPERANDS), body)
