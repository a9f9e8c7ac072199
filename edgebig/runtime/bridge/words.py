"""Memory, C functions and atomic words for jitted code that works on bare addresses. Everything is a 64-bit integer."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_I8, _WORD = ir.IntType(8), ir.IntType(64)


def _intrinsic(arguments: int, emit: Callable[..., Any], result: types.Type) -> Callable[..., Any]:
    """Jitted code's view of `emit(builder, *values)`, a function of so many integers."""
    signature = result(*[types.intp] * arguments)

    def codegen(context: Any, b: ir.IRBuilder, _signature: Any, values: Any) -> Any:
        made = emit(b, *values)
        return context.get_dummy_value() if result is types.void else made

    names = ", ".join(["context", *(f"a{i}" for i in range(arguments))])
    # Numba reads the number of parameters from the function's own signature, so it has to be spelled out.
    scope: dict[str, Any] = {"signature": signature, "codegen": codegen}
    exec(f"def typed({names}):\n    return signature, codegen\n", scope)
    return intrinsic(scope["typed"])


def _pointer(b: ir.IRBuilder, address: Any, kind: ir.Type = _WORD) -> Any:
    return b.inttoptr(address, kind.as_pointer())


def _call(b: ir.IRBuilder, function: Any, *arguments: Any) -> Any:
    kind = ir.FunctionType(_WORD, [_WORD] * len(arguments))
    return b.call(b.inttoptr(function, kind.as_pointer()), arguments)


def _swap_if_zero(b: ir.IRBuilder, address: Any, value: Any) -> Any:
    done = b.cmpxchg(_pointer(b, address), ir.Constant(_WORD, 0), value, "acq_rel", "monotonic")
    return b.zext(b.extract_value(done, 1), _WORD)


def _static(b: ir.IRBuilder, words: int) -> Any:
    with b.goto_entry_block():
        place = b.alloca(ir.ArrayType(_WORD, words))
    return b.ptrtoint(place, _WORD)


load = _intrinsic(1, lambda b, address: b.load(_pointer(b, address)), types.intp)
load_int = _intrinsic(1, lambda b, address: b.sext(b.load(_pointer(b, address, ir.IntType(32))), _WORD), types.intp)
load_byte = _intrinsic(1, lambda b, address: b.zext(b.load(_pointer(b, address, _I8)), _WORD), types.intp)
store = _intrinsic(2, lambda b, address, value: b.store(value, _pointer(b, address)), types.void)
store_byte = _intrinsic(2, lambda b, address, x: b.store(b.trunc(x, _I8), _pointer(b, address, _I8)), types.void)

take = _intrinsic(1, lambda b, a: b.atomic_rmw("xchg", _pointer(b, a), ir.Constant(_WORD, 0), "acq_rel"), types.intp)
put_if_zero = _intrinsic(2, _swap_if_zero, types.intp)  # 1 where the word was 0 and now holds the value, else 0

call1 = _intrinsic(2, _call, types.intp)  # a C function's address, then its arguments
call2 = _intrinsic(3, _call, types.intp)
call3 = _intrinsic(4, _call, types.intp)
call5 = _intrinsic(6, _call, types.intp)

# Stack memory of the function that asks; what it holds is not defined.
two_words = _intrinsic(0, lambda b: _static(b, 2), types.intp)
text_buffer = _intrinsic(0, lambda b: _static(b, 64), types.intp)
stack_words = _intrinsic(1, lambda b, count: b.ptrtoint(b.alloca(_WORD, count), _WORD), types.intp)
stack_dims = _intrinsic(0, lambda b: _static(b, 16), types.intp)
