"""How a function that a segment calls finds its memory."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

# What `call` points to: two words, the address of the bases, and that of the call's operands. An operand is two words,
# the place of its base in bytes, and its offset.
BASES, OPERANDS, OPERAND_BYTES = 0, 8, 16

_WORD = ir.IntType(64)


@intrinsic
def operand(_context: Any, call: Any, index: Any) -> Any:
    """`operand(call, i)`: the address of operand `i`, inside a cfunc `void(intp call, intp task)`."""

    def codegen(_context: Any, b: ir.IRBuilder, _signature: Any, values: Any) -> Any:
        def load(address: Any, offset: int) -> Any:
            place = b.inttoptr(b.add(address, ir.Constant(_WORD, offset)), _WORD.as_pointer())
            return b.load(place)

        where, number = values
        entry = b.add(load(where, OPERANDS), b.mul(number, ir.Constant(_WORD, OPERAND_BYTES)))
        base = load(b.add(load(where, BASES), load(entry, 0)), 0)
        return b.add(base, load(entry, 8))

    return types.intp(types.intp, types.intp), codegen
