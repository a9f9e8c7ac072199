"""Lookups of bytes in a table of 256, many at a time.

A processor looks up 16 entries at once (vpshufb, tbl), so a table of 256 takes 16 such steps. vpshufb gives zero for an
index whose top bit is set, which lets the steps be added up without a mask: step k looks at x - 16 * k, whose top bit
is set (the subtraction saturates) once x lies before row k; what it adds is the difference of row k to the row before,
by exclusive or. So a byte picks up the differences of all rows up to its own, which is its own row.
"""

from llvmlite import ir

from edgebig.kernels.vector import I8, Value, at, call, fill, load, shuffle, vector_of

ROWS = 16


def row_differences(b: ir.IRBuilder, table: Value, lanes: int) -> list[Value]:
    """The table's rows as the lookup wants them: each one exclusive or the row before, in every 16 lanes.

    The rows for bytes from 128 on begin anew.
    """
    rows = [load(b, at(b, table, 16 * row), vector_of(I8, 16)) for row in range(ROWS)]
    differences = [row if index % 8 == 0 else b.xor(row, rows[index - 1]) for index, row in enumerate(rows)]
    return [shuffle(b, row, row, [*range(16)] * (lanes // 16)) for row in differences]


def lookup(b: ir.IRBuilder, differences: list[Value], x: Value, instruction: str) -> Value:
    """Look up a vector of bytes.

    Args:
        b: The builder.
        differences: Of `row_differences`, with as many lanes as x.
        x: The bytes.
        instruction: LLVM's name of the target's byte shuffle.
    """
    lanes = x.type.count
    step = fill(I8, lanes, 16)
    halves = []
    for first, index in ((0, x), (8, b.xor(x, fill(I8, lanes, 128)))):
        found = None
        for row in range(first, first + 8):
            part = call(b, instruction, x.type, [differences[row], index])
            found = part if found is None else b.xor(found, part)
            index = call(b, f"llvm.ssub.sat.v{lanes}i8", x.type, [index, step])
        halves.append(found)
    return b.xor(*halves)
