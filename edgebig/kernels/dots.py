"""How each instruction set multiplies: the dot products that the tiles are made of.

A dot takes a vector of accumulators, a 32-bit element of activations repeated in every lane, and a vector of weights.
An element holds four u8 values ("quads"), two i16 values ("pairs") or one f32; lane i adds the products of the element
with weight element i. Quads are fastest; pairs are exact for all weights of up to 9 bits and exist everywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from edgebig.kernels import cpu
from edgebig.kernels.errors import KernelError
from edgebig.kernels.vector import I8, I16, I32, Value, call, fill, shuffle, vector_of

Emit = Callable[[ir.IRBuilder, Value, Value, Value], Value]

# A pair of products of u8 activations is summed in 16 bits: 255 * 128 <= 32767, and -255 * 128 >= -32768.
PAIR_LIMIT = 128

EMULATED = "emulated_"


@dataclass(frozen=True)
class Dot:
    """One way of multiplying.

    Attributes:
        name: What specs call it.
        feature: The name in `cpu.SIGNS` that the processor must have; empty where every processor will do.
        lanes: Accumulators in a vector.
        group: Values in a 32-bit element: 4, 2 or 1.
        rows: Rows of the tile that suits the register file, for `vectors` vectors of weights.
        vectors: Vectors of weights in a tile.
        emit: `emit(builder, accumulators, activations, weights)` gives the new accumulators; accumulators are a vector
            of i32 (f32 for floats), activations and weights a vector of i32 (f32).
        signed: The activations have to be s8: the panel flips their top bit.
        saturates: Pairs of weights beyond `PAIR_LIMIT` give wrong sums.
        narrow: Pairs whose weights fit s8 and may be stored so: half the memory, one more instruction per load.
    """

    name: str
    feature: str
    lanes: int
    group: int
    rows: int
    vectors: int
    emit: Emit
    signed: bool = False
    saturates: bool = False
    narrow: bool = False

    @property
    def real(self) -> bool:
        """Whether it multiplies floats."""
        return self.group == 1

    @property
    def value_bytes(self) -> int:
        """Bytes of an activation or weight in panels and packed weights."""
        return 4 // self.group

    @property
    def element_bytes(self) -> int:
        """Bytes of an element of packed weights in dense tiles."""
        return 2 if self.narrow else 4

    @property
    def stored(self) -> ir.Type:
        """The type of a vector of packed weights in dense tiles."""
        return vector_of(I8, 2 * self.lanes) if self.narrow else vector_of(I32, self.lanes)

    def widen(self, b: ir.IRBuilder, stored: Value) -> Value:
        """A vector of packed weights as `emit` takes it."""
        if not self.narrow:
            return stored
        return b.bitcast(b.sext(stored, vector_of(I16, 2 * self.lanes)), vector_of(I32, self.lanes))

    def exact(self, weights: NDArray[np.generic]) -> bool:
        """Whether every sum is right for these weights, whatever the activations.

        Args:
            weights: [filters, channels, ...] with the zero point subtracted; neighbours along the packed inner axis
                (height, width, channels) share a 16-bit sum.
        """
        if self.real:
            return weights.dtype == np.float32
        flat = inner_rows(weights)
        if self.group == 2 and not self.narrow:
            return bool(flat.size == 0 or (flat.min() >= -32768 and flat.max() <= 32767))
        if flat.size and (flat.min() < -128 or flat.max() > 127):
            return False
        return not self.saturates or not overflowing_pairs(flat).any()


def inner_rows(weights: NDArray[np.generic]) -> NDArray[np.int32]:
    """Weights [filters, channels, height, width] as [filters, height * width * channels], the order tiles read."""
    if weights.ndim == 4:
        weights = weights.transpose(0, 2, 3, 1)
    return weights.reshape(weights.shape[0], int(np.prod(weights.shape[1:]))).astype(np.int32)


def overflowing_pairs(flat: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which pairs of neighbours in [rows, inner] can leave 16 bits: [rows, ceil(inner / 2)]."""
    if flat.shape[1] % 2:
        flat = np.pad(flat, ((0, 0), (0, 1)))
    pairs = flat.reshape(flat.shape[0], -1, 2)
    positive, negative = np.maximum(pairs, 0).sum(axis=2), np.minimum(pairs, 0).sum(axis=2)
    return (positive > PAIR_LIMIT) | (negative < -PAIR_LIMIT)


def _bytes(b: ir.IRBuilder, x: Value) -> Value:
    return b.bitcast(x, vector_of(I8, 4 * x.type.count))


def _words(b: ir.IRBuilder, x: Value) -> Value:
    return b.bitcast(x, vector_of(I16, 2 * x.type.count))


def _vnni(bits: int) -> Emit:
    def emit(b: ir.IRBuilder, acc: Value, a: Value, w: Value) -> Value:
        # LLVM 22 changed the operands from vectors of i32 to vectors of i8.
        operands = [_bytes(b, a), _bytes(b, w)] if llvm.llvm_version_info[0] >= 22 else [a, w]
        return call(b, f"llvm.x86.avx512.vpdpbusd.{bits}", acc.type, [acc, *operands])

    return emit


def _maddubs(b: ir.IRBuilder, acc: Value, a: Value, w: Value) -> Value:
    sums = call(b, "llvm.x86.avx2.pmadd.ub.sw", vector_of(I16, 16), [_bytes(b, a), _bytes(b, w)])
    return b.add(acc, call(b, "llvm.x86.avx2.pmadd.wd", acc.type, [sums, fill(I16, 16, 1)]))


