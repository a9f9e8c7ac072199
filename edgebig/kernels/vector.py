"""Vector code by hand: a thin layer over llvmlite for the inner loops that Numba's own vectoriser gets wrong.

A body is a Python function of a builder and LLVM values that emits instructions; `intrinsic_of` makes it callable from
jitted code. Addresses are plain integers (`array.ctypes.data`), so a call costs nothing and nothing is checked: kernels
check what they are given when they are built. Python loops in a body unroll; `Loop` emits a real one.
"""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

I1 = ir.IntType(1)
I8 = ir.IntType(8)
I16 = ir.IntType(16)
I32 = ir.IntType(32)
I64 = ir.IntType(64)
F16 = ir.HalfType()
F32 = ir.FloatType()

Value = Any  # an LLVM value; llvmlite has no types for them
Body = Callable[..., Value]


def vector_of(element: ir.Type, lanes: int) -> ir.VectorType:
    """The type of a vector."""
    return ir.VectorType(element, lanes)


def const(value: int) -> ir.Constant:
    """A 64-bit integer."""
    return ir.Constant(I64, value)


def fill(element: ir.Type, lanes: int, value: float) -> ir.Constant:
    """A constant vector with the same value in every lane."""
    return ir.Constant(ir.VectorType(element, lanes), [value] * lanes)


def zeros(kind: ir.Type) -> ir.Constant:
    """Zero of a type, or a vector of zeros."""
    return ir.Constant(kind, None)


def at(b: ir.IRBuilder, base: Value, offset: int) -> Value:
    """The address `offset` bytes after `base`."""
    return base if offset == 0 else b.add(base, const(offset))


def load(b: ir.IRBuilder, address: Value, kind: ir.Type, align: int = 1) -> Value:
    """Load a scalar or vector from an address."""
    value = b.load(b.inttoptr(address, kind.as_pointer()))
    value.align = align
    return value


def store(b: ir.IRBuilder, value: Value, address: Value, align: int = 1) -> None:
    """Store a scalar or vector at an address."""
    b.store(value, b.inttoptr(address, value.type.as_pointer())).align = align


def splat(b: ir.IRBuilder, value: Value, lanes: int) -> Value:
    """A vector with a scalar in every lane."""
    kind = ir.VectorType(value.type, lanes)
    first = b.insert_element(ir.Constant(kind, ir.Undefined), value, I32(0))
    return b.shuffle_vector(first, ir.Constant(kind, ir.Undefined), ir.Constant(ir.VectorType(I32, lanes), [0] * lanes))


def shuffle(b: ir.IRBuilder, x: Value, y: Value, lanes: Sequence[int]) -> Value:
    """Lanes picked from x and y laid one after the other."""
    return b.shuffle_vector(x, y, ir.Constant(ir.VectorType(I32, len(lanes)), list(lanes)))


def call(b: ir.IRBuilder, name: str, result: ir.Type, arguments: Sequence[Value]) -> Value:
    """Call an LLVM intrinsic by its full name. One that the target lacks aborts the process: ask `cpu` first."""
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return b.call(cgutils.get_or_insert_function(b.module, kind, name), list(arguments))


def maximum(b: ir.IRBuilder, x: Value, y: Value, *, signed: bool = True) -> Value:
    """The larger of two integers, lane by lane."""
    return call(b, f"llvm.{'s' if signed else 'u'}max.{suffix(x.type)}", x.type, [x, y])


def minimum(b: ir.IRBuilder, x: Value, y: Value, *, signed: bool = True) -> Value:
    """The smaller of two integers, lane by lane."""
    return call(b, f"llvm.{'s' if signed else 'u'}min.{suffix(x.type)}", x.type, [x, y])


def suffix(kind: ir.Type) -> str:
    """How LLVM spells a type in the name of an intrinsic, for instance v8i32."""
    lanes, element = (f"v{kind.count}", kind.element) if isinstance(kind, ir.VectorType) else ("", kind)
    names = {F16: "f16", F32: "f32"}
    return lanes + names.get(element, f"i{getattr(element, 'width', 0)}")


def opaque(b: ir.IRBuilder, value: Value) -> Value:
    """The same 64-bit integer, unknown to the optimiser: a loop that ends there is not unrolled."""
    kind = ir.FunctionType(value.type, [value.type])
    return b.call(ir.InlineAsm(kind, "", "=r,0"), [value])


