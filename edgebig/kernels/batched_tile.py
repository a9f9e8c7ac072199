"""The tile of products of two activations, in float32, and the transposition that feeds it.

Both operands arrive at run time, so neither is packed beforehand. One is read in place, an element at a time, repeated
in every lane; the other is read as vectors. Whole numbers below 2**24 stay exact in float32, and so do sums of 257
products of 8-bit values: the same tile serves u8 tensors, at the speed of float.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llvmlite import ir

from edgebig.kernels import cpu
from edgebig.kernels.errors import KernelError
from edgebig.kernels.float_unary_math import multiply_add
from edgebig.kernels.vector import F32, I8, I32, Loop, Value, at, const, fill, load, shuffle, splat, vector_of

# Products of two numbers of 8 bits and a sign that can be added in float32 without rounding: 257 * 255**2 < 2**24.
EXACT_PRODUCTS = 256
_UNROLL = 4
# Pool threads have small stacks.
MOST_STACK = 224 * 1024


@dataclass(frozen=True)
class Layout:
    """Where the rows of an operand lie, in elements.

    Attributes:
        pitch: From a row to the next one.
        head: From a head to the next one.
        batch: From an entry of the batch to the next one.
    """

    pitch: int
    head: int
    batch: int


def check_lanes(lanes: int) -> None:
    """Refuse a length of vectors that no processor has.

    Raises:
        KernelError: It is neither 0 (what suits the processor) nor 4, 8 or 16.
    """
    if lanes not in (0, 4, 8, 16):
        raise KernelError(f"lanes is {lanes}; give 4, 8, 16, or 0 for what suits the processor.")


def fitting_lanes(lanes: int, columns: int) -> tuple[int, int]:
    """The length of vectors, and how many side by side, for `columns` columns; `lanes` 0 is the processor's own."""
    found = cpu.features()
    lanes = lanes or (16 if "fma512" in found else 8 if "fma256" in found else 4)
    while lanes > 4 and 2 * columns <= lanes:
        lanes //= 2
    return lanes, 2 if columns > lanes else 1


def tile_rows(vectors: int) -> int:
    """Rows of a tile: 16 registers hold its sums, the vectors and the repeated element."""
    return 6 if vectors == 2 else 12


def start(b: ir.IRBuilder, base: Value, terms: Sequence[tuple[Value, int]], element_bytes: int) -> Value:
    """base + the sum of number * step, in elements."""
    for number, step in terms:
        base = b.add(base, b.mul(number, const(step * element_bytes)))
    return base


