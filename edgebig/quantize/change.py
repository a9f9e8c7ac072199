"""What a scheme did to one node."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """One node that a scheme rewrote.

    Attributes:
        node: Its name in the float model.
        op_type: Its operator there.
        how: What it became, in words, e.g. "int4, blocks of 32, GPTQ".
        weights: Numbers in its weight; 0 where it has none, or where an earlier node of the list shares it.
        weight_error: Mean squared error of the weight over its mean square; None where it has no weight.
        bytes_before: Of the weight in the float model.
        bytes_after: Of the weight, its scales and zero points in the result.
    """

    node: str
    op_type: str
    how: str
    weights: int = 0
    weight_error: float | None = None
    bytes_before: int = 0
    bytes_after: int = 0