class Loop:
    """`for i in range(start, stop, step)` with values carried in registers.

    Emit the body after construction, reading `index` and `values`; then `end` takes the next values and returns the
    final ones. A loop over nothing gives back what it was given.
    """

    def __init__(
        self, b: ir.IRBuilder, stop: Value, values: Sequence[Value] = (), *, start: Value | None = None, step: int = 1
    ) -> None:
        self._b, self._stop, self._step, self._first = b, stop, step, list(values)
        self._before, self._head, self._exit = b.block, b.append_basic_block("loop"), b.append_basic_block("done")
        start = const(0) if start is None else start
        b.cbranch(b.icmp_signed("<", start, stop), self._head, self._exit)
        b.position_at_end(self._head)
        self.index = self._phi(start)
        self.values = [self._phi(value) for value in values]

    def _phi(self, value: Value) -> Value:
        phi = self._b.phi(value.type)
        phi.add_incoming(value, self._before)
        return phi

    def end(self, following: Sequence[Value] = ()) -> list[Value]:
        """Close the loop; returns the carried values after it."""
        b, last = self._b, self._b.block
        index = b.add(self.index, const(self._step))
        for phi, value in zip([self.index, *self.values], [index, *following], strict=True):
            phi.add_incoming(value, last)
        b.cbranch(b.icmp_signed("<", index, self._stop), self._head, self._exit)
        b.position_at_end(self._exit)
        results = []
        for first, value in zip(self._first, following, strict=True):
            phi = b.phi(value.type)
            phi.add_incoming(first, self._before)
            phi.add_incoming(value, last)
            results.append(phi)
        return results


def intrinsic_of(arguments: int, body: Body, *, result: types.Type = types.void) -> Callable[..., Any]:
    """Make a body callable from jitted code: a function of `arguments` integers (addresses and counts).

    Args:
        arguments: How many; each is a 64-bit integer.
        body: `body(builder, *values)`; emits the code, and returns the result if there is one.
        result: Numba's type of the result.

    Returns:
        What jitted code calls. Python cannot call it.
    """
    signature = result(*[types.intp] * arguments)

    def codegen(context: Any, b: ir.IRBuilder, _signature: Any, values: Sequence[Value]) -> Value:
        take_any_address(b.function)
        made = body(b, *values)
        return context.get_dummy_value() if result is types.void else made

    names = ", ".join(["context", *(f"a{i}" for i in range(arguments))])
    # Numba reads the number of parameters from the function's own signature, so it has to be spelled out.
    scope: dict[str, Any] = {"signature": signature, "codegen": codegen}
    exec(f"def typed({names}):\n    return signature, codegen\n", scope)
    return intrinsic(scope["typed"])


def take_any_address(function: ir.Function) -> None:
    """Tell LLVM that a function may compute addresses from 0 on.

    Addresses here are integers, and while LLVM generates code it turns `base + offset` into a pointer `offset` that is
    moved by `base`, with offset 0 at first. Numba links code that was generated once into its callers and optimises it
    again, and then what lies behind a null pointer is taken for unreachable and removed.
    """
    # llvmlite refuses names of attributes that it does not know; the text of the module takes any.
    set.add(function.attributes, "null_pointer_is_valid")


def function_of(arguments: int, body: Body) -> Callable[..., Any]:
    """As `intrinsic_of`, for large bodies: the code becomes an LLVM function of its own, which is never inlined.

    It is then optimised apart from whatever calls it, and its registers are its own.
    """

    def emit(b: ir.IRBuilder, *values: Value) -> None:
        kind = ir.FunctionType(ir.VoidType(), [I64] * arguments)
        function = ir.Function(b.module, kind, b.module.get_unique_name("edgebig_kernel"))
        function.linkage = "internal"
        function.attributes.add("noinline")
        take_any_address(function)
        inner = ir.IRBuilder(function.append_basic_block("entry"))
        body(inner, *function.args)
        inner.ret_void()
        b.call(function, values)

    return intrinsic_of(arguments, emit)


def stack(b: ir.IRBuilder, size: int, align: int = 64) -> Value:
    """The address of `size` bytes of the stack of the function being written, not set to anything."""
    with b.goto_entry_block():  # not cgutils.alloca_once: it stores zeros, one by one
        place = b.alloca(ir.ArrayType(I8, size + align))
    return b.and_(b.add(b.ptrtoint(place, I64), const(align - 1)), const(-align))


def scratch(size: int, align: int = 64) -> Callable[[], int]:
    """An intrinsic that gives `size` bytes of the calling function's stack, not set to anything."""

    return intrinsic_of(0, lambda b: stack(b, size, align), result=types.intp)
