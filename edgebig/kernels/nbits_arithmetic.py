"""How weights of 4 or 8 bits meet activations of 8 bits, by instruction set.

A block's products are summed exactly in integers. The weights are the unsigned operand, the activations (-127 to 127)
the signed one. With vpmaddubsw alone (AVX2) a pair of products of 4-bit weights is at most 15 * 127 * 2, so several are
summed in 16 bits before they are widened, which saves a third of the work; sums that start at minus zero_point times
the activations may wrap in between, for only what they end at has to fit.
"""

from dataclasses import dataclass

from llvmlite import ir

from edgebig.kernels import dots
from edgebig.kernels.dots import Emit
from edgebig.kernels.vector import I1, I8, I16, I32, Value, call, fill, vector_of

SATURATING = "maddubs256"
# Every processor runs it: four lanes, in plain IR.
PLAIN = dots.EMULATED + "neon_usdot"


@dataclass(frozen=True)
class Arithmetic:
    """One way to multiply 8-bit activations with weights.

    Attributes:
        lanes: Outputs per vector; each has 32 bits.
        chunk: How many inputs are summed in 16 bits before they are widened; 0 means that sums have 32 bits at once.
        offset: What is taken off 8-bit weights when they are packed: 128 where the instruction wants them signed.
        emit: `emit(b, total, weights, activations)`: vectors of 32-bit words of four bytes; gives the new total.
    """

    lanes: int
    chunk: int
    offset: int
    emit: Emit

    @property
    def total(self) -> ir.VectorType:
        """The type of a vector of sums, before they are widened."""
        return vector_of(I16, 2 * self.lanes) if self.chunk else vector_of(I32, self.lanes)


def arithmetic(dot: str, bits: int, block_size: int, *, has_zero_points: bool) -> Arithmetic:
    """The arithmetic of a dot of quads for weights of `bits` bits."""
    if dot == SATURATING and bits == 4:
        # 64 inputs make 32 products per 16-bit lane: 8 * 127 * 32 fits. With zero points the sum is of the raw
        # weights: 15 * 127 * 16 fits, twice as much does not.
        return Arithmetic(8, min(block_size, 32 if has_zero_points else 64), 0, _add_narrow)
    if dot == SATURATING:
        return Arithmetic(8, 0, 128, _add_signed)
    quads = dots.get(dot)
    return Arithmetic(quads.lanes, 0, 128 if quads.signed and bits == 8 else 0, quads.emit)


def best(*, real: bool) -> str:
    """The fastest dot on this processor: for float activations, or for int8."""
    return next((dot.name for dot in dots.available() if dot.group == (1 if real else 4)), PLAIN)


def widen(b: ir.IRBuilder, narrow: Value) -> Value:
    """Sums of neighbouring 16-bit lanes, in 32 bits (AVX2)."""
    return call(b, "llvm.x86.avx2.pmadd.wd", vector_of(I32, 8), [narrow, fill(I16, 16, 1)])


def _pairs(b: ir.IRBuilder, unsigned: Value, signed: Value) -> Value:
    return call(b, "llvm.x86.avx2.pmadd.ub.sw", vector_of(I16, 16), [unsigned, signed])


def _add_narrow(b: ir.IRBuilder, total: Value, weights: Value, activations: Value) -> Value:
    kind = vector_of(I8, 32)
    return b.add(total, _pairs(b, b.bitcast(weights, kind), b.bitcast(activations, kind)))


def _add_signed(b: ir.IRBuilder, total: Value, weights: Value, activations: Value) -> Value:
    """Signed weights: |w| <= 128 times the activation with the weight's sign, |a| <= 127: 128 * 127 * 2 fits."""
    kind = vector_of(I8, 32)
    weights, activations = b.bitcast(weights, kind), b.bitcast(activations, kind)
    size = call(b, "llvm.abs.v32i8", kind, [weights, I1(0)])
    signed = call(b, "llvm.x86.avx2.psign.b", kind, [activations, weights])
    return b.add(total, widen(b, _pairs(b, size, signed)))
