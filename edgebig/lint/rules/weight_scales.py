"""Scales of weights: one for a whole tensor where the target has one per channel, or along the wrong axis."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edgebig.lint.context import Context, finding
from edgebig.lint.products import Product, products
from edgebig.lint.rule import Rule
from edgebig.records.lint import Finding, Severity

PER_TENSOR, AXIS = "per-tensor-weight", "weight-axis"
# The typical channel uses less than this share of the integers: it has 4 of 8 bits left, or fewer.
COARSE = 16 / 127


def check_per_tensor(context: Context) -> Iterator[Finding]:
    """Find weights with one scale whose channels differ much in range."""
    target = context.target
    for product in products(context.nodes):
        if not target.per_channel_weights or product.twin not in target.per_channel_ops:
            continue
        params = product.weight_params
        integers = product.integers() if params.scale.size == 1 and not product.moved else None
        if integers is None or integers.size == 0:
            continue
        used = _channel_ranges(integers - int(params.zero_point.reshape(-1)[0]), product)
        used = used[used > 0]
        if not used.size or (share := float(np.median(used)) / 127) >= COARSE:
            continue
        yield finding(
            PER_TENSOR,
            Severity.LOSES_ACCURACY,
            product.node,
            "one scale for all output channels of a weight, most of which use few of the integers; a scale per channel "
            f"is fused by {target.name} alike",
            detail=f"the typical channel uses {share:.0%} of the range",
            advice=f"quantize per channel: edgebig quantize --target {target.name} from the float model",
        )


def check_axis(context: Context) -> Iterator[Finding]:
    """Find scales that run along another axis than the output channels."""
    target = context.target
    for product in products(context.nodes):
        params = product.weight_params
        if not params.per_channel or product.moved or product.dequantize is None:
            continue
        shape = tuple(product.weight.const_value.shape.numpy())  # type: ignore[union-attr]
        axis = params.axis % len(shape)
        if axis != product.output_axis:
            yield finding(
                AXIS,
                Severity.REFUSED if target.symmetric_activations else Severity.NOT_FUSED,
                product.node,
                f"the scales of a {product.twin} weight run along axis {axis}, and its output channels along axis "
                f"{product.output_axis}: no kernel can take them out of the sum",
                detail=f"weight {product.weight.name!r} {list(shape)}",
                advice="quantize again with a scale per output channel",
            )
        elif product.twin not in target.per_channel_ops and target.fuses(product.twin):
            yield finding(
                AXIS,
                Severity.NOT_FUSED,
                product.node,
                f"a {product.twin} weight has a scale per channel, which {target.name} does not take",
                detail=f"weight {product.weight.name!r} {list(shape)}",
                advice=f"one scale for the tensor: edgebig quantize --target {target.name} from the float model",
            )


def _channel_ranges(integers: NDArray, product: Product) -> NDArray:
    """The largest magnitude of every output channel."""
    axes = tuple(axis for axis in range(integers.ndim) if axis != product.output_axis)
    return np.abs(integers).max(axis=axes)


PER_TENSOR_RULE = Rule(PER_TENSOR, check_per_tensor, source="per_channel_ops")
AXIS_RULE = Rule(AXIS, check_axis, source="per_channel_ops")
