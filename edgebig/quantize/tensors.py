"""What of a tensor need not be told apart, and where its channels lie."""

import math
from collections.abc import Collection

import onnx_ir as ir

from edgebig.quantize.unit import Unit

Limits = tuple[float, float]


def channel_axis(unit: Unit) -> int:
    """The axis of a weighted unit's input that counts input channels."""
    return 1 if unit.node.op_type in ("Conv", "ConvTranspose") else -1


def useful_limits(units: Collection[Unit]) -> dict[str, Limits]:
    """Value name -> limits beyond which values need not be told apart: those of its readers that clip anyway.

    A hard swish is 0 from -3 down, so a tensor that only hard swishes read loses nothing where it is cut there.

    Args:
        units: All units of a graph; the values are their inputs and outputs.
    """
    readers: dict[ir.Node, Unit] = {unit.node: unit for unit in units}
    values = {value for unit in units for value in (*unit.inputs, *unit.outputs)}
    return {value.name or "": _limits(value, readers) for value in values}


def _limits(value: ir.Value, readers: dict[ir.Node, Unit]) -> Limits:
    limits = [math.inf, -math.inf]
    for use in value.uses():
        unit = readers.get(use.node)
        low, high = (-math.inf, math.inf) if unit is None else unit.useful
        limits = [min(limits[0], low), max(limits[1], high)]
    return (-math.inf, math.inf) if value.is_graph_output() or not value.uses() else (limits[0], limits[1])
