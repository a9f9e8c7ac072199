"""Costs of operators in integers and in float: what decides which are worth quantizing on a target."""

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


# An accelerator moves bytes: integers are a quarter of float32 everywhere, and each conversion is a pass over memory.
# These are byte counts and not measurements; the accelerator's own builder decides again.
ACCELERATOR_COSTS = Int8Costs(
    quantize=0.05,
    dequantize=0.05,
    node=500.0,
    multiply_add=OpCost(int8=0.001, float32=0.002),
    per_element={
        name: OpCost(int8=0.02, float32=0.08)
        for name in (
            *("Add", "Mul", "Concat", "AveragePool", "GlobalAveragePool", "ReduceMean", "MaxPool", "Resize"),
            *("Sigmoid", "LeakyRelu", "HardSigmoid", "HardSwish", "Relu", "Clip", "Transpose"),
        )
    },
)
