"""Arithmetic of addresses and counts in hand-written code, spelled as arithmetic.

Numba's front end takes longer over a page of integer loops than LLVM takes to compile it, so kernels that are built by
the dozen emit their loops themselves. `Int` is a 64-bit integer of the code being written; operators emit instructions.
"""

from typing import Union

from llvmlite import ir

from edgebig.kernels.vector import Value, const

Number = Union["Int", int]


class Int:
    """An integer of the code being written. Division and remainder are of integers that are not negative."""

    def __init__(self, b: ir.IRBuilder, value: Value) -> None:
        self.b, self.value = b, const(value) if isinstance(value, int) else value

    def _raw(self, other: Number) -> Value:
        return other.value if isinstance(other, Int) else const(other)

    def __add__(self, other: Number) -> "Int":
        return self if isinstance(other, int) and other == 0 else Int(self.b, self.b.add(self.value, self._raw(other)))

    def __sub__(self, other: Number) -> "Int":
        return self if isinstance(other, int) and other == 0 else Int(self.b, self.b.sub(self.value, self._raw(other)))

    def __mul__(self, other: Number) -> "Int":
        return self if isinstance(other, int) and other == 1 else Int(self.b, self.b.mul(self.value, self._raw(other)))

    def __floordiv__(self, other: Number) -> "Int":
        return self if isinstance(other, int) and other == 1 else Int(self.b, self.b.udiv(self.value, self._raw(other)))

    def __mod__(self, other: Number) -> "Int":
        return Int(self.b, self.b.urem(self.value, self._raw(other)))

    def least(self, other: Number) -> "Int":
        """The smaller of two."""
        return self.choose("<", other, self, other)

    def choose(self, sign: str, other: Number, yes: Number, no: Number) -> "Int":
        """`yes` where `self sign other`, else `no`."""
        return Int(self.b, self.b.select(self.compare(sign, other), self._raw(yes), self._raw(no)))

    def compare(self, sign: str, other: Number) -> Value:
        """One bit: whether `self sign other`, as signed integers."""
        return self.b.icmp_signed(sign, self.value, self._raw(other))

    def inside(self, size: int) -> Value:
        """One bit: whether 0 <= self < size."""
        return self.b.icmp_unsigned("<", self.value, const(size))
