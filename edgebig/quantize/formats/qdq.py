"""Writing units in integers: QuantizeLinear and DequantizeLinear around float operators, as the target fuses them."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.edit import constant_array
from edgebig.quantize.clipping import gate_constants, gate_params
from edgebig.quantize.formats.appender import NodeAppender
from edgebig.quantize.formats.weight_form import (
    WeightRule,
    bias_of,
    has_channel_scales,
    quantize_for,
    transposed_gemm,
)
from edgebig.quantize.qparams import QParams, qparams_for_range, quantize
from edgebig.quantize.unit import ScaleRule, Unit
from edgebig.quantize.weights import QuantizedWeight, bias_scale_limits, mean_shift, quantize_bias
from edgebig.targets.base import Bias, Target

__all__ = ["QdqWriter", "WeightRule"]


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
        wide: Units that read and give activations in 16 bits.

    Attributes:
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
        wide: Collection[Unit] = (),
    ) -> None:
        self.graph = graph
        self.target = target
        self.weights: dict[Unit, QuantizedWeight] = {}
        self.params: dict[str, QParams] = {}
        self._ranges = ranges
        self._float_results = float_results
        self._rule = rule
        self._means = means
        self._given_weights = weights
        self._wide = wide
        self._unit: Unit | None = None
        self._nodes = NodeAppender(graph)
        # Value of the graph as it is now, and dtype -> what integer operators read instead, and with which parameters.
        self._read: dict[tuple[ir.Value, str], ir.Value] = {}
        self._read_params: dict[ir.Value, QParams] = {}
        # Dequantized value -> the float tensor's name.
        self._origins: dict[ir.Value, str] = {}

    @property
    def activation_dtype(self) -> str:
        """Name of the integer dtype of the activations of the unit that is being written."""
        wide = self.target.wide_activation_dtype
        return wide if wide and self._unit in self._wide else self.target.activation_dtype

    def write(self, unit: Unit) -> None:
        """Write a unit in integers."""
        if unit.scale is ScaleRule.INPUT and not self.target.quantize_results:
            return  # the pair of whoever reads its result is moved through it
        self._unit = unit
        unit.write(unit, self)
        self._unit = None

    def read(self, value: ir.Value | None) -> ir.Value:
        """The dequantized form of an activation or constant, written at its first use, or for each."""
        assert value is not None  # handlers ask for inputs that are there
        key = (value, self.activation_dtype)
        if key not in self._read:
            params = self._params_of(value)
            array = constant_array(value)
            if array is not None:
                floats = self._constant(array, params, value.name or "constant")
            else:
                floats = self.around(self._guarded(value, params), params)
            self._read_params[floats] = params
            self._origins.setdefault(floats, self._origins.get(value, value.name or ""))
            self.params.setdefault(self._origins[floats], params)
            if array is None and self.target.pairs_per_consumer:
                return floats
            self._read[key] = self._read[floats, params.dtype] = floats
        return self._read[key]

    def constant_activation(self, number: float) -> ir.Value:
        """One number as a dequantized scalar."""
        return self._constant(np.array(number, dtype=np.float32), self._params_for(number, number), "number")

    def constant(self, name: str, array: NDArray | np.generic) -> ir.Value:
        """An initializer with this content."""
        return self._nodes.constant(name, array)

    def weight(self, unit: Unit, activation: ir.Value | None) -> ir.Value:
        """Quantize a unit's weight; return its dequantized form."""
        assert unit.weighted is not None  # the caller is the writer of a weighted unit
        weight = self._given(unit, activation) or self._quantized(unit, activation)
        self.weights[unit] = weight
        integers, axis = weight.integers, weight.axis
        if transposed_gemm(unit, self.target):
            integers, axis = np.ascontiguousarray(integers.T), 1 - axis
        return self._dequantized(unit, unit.weighted.weight.name or "weight", integers, weight.scales, axis)

    def bias(self, unit: Unit, activation: ir.Value | None) -> ir.Value:
        """A unit's bias as the target wants it: dequantized from int32, or in float; its weight comes first."""
        assert unit.bias is not None and unit.weighted is not None  # float_bias reads it
        name = unit.bias.name or "bias"
        if self.target.bias is Bias.FLOAT:
            return self.constant(f"{name}_float", self.float_bias(unit))
        floats = self.float_bias(unit)
        x_scale, scales = self._params_of(activation).scale, self.weights[unit].scales
        scales = np.tile(scales, len(floats) // len(scales))  # groups of ConvTranspose share them
        return self._dequantized(unit, name, quantize_bias(floats, x_scale, scales), np.float32(x_scale) * scales, 0)

    def float_bias(self, unit: Unit) -> NDArray:
        """A unit's bias, one float32 per output channel, that makes up for the rounding of its weight."""
        bias = bias_of(unit)
        assert bias is not None and unit.weighted is not None  # the caller has seen that there is one
        if unit not in self._means or len(bias) != len(self.weights[unit].scales):
            return bias
        return bias - mean_shift(unit.weighted, self.weights[unit], self._means[unit])

    def node(self, op_type: str, inputs: Sequence[ir.Value], like: ir.Value, **attributes: int) -> ir.Value:
        """Append a node whose output has the dtype and shape of `like`; return its output."""
        return self._nodes.append(op_type, inputs, f"{like.name}_{op_type}", like.dtype, like.shape, attributes)

    def around(self, value: ir.Value, written: QParams, read: QParams | None = None) -> ir.Value:
        """Append QuantizeLinear and DequantizeLinear to a value; return the float value behind them.

        Args:
            value: The float value.
            written: Parameters of the integers.
            read: Parameters they are read with, where those differ.
        """
        read = read or written
        integers = self._nodes.quantize(value, written)
        floats = self._nodes.dequantize(integers, read, value.name or "value", value.dtype)
        self._read[floats, read.dtype] = floats
        self._read_params[floats] = read
        return floats

    def output_params(self, unit: Unit) -> tuple[QParams, QParams]:
        """The parameters a unit's (first) output is written and read with."""
        if unit.scale is ScaleRule.INPUT:
            params = self._params_of(self.read(unit.node.inputs[unit.activations[0]]))
            return params, params
        constants = gate_constants(unit.last) if unit.tail else None
        if constants is not None:
            highest = self._ranges[unit.outputs[0].name or ""][1]
            return gate_params(*constants, highest, self.activation_dtype)
        params = self._params_of(unit.outputs[0])
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
            name = final.name or ""
            floats = None
            for use in uses:
                if floats is None or self.target.pairs_per_consumer:
                    floats = self.around(source, written, read)
                    self._origins[floats] = name
                use.node.replace_input_with(use.idx, floats)
            self.params[name] = read or written
            if final.is_graph_output():
                floats = floats or self.around(source, written, read)
                self._nodes.take_over_output(final, floats)

    def _given(self, unit: Unit, activation: ir.Value | None) -> QuantizedWeight | None:
        """The weight that was quantized before, where its scales leave room for the bias."""
        weight, limits = self._given_weights.get(unit), self._scale_limits(unit, activation)
        if weight is None or limits is None:
            return weight
        return weight if (weight.scales >= limits.reshape(-1, weight.scales.size).max(axis=0)).all() else None

    def _quantized(self, unit: Unit, activation: ir.Value | None) -> QuantizedWeight:
        return quantize_for(unit, self._rule, self.target, self._scale_limits(unit, activation))

    def _scale_limits(self, unit: Unit, activation: ir.Value | None) -> NDArray | None:
        bias = bias_of(unit) if self.target.bias is Bias.INT32 else None
        return None if bias is None else bias_scale_limits(bias, self._params_of(activation).scale)

    def _params_of(self, value: ir.Value | None) -> QParams:
        """The parameters a value is read with in the dtype of now."""
        assert value is not None  # handlers ask for inputs that are there
        known = self._read_params.get(value)
        if known is not None and known.dtype == self.activation_dtype:
            return known
        array = constant_array(value)
        if array is not None:
            return self._params_for(float(array.min()), float(array.max()))
        return self._params_for(*self._ranges[self._origins.get(value, value.name or "")])

    def _params_for(self, low: float, high: float) -> QParams:
        return qparams_for_range(low, high, self.activation_dtype, symmetric=self.target.symmetric_activations)

    def _guarded(self, value: ir.Value, params: QParams) -> ir.Value:
        """The value, behind a Clip that changes nothing where the runtime would move QuantizeLinear up."""
        producer = value.producer()
        if producer is None or producer.op_type not in self.target.guarded_ops:
            return value
        limits = [
            self.constant("limit", np.float32(limit))
            for limit in (params.low - params.scale, params.high + params.scale)
        ]
        return self.node("Clip", [value, *limits], value)

    def _constant(self, array: NDArray, params: QParams, name: str) -> ir.Value:
        integers = self.constant(f"{name}_quantized", quantize(np.asarray(array), params))
        return self._nodes.dequantize(integers, params, name, ir.DataType.FLOAT)

    def _dequantized(self, unit: Unit, name: str, integers: NDArray, scales: NDArray, axis: int) -> ir.Value:
        """A weight or bias behind a DequantizeLinear, with a scale per channel or with one."""
        whole = not has_channel_scales(unit, self.target)
        scales = np.asarray(scales[0] if whole else scales, dtype=np.float32)
        inputs = [
            self.constant(f"{name}_quantized", integers),
            self.constant(f"{name}_scale", scales),
            self.constant("zero_points", np.zeros(scales.shape, integers.dtype)),
        ]
        shape, attributes = ir.Shape(integers.shape), {} if whole else {"axis": axis}
        return self._nodes.append(
            "DequantizeLinear", inputs, f"{name}_dequantized", ir.DataType.FLOAT, shape, attributes
        )
