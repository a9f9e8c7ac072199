"""Weights with all their readers: a weight is quantized once, for all of them or not at all."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgebig.quantize.exclude import node_name
from edgebig.quantize.weight_only.readers import Form, Reader, read_by
from edgebig.quantize.weight_only.readers import readers as registered
from edgebig.quantize.weight_only.settings import WeightOnlySettings
from edgebig.quantize.weight_only.size import Spec, bytes_after, spec_for
from edgebig.quantize.weight_only.source import weight_source

_PASSED = ("Cast", "Transpose", "Identity")


@dataclass(frozen=True)
class Group:
    """A weight that will be quantized.

    Attributes:
        value: The initializer.
        readers: All nodes that read it, in the graph's order.
        spec: How it will be stored.
    """

    value: ir.Value
    readers: tuple[Reader, ...]
    spec: Spec

    @property
    def weights(self) -> int:
        """Numbers in the weight."""
        return int(np.prod(self.value.const_value.shape.numpy()))  # type: ignore[union-attr]

    @property
    def bytes_before(self) -> int:
        """Of the weight in float."""
        return int(self.value.const_value.nbytes)  # type: ignore[union-attr]


def find_groups(
    graph: ir.Graph, settings: WeightOnlySettings, excluded: Collection[ir.Node] = ()
) -> tuple[list[Group], dict[ir.Node, str]]:
    """The weights of a graph and its subgraphs that can be quantized.

    Args:
        graph: The graph of a working copy: its constants are initializers.
        settings: How.
        excluded: Nodes whose weights stay in float.

    Returns:
        The weights in the order of their first readers, and for every node that reads a weight why it cannot be
        quantized ("" where it can).
    """
    groups: list[Group] = []
    reasons: dict[ir.Node, str] = {}
    seen: set[ir.Value] = set()
    for node in ir.traversal.RecursiveGraphIterator(graph):
        for index in range(len(node.inputs)):
            found = read_by(node, index)
            if not isinstance(found, Reader):
                if found and node.op_type in registered and _is_matrix(node.inputs[index]):
                    reasons.setdefault(node, found)
                continue
            if found.source.value in seen:
                continue
            seen.add(found.source.value)
            group = _group(found.source.value, settings, excluded)
            readers = _readers(found.source.value) if isinstance(group, str) else group.readers
            for reader in readers:
                if isinstance(reader, Reader):
                    # A node of several weights is left alone only where none of them can be quantized.
                    reason = group if isinstance(group, str) else ""
                    reasons[reader.node] = "" if reasons.get(reader.node) == "" else reason
            if isinstance(group, Group):
                groups.append(group)
    return groups, reasons


def _group(value: ir.Value, settings: WeightOnlySettings, excluded: Collection[ir.Node]) -> Group | str:
    """The weight with its readers, or why it stays in float."""
    found: list[Reader] = []
    if value.is_graph_output():
        return "its weight is an output of the model"
    for reader in _readers(value):
        if isinstance(reader, str):
            return f"its weight stays in float: {reader}"
        if reader.node in excluded:
            return "excluded" if len(found) == 0 else f"{node_name(reader.node)!r} shares its weight, and is excluded"
        found.append(reader)
    if len({(reader.source.dtype, reader.inputs_axis) for reader in found}) > 1:
        if any(reader.form is Form.TABLE for reader in found):
            return "its readers sum over different axes of the weight they share"
        found = [_behind(reader) for reader in found]
    spec = spec_for(value, found, settings)
    before = value.const_value.nbytes if value.const_value is not None else 0
    if bytes_after(spec) >= before:
        return "scales and padding would outweigh what the integers save"
    return Group(value, tuple(found), spec)


def _behind(reader: Reader) -> Reader:
    return Reader(reader.node, reader.index, reader.source, Form.BEHIND, reader.inputs_axis, reader.outputs_axis)


def _readers(value: ir.Value) -> Iterator[Reader | str]:
    """All nodes that a constant reaches through Cast, Transpose and Identity; a reason for those that bar it."""
    for node, index in value.uses():
        if node.op_type in _PASSED and weight_source(node.outputs[0]) is not None:
            if node.outputs[0].is_graph_output():
                yield "it is an output of the model"
            yield from _readers(node.outputs[0])
            continue
        found = read_by(node, index)
        yield found if found is not None else f"{node.op_type} reads it"


def _is_matrix(value: ir.Value | None) -> bool:
    source = weight_source(value)
    return source is not None and source.value.const_value is not None and len(source.value.const_value.shape) > 1
