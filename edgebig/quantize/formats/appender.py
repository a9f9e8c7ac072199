"""Appending nodes to a graph: names, types, constants, and pairs of QuantizeLinear and DequantizeLinear."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.quantize.formats.constants import ConstantPool
from edgebig.quantize.qparams import QParams

# The standard QuantizeLinear knows 16 bits since this opset; onnxruntime's own domain has them for older files.
WIDE_OPSET = 21
MICROSOFT = "com.microsoft"


class NodeAppender:
    """Appends nodes to a graph; sort the graph afterwards.

    Args:
        graph: The graph.

    Attributes:
        graph: The graph.
        pool: Its constants.
    """

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.pool = ConstantPool(graph)

    def constant(self, name: str, array: NDArray | np.generic) -> ir.Value:
        """An initializer with this content."""
        return self.pool.get(name, array)

    def append(
        self,
        op_type: str,
        inputs: Sequence[ir.Value],
        name: str,
        dtype: ir.DataType | None,
        shape: ir.Shape | None,
        attributes: Mapping[str, int] | None = None,
        *,
        domain: str = "",
    ) -> ir.Value:
        """Append a node of one output; return that."""
        name = self.pool.free_name(name)
        node = ir.node(op_type, list(inputs), attributes=dict(attributes or {}), name=name, domain=domain)
        output = node.outputs[0]
        output.name, output.shape = name, shape
        if dtype is not None:
            output.type = ir.TensorType(dtype)
        self.graph.append(node)
        if domain:
            self.graph.opset_imports.setdefault(domain, 1)
        return output

    def quantize(self, value: ir.Value, params: QParams) -> ir.Value:
        """Append QuantizeLinear."""
        dtype = ir.DataType.from_numpy(np.dtype(params.dtype))
        inputs, name = [value, *self.pair(params)], f"{value.name}_quantized"
        return self.append("QuantizeLinear", inputs, name, dtype, value.shape, domain=self._domain(params))

    def dequantize(self, integers: ir.Value, params: QParams, name: str, dtype: ir.DataType | None) -> ir.Value:
        """Append DequantizeLinear; the result's name says that of what it is."""
        inputs = [integers, *self.pair(params)]
        domain = self._domain(params)
        return self.append("DequantizeLinear", inputs, f"{name}_dequantized", dtype, integers.shape, domain=domain)

    def pair(self, params: QParams) -> tuple[ir.Value, ir.Value]:
        """Scale and zero point as constants."""
        zero = np.array(params.zero_point, dtype=params.dtype)
        return self.pool.get("scale", np.float32(params.scale)), self.pool.get("zero_point", zero)

    def take_over_output(self, old: ir.Value, new: ir.Value) -> None:
        """Make `new` the graph's output in the place and under the name of `old`."""
        name = old.name
        old.name, new.name = self.pool.free_name(f"{name}_float"), name
        for index, output in enumerate(self.graph.outputs):
            if output is old:
                self.graph.outputs[index] = new

    def _domain(self, params: QParams) -> str:
        wide = np.dtype(params.dtype).itemsize > 1
        return MICROSOFT if wide and self.graph.opset_imports.get("", 0) < WIDE_OPSET else ""
