"""Activations that clip, and how the saturation of QuantizeLinear expresses them.

A Relu or Clip is free where the integers span no more than its limits. HardSigmoid(x) = clip(alpha * x + beta, 0, 1) is
free too: the same integers, written with a scale for x, are read with a scale for alpha * x + beta.
"""

import math

import onnx_ir as ir

from edgebig.graph.edit import constant_array
from edgebig.quantize.qparams import QParams

INFINITE = (-math.inf, math.inf)


def clip_limits(node: ir.Node) -> tuple[float, float] | None:
    """The limits a Relu or Clip holds its values within; None for other nodes and for limits that are not constant."""
    if node.op_type == "Relu":
        return 0.0, math.inf
    if node.op_type != "Clip":
        return None
    limits = list(INFINITE)
    for index, value in enumerate(node.inputs[1:3]):
        if value is not None:
            array = constant_array(value)
            if array is None:
                return None
            limits[index] = float(array.reshape(-1)[0])
    return (limits[0], limits[1]) if limits[0] <= 0.0 <= limits[1] else None


def gate_constants(node: ir.Node) -> tuple[float, float] | None:
    """(alpha, beta) of a HardSigmoid or HardSwish whose zero lies where integers can reach it, else None."""
    if node.op_type == "HardSwish":
        return 1 / 6, 0.5
    if node.op_type != "HardSigmoid":
        return None
    alpha, beta = node.attributes.get_float("alpha", 0.2), node.attributes.get_float("beta", 0.5)
    return (alpha, beta) if alpha > 0 and 0 < beta < 1 else None


def gate_params(alpha: float, beta: float, highest: float, dtype: str) -> tuple[QParams, QParams]:
    """Parameters that quantize x and read alpha * x + beta, clipped at 0, out of the same integers.

    Args:
        alpha: Slope of the HardSigmoid.
        beta: Its value at 0.
        highest: The largest value it has to represent; at most 1.
        dtype: Name of the integer dtype, unsigned.
    """
    # The zero point must be an integer in both: beta is that many steps.
    steps = max(math.floor(255 * beta / max(highest, beta)), 1)
    scale = beta / steps
    return QParams(scale / alpha, steps, dtype), QParams(scale, 0, dtype)
