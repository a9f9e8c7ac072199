"""Constants of a graph, each content once: scales, zero points, and weights that several nodes share."""

import hashlib

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.edit import value_names


class ConstantPool:
    """Adds initializers to a graph and hands out the same one for the same content.

    Args:
        graph: The graph; nobody else may name values in it, or in its subgraphs, meanwhile.
    """

    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self._names = set().union(*(value_names(inner) for inner in (graph, *graph.subgraphs())))
        self._by_content: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = {}

    def get(self, name: str, array: NDArray | np.generic) -> ir.Value:
        """The initializer that holds `array`; a new one, under `name` or the next free one, if there is none."""
        array = np.ascontiguousarray(array).reshape(np.shape(array))
        digest = hashlib.sha256(array.tobytes()).digest()
        key = (str(array.dtype), array.shape, digest)
        if key not in self._by_content:
            name = self.free_name(name)
            value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
            value.shape, value.type = ir.Shape(array.shape), ir.TensorType(ir.DataType.from_numpy(array.dtype))
            self._graph.register_initializer(value)
            self._by_content[key] = value
        return self._by_content[key]

    def free_name(self, name: str) -> str:
        """`name`, or with the first number behind it that makes it new; the name is taken from then on."""
        free, count = name, 0
        while free in self._names:
            count += 1
            free = f"{name}_{count}"
        self._names.add(free)
        return free