def pieces(count: int, most: int) -> list[tuple[int, int, int]]:
    """Cut `count` rows into pieces of at most `most`, as equal as they can be: (first, rows, how many such pieces)."""
    number = -(-count // most)
    low, longer = divmod(count, number)
    found = [(0, low + 1, longer), (longer * (low + 1), low, number - longer)]
    return [piece for piece in found if piece[2]]


def multiply(
    b: ir.IRBuilder,
    single: Value,
    vectors: Value,
    count: int,
    start: Sequence[Sequence[Value]],
    *,
    row_bytes: int,
    single_bytes: int,
    vector_bytes: int,
) -> list[list[Value]]:
    """start[r][v] + sum over i of single[r, i] * vectors[i, v].

    Args:
        b: The builder.
        single: The address of the operand that is read element by element.
        vectors: The address of the one that is read as vectors, which lie side by side.
        count: How many products make a sum.
        start: What the sums begin with: for every row a vector for each of the side by side ones.
        row_bytes: Bytes between rows of `single`.
        single_bytes: Bytes from an element of `single` to its next one.
        vector_bytes: Bytes from a row of `vectors` to its next one.
    """
    width, kind = len(start[0]), start[0][0].type
    flat = [value for row in start for value in row]

    def step(one: Value, many: Value, offset: int, sums: Sequence[Value]) -> list[Value]:
        operands = [load(b, at(b, many, offset * vector_bytes + 4 * kind.count * v), kind) for v in range(width)]
        result = []
        for r in range(len(start)):
            element = load(b, at(b, one, r * row_bytes + offset * single_bytes), F32)
            repeated = splat(b, element, kind.count)
            result += [multiply_add(b, repeated, operands[v], sums[r * width + v]) for v in range(width)]
        return result

    full, rest = divmod(count, _UNROLL)
    if full:
        loop = Loop(b, const(full), [single, vectors, *flat])
        one, many, *sums = loop.values
        for offset in range(_UNROLL):
            sums = step(one, many, offset, sums)
        single, vectors, *flat = loop.end(
            [at(b, one, _UNROLL * single_bytes), at(b, many, _UNROLL * vector_bytes), *sums]
        )
    for offset in range(rest):
        flat = step(single, vectors, offset, flat)
    return [flat[r * width : (r + 1) * width] for r in range(len(start))]


def load_row(b: ir.IRBuilder, address: Value, count: int, lanes: int, zero_point: Value | int | None) -> Value:
    """`count` values as a vector of `lanes` floats, 0 in the others: f32, or u8 minus a zero point (or an i32)."""
    if count == 0:
        return fill(F32, lanes, 0.0)
    element, size = (F32, 4) if zero_point is None else (I8, 1)
    point = I32(zero_point or 0) if zero_point is None or isinstance(zero_point, int) else zero_point
    result, done = fill(F32, lanes, 0.0) if element is F32 else splat(b, b.trunc(point, I8), lanes), 0
    while done < count:
        piece = 1 << ((count - done).bit_length() - 1)
        part = load(b, at(b, address, size * done), vector_of(element, piece))
        if piece == lanes:
            result, done = part, lanes
            continue
        wide = shuffle(b, part, part, [min(max(lane - done, 0), piece - 1) for lane in range(lanes)])
        inside = [lanes + lane if done <= lane < done + piece else lane for lane in range(lanes)]
        result, done = shuffle(b, result, wide, inside), done + piece
    if zero_point is None:
        return result
    ints = b.sub(b.zext(result, vector_of(I32, lanes)), splat(b, point, lanes))
    return b.sitofp(ints, vector_of(F32, lanes))


def transpose(
    b: ir.IRBuilder,
    source: Value,
    rows: int,
    columns: int,
    lanes: int,
    *,
    pitch_bytes: int,
    zero_point: Value | int | None,
    put: Callable[[Value, int, int, Value], None],
) -> None:
    """Read [rows, columns] of f32 or u8, and hand on its columns as vectors of `lanes` rows.

    Args:
        b: The builder.
        source: The address.
        rows: Rows; the last vector is filled up with zeros.
        columns: Columns.
        lanes: Length of the vectors, a power of two.
        pitch_bytes: Bytes between rows of the source.
        zero_point: Taken off u8 values; None says that the source is f32.
        put: `put(column, first_row, count, vector)` takes rows `first_row` to `first_row + count` of a column.
    """
    size = 4 if zero_point is None else 1

    def block(first: int, column: Value, count: int) -> None:
        address = b.add(source, b.mul(column, const(size)))
        height = min(lanes, rows - first)
        vectors = [
            load_row(b, at(b, address, (first + r) * pitch_bytes), count if r < height else 0, lanes, zero_point)
            for r in range(lanes)
        ]
        for c, vector in enumerate(square_transposed(b, vectors)[:count]):
            put(b.add(column, const(c)), first, height, vector)

    full = columns // lanes * lanes
    for first in range(0, rows, lanes):
        if full:
            loop = Loop(b, const(full), step=lanes)
            block(first, loop.index, lanes)
            loop.end()
        if columns % lanes:
            block(first, const(full), columns % lanes)


def square_transposed(b: ir.IRBuilder, vectors: Sequence[Value]) -> list[Value]:
    """Swap rows and lanes of a square: squares of 4 x 4 within 128 bits first, then those squares among each other.

    Either step is one shuffle instruction per vector with AVX.
    """
    rows, lanes = [], range(len(vectors))
    for first in lanes[::4]:
        x, y, z, w = vectors[first : first + 4]
        for half in (0, 1):
            left, right = _zip_halves(b, x, y, 1, half), _zip_halves(b, z, w, 1, half)
            rows += [_zip_halves(b, left, right, 2, odd) for odd in (0, 1)]
    bit = 4
    while bit < len(rows):
        for upper in (r for r in lanes if not r & bit):
            x, y = rows[upper], rows[upper | bit]
            rows[upper] = shuffle(b, x, y, [len(rows) + (lane ^ bit) if lane & bit else lane for lane in lanes])
            rows[upper | bit] = shuffle(b, x, y, [len(rows) + lane if lane & bit else lane | bit for lane in lanes])
        bit *= 2
    return rows


def _zip_halves(b: ir.IRBuilder, x: Value, y: Value, run: int, odd: int) -> Value:
    """Of every four lanes the first (or second) two of x and of y, in alternating runs of 1 or 2."""
    count = x.type.count
    taken = [2 * odd, count + 2 * odd, 2 * odd + 1, count + 2 * odd + 1]
    if run == 2:
        taken = [2 * odd, 2 * odd + 1, count + 2 * odd, count + 2 * odd + 1]
    return shuffle(b, x, y, [chunk + lane for chunk in range(0, count, 4) for lane in taken])
