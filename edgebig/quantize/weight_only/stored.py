"""Packed weights as initializers, beside the float weight that they replace."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.edit import value_names
from edgebig.quantize.weight_only.spool import Spool


@dataclass(frozen=True)
class Stored:
    """What a quantized weight consists of.

    Attributes:
        integers: Its integers.
        scales: Its scales.
        points: Its zero points, or None.
    """

    integers: ir.Value
    scales: ir.Value
    points: ir.Value | None

    @property
    def bytes(self) -> int:
        """Of all of them."""
        values = [self.integers, self.scales, *([self.points] if self.points else [])]
        return sum(value.const_value.nbytes for value in values if value.const_value is not None)


class Store:
    """Registers initializers and nodes under names that are free in the whole model.

    Args:
        model: The model.
        spool: Where large tensors wait.
    """

    def __init__(self, model: ir.Model, spool: Spool) -> None:
        self._spool = spool
        # A name in a subgraph must not hide one outside, so all graphs share their names.
        self._names = {name for graph in model.graphs() for name in value_names(graph)}

    def free_name(self, name: str) -> str:
        """`name`, or with the first number behind it that makes it new; the name is taken from then on."""
        free, count = name, 0
        while free in self._names:
            count += 1
            free = f"{name}_{count}"
        self._names.add(free)
        return free

    def constant(
        self,
        graph: ir.Graph,
        name: str,
        array: NDArray,
        dtype: ir.DataType | None = None,
        shape: tuple[int, ...] | None = None,
    ) -> ir.Value:
        """Register an array as an initializer.

        Args:
            graph: Where.
            name: Its name, if it is free.
            array: Numbers, or the bytes of `dtype`.
            dtype: Its type, where it is not that of the array.
            shape: Its shape, where it is not that of the array.
        """
        dtype = dtype or ir.DataType.from_numpy(array.dtype)
        shape = array.shape if shape is None else shape
        name = self.free_name(name)
        value = ir.Value(name=name, const_value=self._spool.keep(name, array, dtype, shape))
        value.shape, value.type = ir.Shape(shape), ir.TensorType(dtype)
        graph.register_initializer(value)
        return value

    def node(
        self,
        before: ir.Node,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        output: str,
        *,
        domain: str = "",
        attributes: dict[str, int] | None = None,
        perm: list[int] | None = None,
        dtype: ir.DataType | None = None,
    ) -> ir.Value:
        """Insert a node before another and return its output.

        Args:
            before: The node that will read it.
            op_type: Its operator.
            inputs: What it reads.
            output: Name of its output, if it is free; also the node's name.
            domain: The operator's domain.
            attributes: Integers.
            perm: Of a Transpose.
            dtype: Type of its output.
        """
        graph = before.graph
        if not isinstance(graph, ir.Graph):
            raise TypeError(f"node {before.name!r} lies in no graph")
        name = self.free_name(output)
        made = [ir.AttrInt64(key, value) for key, value in (attributes or {}).items()]
        if perm is not None:
            made.append(ir.AttrInt64s("perm", perm))
        node = ir.Node(domain, op_type, inputs, made, name=name, num_outputs=1)
        node.outputs[0].name = name
        if dtype is not None:
            node.outputs[0].type = ir.TensorType(dtype)
        graph.insert_before(before, node)
        return node.outputs[0]


def int64(*values: int) -> NDArray[np.int64]:
    """A small constant of shapes and axes."""
    return np.asarray(values, np.int64)


def drop_initializer(value: ir.Value) -> None:
    """Take a constant that nothing reads out of its graph."""
    graph, name = value.graph, value.name or ""
    if isinstance(graph, ir.Graph) and name in graph.initializers:
        del graph.initializers[name]
