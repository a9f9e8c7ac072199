"""Cross-layer equalisation and SmoothQuant: channels of activations are scaled until one step fits them all.

The two differ in what they scale: equalisation what convolutions and Gemm read, SmoothQuant what matrices read. Where
no layer can take the division in, SmoothQuant puts a Mul before the matrices, if that is worth a node. The model
computes the same in float (apart from rounding), so that the guard is left to compare quantized models.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.edit import add_initializer, constant_array
from edgebig.graph.weights import WeightedNode
from edgebig.passes.channel_scales import by_input, by_output
from edgebig.passes.rewire import replace_constant
from edgebig.quantize.algorithms.rescale_factors import Factors, choose_factors
from edgebig.quantize.algorithms.rescale_sites import NORMALISATIONS, Site, find_sites, layer_of
from edgebig.quantize.calibrate.statistics import TensorStatistics
from edgebig.records.quantize import AlgorithmReport

EQUALIZE, SMOOTH = "equalize", "smooth-quant"
# The estimated error must fall below these shares: where constants absorb the factors, and where a Mul is needed.
WORTH, WORTH_A_NODE = 0.9, 0.25


@dataclass(frozen=True)
class Rescaled:
    """What was done.

    Attributes:
        report: For people.
        changed: Names of values whose statistics are not true any more.
        added: Names of new values; each has the channels of the value it was made of, on the same axis.
    """

    report: AlgorithmReport
    changed: frozenset[str]
    added: Mapping[str, str]


def rescale(
    model: ir.Model,
    statistics: Mapping[str, TensorStatistics],
    shapes: Mapping[str, tuple[int, ...]],
    *,
    smooth: bool,
    readers: Iterable[str],
) -> Rescaled:
    """Scale channels, in place.

    Args:
        model: The float model.
        statistics: Of the values that layers read, channels included; see `StaticEngine.statistics`.
        shapes: Value name -> shape on a real sample.
        smooth: Whether to scale what matrices read; else what convolutions and Gemm read.
        readers: Names of the nodes that will run in integers; for others nothing is gained.
    """
    integer = frozenset(readers)
    where, skipped, changed, added = [], [], set[str](), dict[str, str]()
    for site in find_sites(model.graph, shapes):
        name = site.value.name or ""
        known = statistics.get(name)
        if site.smooths != smooth or known is None or known.channels is None:
            continue
        if not all(reader.name in integer for reader in site.readers) or len(known.channel_low) != site.channels:
            continue
        factors = choose_factors(site, known)
        gain = factors.error / factors.before if factors.before > 0 else 1.0
        if site.source is None and (not smooth or gain > WORTH_A_NODE):
            if gain <= WORTH:
                skipped.append(f"{name}: {site.reason}")
            continue
        if gain > WORTH:
            continue
        where.append(f"{name} (estimated error {10 * np.log10(gain):.1f} dB)")
        if site.source is None:
            added[_insert(site, factors)] = name
        else:
            _divide(site, factors.values)
            changed.update(value.name or "" for value in site.between)
        for reader in site.readers:
            _set(reader.node, reader.weight_index, reader, by_input(reader, reader.array(), factors.values))
    report = AlgorithmReport(
        SMOOTH if smooth else EQUALIZE,
        kept=bool(where),
        where=tuple(where),
        skipped=tuple(skipped),
        reason="" if where else "no channels gain from it",
    )
    return Rescaled(report, frozenset(changed), added)


def _insert(site: Site, factors: Factors) -> str:
    """Put a Mul by 1 / s before the layers; the name of its result."""
    graph = site.readers[0].node.graph
    if not isinstance(graph, ir.Graph):
        raise TypeError(f"node {site.readers[0].name!r} is in no graph")
    name = f"{site.value.name}_smoothed"
    divisors = add_initializer(graph, f"{name}_factors", (1.0 / factors.values).astype(np.float32))
    node = ir.node("Mul", [site.value, divisors], name=name)
    output = node.outputs[0]
    output.name, output.type, output.shape = name, site.value.type, site.value.shape
    first = min(site.readers, key=lambda reader: list(graph).index(reader.node))
    graph.insert_before(first.node, node)
    for reader in site.readers:
        reader.node.replace_input_with(1 - reader.weight_index, output)
    return name


def _divide(site: Site, factors: NDArray[np.float64]) -> None:
    """Divide the channels that a place's source gives."""
    node = site.source
    assert node is not None  # the caller has looked
    inverse = 1.0 / factors
    if node.op_type in NORMALISATIONS:
        for index in range(1, len(node.inputs)):
            _scale_constant(node, index, inverse)
        return
    layer = layer_of(node)
    if layer is None:  # a Mul by constants
        _scale_constant(
            node, next(i for i, value in enumerate(node.inputs) if constant_array(value) is not None), inverse
        )
        return
    _set(layer.node, layer.weight_index, layer, by_output(layer, layer.array(), inverse))
    if node is not layer.node:
        _scale_constant(
            node, next(i for i, value in enumerate(node.inputs) if constant_array(value) is not None), inverse
        )
    elif layer.bias is not None:
        _scale_constant(node, 2, inverse)


def _scale_constant(node: ir.Node, index: int, factors: NDArray[np.float64]) -> None:
    value = node.inputs[index]
    array = constant_array(value)
    if value is None or array is None:
        return
    scaled = (array.astype(np.float64) * factors).astype(array.dtype)
    replace_constant(node, index, scaled, name=f"{value.name}_scaled")


def _set(node: ir.Node, index: int, layer: WeightedNode, factors: NDArray[np.float64]) -> None:
    array = layer.array()
    scaled = (array.astype(np.float64) * factors).astype(array.dtype)
    replace_constant(node, index, scaled, name=f"{layer.weight.name}_scaled")