def _madd(bits: int) -> Emit:
    name = {128: "llvm.x86.sse2.pmadd.wd", 256: "llvm.x86.avx2.pmadd.wd", 512: "llvm.x86.avx512.pmaddw.d.512"}[bits]

    def emit(b: ir.IRBuilder, acc: Value, a: Value, w: Value) -> Value:
        return b.add(acc, call(b, name, acc.type, [_words(b, a), _words(b, w)]))

    return emit


def _neon(name: str) -> Emit:
    def emit(b: ir.IRBuilder, acc: Value, a: Value, w: Value) -> Value:
        return call(b, f"llvm.aarch64.neon.{name}.v4i32.v16i8", acc.type, [acc, _bytes(b, a), _bytes(b, w)])

    return emit


def _plain_pairs(b: ir.IRBuilder, acc: Value, a: Value, w: Value) -> Value:
    """LLVM makes a widening multiplication and addition of it where there is one."""
    a, w = _words(b, a), _words(b, w)
    evens, odds = (
        b.mul(*(b.sext(shuffle(b, x, x, range(first, 2 * acc.type.count, 2)), acc.type) for x in (a, w)))
        for first in (0, 1)
    )
    return b.add(acc, b.add(evens, odds))


def _plain_quads(signed: bool) -> Emit:
    def emit(b: ir.IRBuilder, acc: Value, a: Value, w: Value) -> Value:
        a, w = _bytes(b, a), _bytes(b, w)
        for first in range(4):
            lanes = range(first, 4 * acc.type.count, 4)
            left = shuffle(b, a, a, lanes)
            wide = b.sext(left, acc.type) if signed else b.zext(left, acc.type)
            acc = b.add(acc, b.mul(wide, b.sext(shuffle(b, w, w, lanes), acc.type)))
        return acc

    return emit


def _fma(b: ir.IRBuilder, acc: Value, a: Value, w: Value) -> Value:
    # fmuladd is a product and a sum where the processor has no fused one; llvm.fma would call a library there.
    return call(
        b, f"llvm.fmuladd.v{acc.type.count}f32", acc.type, [b.bitcast(a, acc.type), b.bitcast(w, acc.type), acc]
    )


# Fastest first within each kind; the first that the processor has and the weights allow is taken.
DOTS: tuple[Dot, ...] = (
    Dot("vnni512", "vnni512", lanes=16, group=4, rows=14, vectors=2, emit=_vnni(512)),
    Dot("vnni256", "vnni256", lanes=8, group=4, rows=6, vectors=2, emit=_vnni(256)),
    Dot("neon_usdot", "usdot", lanes=4, group=4, rows=6, vectors=4, emit=_neon("usdot")),
    Dot("neon_sdot", "sdot", lanes=4, group=4, rows=6, vectors=4, emit=_neon("sdot"), signed=True),
    Dot("maddubs256", "avx2", lanes=8, group=4, rows=5, vectors=2, emit=_maddubs, saturates=True),
    Dot("madd512_s8", "avx512", lanes=16, group=2, rows=12, vectors=2, emit=_madd(512), narrow=True),
    Dot("madd512", "avx512", lanes=16, group=2, rows=12, vectors=2, emit=_madd(512)),
    Dot("madd256_s8", "avx2", lanes=8, group=2, rows=5, vectors=2, emit=_madd(256), narrow=True),
    Dot("madd256", "avx2", lanes=8, group=2, rows=5, vectors=2, emit=_madd(256)),
    Dot("madd128", "sse2", lanes=4, group=2, rows=4, vectors=2, emit=_madd(128)),
    Dot("generic", "", lanes=4, group=2, rows=4, vectors=2, emit=_plain_pairs),
    Dot("fma512", "fma512", lanes=16, group=1, rows=14, vectors=2, emit=_fma),
    Dot("fma256", "fma256", lanes=8, group=1, rows=6, vectors=2, emit=_fma),
    Dot("fma_generic", "", lanes=4, group=1, rows=4, vectors=2, emit=_fma),
)


def get(name: str) -> Dot:
    """The dot of a name, also of an emulated one.

    Raises:
        KernelError: There is none of that name.
    """
    if name.startswith(EMULATED):
        return emulated(name.removeprefix(EMULATED))
    for dot in DOTS:
        if dot.name == name:
            return dot
    raise KernelError(f"no dot product is called {name!r}; there are {', '.join(dot.name for dot in DOTS)}")


def available() -> tuple[Dot, ...]:
    """The dots that the processor Numba compiles for has, fastest first."""
    return tuple(dot for dot in DOTS if runs(dot))


def runs(dot: Dot) -> bool:
    """Whether the processor Numba compiles for has what the dot needs."""
    return not dot.feature or dot.feature in cpu.features()


def emulated(name: str) -> Dot:
    """A dot with the lanes, group and tile of another, in plain IR that every processor can run.

    Tiles and packing of any instruction set are tested with it on any machine. What saturates does not saturate here.
    """
    dot = get(name)
    plain = {4: _plain_quads(dot.signed), 2: _plain_pairs, 1: _fma}[dot.group]
    return replace(dot, name=EMULATED + name, feature="", emit=plain, saturates=False)


def best(weights: NDArray[np.generic]) -> Dot:
    """The fastest dot on this processor that is exact for these weights.

    Args:
        weights: Integers [filters, channels(, height, width)] with their zero point subtracted, or float32.
    """
    wanted = weights.dtype == np.float32
    return next(dot for dot in available() if dot.real == wanted and dot.exact(weights))
