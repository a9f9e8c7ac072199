"""A target: what an execution provider fuses, refuses or slows down, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class OpCost:
    """What an operator costs per element of its output (of its input, for pools), in nanoseconds on one thread.

    Attributes:
        int8: When it runs in integers.
        float32: When it runs in float.
    """

    int8: float
    float32: float


@dataclass(frozen=True)
class Int8Costs:
    """Costs that decide which operators are worth running in integers. Only their ratios matter.

    Attributes:
        quantize: Float to integers, per element.
        dequantize: Integers to float, per element.
        node: Starting any node once.
        multiply_add: Of a product of two activations, per multiply-add.
        per_element: Operators without weights, by type; others cost nothing either way.
        after_float: What an operator costs more in integers, per element that goes in, where a float operator precedes
            it: integer convolutions hand on channels innermost, which suits integer pools; float ones take the
            activation behind them in for little.
    """

    quantize: float
    dequantize: float
    node: float
    multiply_add: OpCost
    per_element: Mapping[str, OpCost]
    after_float: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """The rules of one execution target.

    Attributes:
        name: Its name on the command line.
        description: One line for people.
        providers: onnxruntime execution providers, in order.
        activation_dtype: Integer dtype of quantized activations that runs fastest there.
        weight_dtype: Integer dtype of quantized weights.
        weight_bits: Bits of the weights that are safe: 8, or 7 where 8-bit products saturate 16-bit sums.
        per_channel_weights: Whether weights may have a scale per output channel.
        int8_ops: Operators that run in integers when Q and DQ surround them on all sides.
        int8_costs: What running them so gains and costs.
        float_ops: Operators that stay in float whatever surrounds them, and why.
        fewest_input_channels: Convolutions with fewer input channels per group (depthwise ones apart) leave the fast
            integer kernel, and are slower than float if they also have no more products per output than the next.
        float_products: See above.
        guarded_ops: Float operators that the runtime would pull into integers, at a loss, where QuantizeLinear follows
            directly; a Clip without effect between them prevents it.
        pattern_gains: Pruning pattern -> why it makes the model faster there; a pattern that is missing gains
            nothing but file size.
    """

    name: str
    description: str
    providers: tuple[str, ...]
    activation_dtype: str
    weight_dtype: str
    weight_bits: int
    per_channel_weights: bool
    int8_ops: frozenset[str]
    int8_costs: Int8Costs
    float_ops: Mapping[str, str] = field(default_factory=dict)
    fewest_input_channels: int = 1
    float_products: int = 0
    guarded_ops: frozenset[str] = frozenset()
    pattern_gains: Mapping[str, str] = field(default_factory=dict)
