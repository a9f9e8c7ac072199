"""Any function of a byte, by a table of its 256 values."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from llvmlite import ir

from edgebig.kernels.cpu import features
from edgebig.kernels.elementwise_loop import check_counts, runner, share
from edgebig.kernels.table_lookup import lookup, row_differences
from edgebig.kernels.vector import F32, I8, I64, Loop, Value, const, load, store, vector_of

# A feature of the target, the bytes its shuffle does at once, and LLVM's name for it; widest first.
_SHUFFLES = (
    ("avx512", 64, "llvm.x86.avx512.pshuf.b.512"),
    ("avx2", 32, "llvm.x86.avx2.pshuf.b"),
)
# Below this many bytes the rows of the table are not worth loading.
_FEWEST = 96


def _scalar(b: ir.IRBuilder, x: Value, table: Value, y: Value, first: Value, last: Value, bytes_: int) -> None:
    """One lookup after the other."""
    element = F32 if bytes_ == 4 else I8
    loop = Loop(b, last, start=first)
    index = b.zext(load(b, b.add(x, loop.index), I8), I64)
    value = load(b, b.add(table, b.mul(index, const(bytes_))), element)
    store(b, value, b.add(y, b.mul(loop.index, const(bytes_))))
    loop.end()


@dataclass(frozen=True)
class Table:
    """u8 -> u8: y = table[x], with a table of 256 bytes. y may be x."""

    size: int
    tasks: int = 1

    operands: ClassVar[tuple[str, ...]] = ("x", "table", "y")

    def __post_init__(self) -> None:
        check_counts(size=self.size, tasks=self.tasks)

    def build(self) -> Callable[..., Any]:
        """The jitted function `run(x, table, y, task)`."""
        shuffles = [found for found in _SHUFFLES if found[0] in features()]
        if self.size < _FEWEST or not shuffles:
            return _scalar_run(self.size, self.tasks, 1)
        _, lanes, instruction = shuffles[0]

        def body(b: ir.IRBuilder, x: Value, table: Value, y: Value, task: Value) -> None:
            first, last = share(b, self.size // lanes, self.tasks, task)
            differences = row_differences(b, table, lanes)
            loop = Loop(b, last, start=first)
            index = b.mul(loop.index, const(lanes))
            found = lookup(b, differences, load(b, b.add(x, index), vector_of(I8, lanes)), instruction)
            store(b, found, b.add(y, index))
            loop.end()
            if self.size % lanes:
                with b.if_then(b.icmp_signed("==", task, const(self.tasks - 1))):
                    _scalar(b, x, table, y, const(self.size // lanes * lanes), const(self.size), 1)

        return runner(3, body)


@dataclass(frozen=True)
class TableToFloat:
    """u8 -> f32: y = table[x], with a table of 256 floats."""

    size: int
    tasks: int = 1

    operands: ClassVar[tuple[str, ...]] = ("x", "table", "y")

    def __post_init__(self) -> None:
        check_counts(size=self.size, tasks=self.tasks)

    def build(self) -> Callable[..., Any]:
        """The jitted function `run(x, table, y, task)`."""
        return _scalar_run(self.size, self.tasks, 4)


def _scalar_run(size: int, tasks: int, bytes_: int) -> Callable[..., Any]:
    def body(b: ir.IRBuilder, x: Value, table: Value, y: Value, task: Value) -> None:
        first, last = share(b, size, tasks, task)
        _scalar(b, x, table, y, first, last, bytes_)

    return runner(3, body)
