"""Writing units in integers: QuantizeLinear and DequantizeLinear around float operators, as onnxruntime fuses them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.edit import constant_array
from edgebig.graph.weights import WeightedNode
from edgebig.quantize.clipping import gate_constants, gate_params
from edgebig.quantize.formats.constants import ConstantPool
from edgebig.quantize.qparams import QParams, qparams_for_range, quantize
from edgebig.quantize.unit import ScaleRule, Unit
from edgebig.quantize.weights import (
    QuantizedWeight,
    adds_no_pairs,
    bias_scale_limits,
    mean_shift,
    quantize_bias,
    quantize_weight,
)
from edgebig.targets.base import Target


@dataclass(frozen=True)
class WeightRule:
    """How weights are quantized.

    Attributes:
        bits: 8, or 7.
        pair_sums: Whether neighbours must not exceed 128 together (see `quantize_weight`).
    """

    bits: int
    pair_sums: bool

    def of(self, weighted: WeightedNode) -> "WeightRule":
        """The rule for one node: kernels of depthwise convolutions multiply in 32 bits, so 8 bits are safe there."""
        return WeightRule(8, pair_sums=False) if adds_no_pairs(weighted) else self


class QdqWriter:
    """Changes a graph, unit by unit in topological order; new nodes are appended, so sort the graph afterwards.

    Args:
        graph: The graph.
        target: Where the result will run.
        ranges: Value name -> (smallest, largest) of tensors with a scale of their own.
        float_results: Units whose results stay float.
        rule: How weights are quantized.
        means: Unit -> means of its input's channels, where its bias shall make up for the rounding of its weight.
        weights: Unit -> its weight in integers, where it was quantized before.

    Attributes:
        activation_dtype: Name of the integer dtype of activations.
        weights: What became of each unit's weight.
        params: The parameters each quantized tensor is read with, by the name it had in the float graph.
    """

    def __init__(
        self,
        graph: ir.Graph,
        *,
        target: Target,
        ranges: Mapping[str, tuple[float, float]],
        float_results: Collection[Unit],
        rule: WeightRule,
        means: Mapping[Unit, NDArray],
        weights: Mapping[Unit, QuantizedWeight],
    ) -> None:
        self.graph = graph
        self.activation_dtype = target.activation_dtype
        self.weights: dict[Unit, QuantizedWeight] = {}
        self.params: dict[str, QParams] = {}
        self._dtype = ir.DataType.from_numpy(np.dtype(target.activation_dtype))
        self._guarded_ops = target.guarded_ops
        self._ranges = ranges
        self._float_results = float_results
        self._rule = rule
        self._means = means
        self._given_weights = weights
        self._pool = ConstantPool(graph)
        # Value of the graph as it is now -> what integer operators read instead, and with which parameters.
        self._read: dict[ir.Value, ir.Value] = {}
        self._read_params: dict[ir.Value, QParams] = {}

    def read(self, value: ir.Value | None) -> ir.Value:
        """The dequantized form of an activation or constant, written at its first use."""
        assert value is not None  # handlers ask for inputs that are there
        if value not in self._read:
            array = constant_array(value)
            if array is not None:
                params = qparams_for_range(float(array.min()), float(array.max()), self.activation_dtype)
                self._remember(value, self._constant(array, params, value.name or "constant"), params)
            else:
                params = self._own_params(value)
                self._remember(value, self.around(self._guarded(value, params), params), params)
        return self._read[value]

    def constant_activation(self, number: float) -> ir.Value:
        """One number as a dequantized scalar."""
        params = qparams_for_range(min(number, 0.0), max(number, 0.0), self.activation_dtype)
        return self._constant(np.array(number, dtype=np.float32), params, "number")

    def constant(self, name: str, array: NDArray) -> ir.Value:
        """An initializer with this content."""
        return self._pool.get(name, array)

    def weight(self, unit: Unit, activation: ir.Value | None) -> ir.Value:
        """Quantize a unit's weight; return its dequantized form."""
        assert unit.weighted is not None  # the caller is the writer of a weighted unit
        weight = self._given(unit, activation) or self._quantized(unit, activation)
        self.weights[unit] = weight
        return self._per_channel(unit.weighted.weight.name or "weight", weight.integers, weight.scales, weight.axis)

    def bias(self, unit: Unit, activation: ir.Value | None) -> ir.Value:
        """The dequantized form of a unit's bias, in int32; its weight comes first."""
        x_scale, weight = self._scale_of(activation), self.weights[unit]
        integers = quantize_bias(self.float_bias(unit), x_scale, weight.scales)
        assert unit.bias is not None  # float_bias read it
        return self._per_channel(unit.bias.name or "bias", integers, np.float32(x_scale) * weight.scales, 0)

    def float_bias(self, unit: Unit) -> NDArray:
        """A unit's bias, one float32 per output channel, that makes up for the rounding of its weight."""
        bias = self._bias(unit)
        assert bias is not None and unit.weighted is not None  # the caller has seen that there is one
        if unit not in self._means:
            return bias
        return bias - mean_shift(unit.weighted, self.weights[unit], self._means[unit])

    def node(self, op_type: str, inputs: Sequence[ir.Value], like: ir.Value, **attributes: int) -> ir.Value:
        """Append a node whose output has the dtype and shape of `like`; return its output."""
        return self._append(op_type, inputs, f"{like.name}_{op_type}", like.dtype, like.shape, attributes)

    def around(self, value: ir.Value, written: QParams, read: QParams | None = None) -> ir.Value:
        """Append QuantizeLinear and DequantizeLinear to a value; return the float value behind them.

        Args:
            value: The float value.
            written: Parameters of the integers.
            read: Parameters they are read with, where those differ.
        """
        read = read or written
        name = value.name or "value"
        scale, zero = self._pair(written)
        integers = self._append(
            "QuantizeLinear", [value, scale, zero], f"{name}_quantized", self._dtype, value.shape, {}
        )
        scale, zero = self._pair(read)
        floats = self._append(
            "DequantizeLinear", [integers, scale, zero], f"{name}_dequantized", value.dtype, value.shape, {}
        )
        self._read[floats] = floats
        self._read_params[floats] = read
        return floats

    def output_params(self, unit: Unit) -> tuple[QParams, QParams]:
        """The parameters a unit's (first) output is written and read with."""
        if unit.scale is ScaleRule.INPUT:
            params = self._read_params[self.read(unit.node.inputs[unit.activations[0]])]
            return params, params
        constants = gate_constants(unit.last) if unit.tail else None
        if constants is not None:
            highest = self._ranges[unit.outputs[0].name or ""][1]
            return gate_params(*constants, highest, self.activation_dtype)
        params = self._own_params(unit.outputs[0])
        return params, params

    def finish(
        self,
        unit: Unit,
        raw: ir.Value | None = None,
        written: QParams | None = None,
        read: QParams | None = None,
    ) -> None:
        """Quantize a unit's outputs and hand them to all who use them.

        Args:
            unit: The unit; its inputs are written.
            raw: The new float value to quantize, where it is not the unit's own node's output.
            written: Parameters of the integers; None for the unit's own.
            read: Parameters they are read with; None for the unit's own, or `written`.
        """
        if unit in self._float_results:
            return
        if written is None:
            written, read = self.output_params(unit)
        for final in unit.outputs:
            source = raw or (unit.raw_output if len(unit.outputs) == 1 else final)
            uses = list(final.uses())  # before QuantizeLinear becomes one of them
            floats = self.around(source, written, read)
            for use in uses:
                use.node.replace_input_with(use.idx, floats)
            self.params[final.name or ""] = read or written
            if final.is_graph_output():
                self._take_over_output(final, floats)

    def _given(self, unit: Unit, activation: ir.Value | None) -> QuantizedWeight | None:
        """The weight that was quantized before, where its scales leave room for the bias."""
        weight = self._given_weights.get(unit)
        limits = self._scale_limits(unit, activation)
        return weight if weight is None or limits is None or (weight.scales >= limits).all() else None

    def _quantized(self, unit: Unit, activation: ir.Value | None) -> QuantizedWeight:
        assert unit.weighted is not None  # the caller is the writer of a weighted unit
        limits = self._scale_limits(unit, activation)
        rule = self._rule.of(unit.weighted)
        return quantize_weight(unit.weighted, rule.bits, pair_sums=rule.pair_sums, smallest=limits)

    def _scale_limits(self, unit: Unit, activation: ir.Value | None) -> NDArray | None:
        bias = self._bias(unit)
        return None if bias is None else bias_scale_limits(bias, self._scale_of(activation))

    def _scale_of(self, activation: ir.Value | None) -> float:
        return self._read_params[self.read(activation)].scale

    def _bias(self, unit: Unit) -> NDArray | None:
        array = constant_array(unit.bias)
        if array is None or unit.weighted is None:
            return None
        outputs = unit.weighted.array().shape[unit.weighted.output_axis]
        return np.broadcast_to(array.reshape(-1), (outputs,)).astype(np.float32)

    def _guarded(self, value: ir.Value, params: QParams) -> ir.Value:
        """The value, behind a Clip that changes nothing where the runtime would move QuantizeLinear up."""
        producer = value.producer()
        if producer is None or producer.op_type not in self._guarded_ops:
            return value
        limits = [
            self._pool.get("limit", np.float32(limit))
            for limit in (params.low - params.scale, params.high + params.scale)
        ]
        return self.node("Clip", [value, *limits], value)

    def _own_params(self, value: ir.Value) -> QParams:
        return qparams_for_range(*self._ranges[value.name or ""], self.activation_dtype)

    def _remember(self, value: ir.Value, floats: ir.Value, params: QParams) -> None:
        self._read[value] = self._read[floats] = floats
        self._read_params[value] = self._read_params[floats] = params
        self.params[value.name or ""] = params

    def _constant(self, array: NDArray, params: QParams, name: str) -> ir.Value:
        integers = self._pool.get(f"{name}_quantized", quantize(np.asarray(array), params))
        shape = ir.Shape(np.shape(array))
        inputs = [integers, *self._pair(params)]
        return self._append("DequantizeLinear", inputs, f"{name}_dequantized", ir.DataType.FLOAT, shape, {})

    def _per_channel(self, name: str, integers: NDArray, scales: NDArray, axis: int) -> ir.Value:
        inputs = [
            self._pool.get(f"{name}_quantized", integers),
            self._pool.get(f"{name}_scale", scales.astype(np.float32)),
            self._pool.get("zero_points", np.zeros(scales.shape, integers.dtype)),
        ]
        shape = ir.Shape(integers.shape)
        return self._append("DequantizeLinear", inputs, f"{name}_dequantized", ir.DataType.FLOAT, shape, {"axis": axis})

    def _take_over_output(self, old: ir.Value, new: ir.Value) -> None:
        """Make `new` the graph's output in the place and under the name of `old`."""
        name = old.name
        old.name, new.name = self._pool.free_name(f"{name}_float"), name
        for index, output in enumerate(self.graph.outputs):
            if output is old:
                self.graph.outputs[index] = new

    def _pair(self, params: QParams) -> tuple[ir.Value, ir.Value]:
        zero = np.array(params.zero_point, dtype=params.dtype)
        return self._pool.get("scale", np.float32(params.scale)), self._pool.get("zero_point", zero)

    def _append(
        self,
        op_type: str,
        inputs: Sequence[ir.Value],
        name: str,
        dtype: ir.DataType | None,
        shape: ir.Shape | None,
        attributes: Mapping[str, int],
    ) -> ir.Value:
        name = self._pool.free_name(name)
        node = ir.node(op_type, list(inputs), attributes=dict(attributes), name=name)
        output = node.outputs[0]
        output.name, output.shape = name, shape
        if dtype is not None:
            output.type = ir.TensorType(dtype)
        self.graph.append(node)
        return output
