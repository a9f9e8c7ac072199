"""Which tensors need a range of their own, and what of each need not be told apart."""

import math
from collections.abc import Iterable

import onnx_ir as ir

from edgebig.graph.edit import constant_array
from edgebig.quantize.placement import Placement
from edgebig.quantize.unit import ScaleRule, Unit

Limits = tuple[float, float]


def wanted_ranges(placement: Placement) -> list[ir.Value]:
    """The tensors to observe: what units read from float operators, and outputs with a scale of their own."""
    given_in_integers = {
        value for unit in placement.units if unit not in placement.float_results for value in unit.outputs
    }
    wanted: dict[ir.Value, None] = {}
    for unit in placement.units:
        for value in unit.inputs:
            if value not in given_in_integers and constant_array(value) is None:
                wanted[value] = None
        if unit.scale is ScaleRule.OWN and unit not in placement.float_results:
            wanted.update(dict.fromkeys(unit.outputs))
    return list(wanted)


def wanted_means(placement: Placement) -> dict[Unit, ir.Value]:
    """The inputs whose channels' means are wanted: those of units with a weight and a bias."""
    return {unit: unit.inputs[0] for unit in placement.units if unit.weighted is not None and unit.bias is not None}


def channel_axis(unit: Unit) -> int:
    """The axis of a weighted unit's input that counts input channels."""
    return 1 if unit.node.op_type == "Conv" else -1


def useful_limits(values: Iterable[ir.Value], placement: Placement) -> dict[str, Limits]:
    """Value name -> limits beyond which values need not be told apart: those of its readers that clip anyway.

    A hard swish is 0 from -3 down, so a tensor that only hard swishes read loses nothing where it is cut there.
    """
    readers: dict[ir.Node, Unit] = {unit.node: unit for unit in placement.units}
    return {value.name or "": _limits(value, readers) for value in values}


def _limits(value: ir.Value, readers: dict[ir.Node, Unit]) -> Limits:
    limits = [math.inf, -math.inf]
    for use in value.uses():
        unit = readers.get(use.node)
        low, high = (-math.inf, math.inf) if unit is None else unit.useful
        limits = [min(limits[0], low), max(limits[1], high)]
    return (-math.inf, math.inf) if value.is_graph_output() or not value.uses() else (limits[0], limits[1])
