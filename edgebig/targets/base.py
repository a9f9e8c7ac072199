"""A target: what an execution provider fuses, refuses or slows down, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field


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
    pattern_gains: Mapping[str, str] = field(default_factory=dict)
