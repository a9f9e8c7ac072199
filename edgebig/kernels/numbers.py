"""Scales and zero points as an operand: steps that differ in nothing else share their code.

A step with such numbers has an operand "numbers", `numbers()` gives its contents, and `without_numbers()` the step
whose code serves all of them.
"""

from typing import Any, Protocol, runtime_checkable

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from edgebig.kernels.step import Step
from edgebig.kernels.vector import F32, I32, Value, at, load, splat

NUMBERS = "numbers"


@runtime_checkable
class Numbered(Protocol):
    """A step whose code does not depend on all of its numbers."""

    def numbers(self) -> NDArray[np.float32]:
        """The contents of the operand "numbers"."""
        ...

    def without_numbers(self) -> Step:
        """The step with other numbers, the same ones for all steps that share its code."""
        ...


def packed(*values: float | int) -> NDArray[np.float32]:
    """Numbers as `unpacked` reads them: integers as int32, others as float32, 4 bytes each."""
    words = [np.int32(value) if isinstance(value, int) else np.float32(value).view(np.int32) for value in values]
    return np.array(words, np.int32).view(np.float32)


def unpacked(b: ir.IRBuilder, address: Value, kinds: str) -> list[Value]:
    """The numbers at an address as scalars.

    Args:
        b: The builder.
        address: Of the operand.
        kinds: A letter for each: f for a float, i for an integer.
    """
    types = {"f": F32, "i": I32}
    return [load(b, at(b, address, 4 * place), types[kind]) for place, kind in enumerate(kinds)]


def splats(b: ir.IRBuilder, values: Any, lanes: int) -> list[Value]:
    """Each of several scalars in all lanes of a vector."""
    return [splat(b, value, lanes) for value in values]
