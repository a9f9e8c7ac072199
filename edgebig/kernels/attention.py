"""Attention in one step: products of queries and keys, mask, softmax, products with the values, for every head.

Queries lie in the lanes: a block of them is transposed once, then keys and values are read in place, one element
repeated in every lane. So neither keys nor values are packed, the softmax runs over whole vectors without a horizontal
step, and any number of keys will do. Scores of one block live on the stack and never reach memory.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from edgebig.kernels.attention_block import Block, emit_units
from edgebig.kernels.attention_numbers import numbers_of, scalars_of, without_numbers
from edgebig.kernels.attention_scores import Rounding
from edgebig.kernels.attention_single import SingleQuery
from edgebig.kernels.batched_tile import MOST_STACK, Layout, check_lanes, fitting_lanes
from edgebig.kernels.elementwise_loop import check_counts, share
from edgebig.kernels.epilogue import Requantize
from edgebig.kernels.errors import KernelError
from edgebig.kernels.float_rows import stepped
from edgebig.kernels.numbers import NUMBERS
from edgebig.kernels.vector import Loop, Value

MASKS = ("none", "keys", "full")


@dataclass(frozen=True)
class Attention:
    """y = softmax(q @ k^T * product_scale + mask) @ v * value_scale, for every head of every entry of the batch.

    Sums are in float32; those of u8 values (minus their zero points) are exact up to 257 products. Where the graph
    rounds to 8 bits in between, `product`, `masked` and `probabilities` do the same.

    Attributes:
        batch: Entries of the batch.
        heads: Heads of queries; neighbouring `heads / key_heads` of them share a head of keys and values.
        query_rows: Queries of a head.
        key_rows: Keys, and values, of a head.
        dim: Columns of queries and keys.
        value_dim: Columns of values and results.
        q: Where the queries lie; likewise k, v, y.
        key_heads: Heads of keys and values; 0 means as many as of queries.
        product_scale: What sums of products of queries and keys are multiplied with.
        mask: "none"; "keys", an operand f32 [.., key_rows] for all queries; "full", one [.., query_rows, key_rows].
        mask_batch: Elements of the mask from an entry of the batch to the next one.
        mask_head: Elements of the mask from a head to the next one.
        product: How the scaled products are rounded; None leaves them.
        scale: What they are multiplied with after that.
        scaled: How those are rounded before the mask is added.
        masked: How the scores are rounded after the mask is added.
        probabilities: How the softmax is rounded; its `scale` should be 1, so that sums stay exact.
        element: "f32" or "u8": what q, k and v hold.
        zero_points: Of q, k and v, where they are u8.
        value_scale: What sums of probabilities times values are multiplied with.
        output: How the results become u8; None keeps f32.
        lanes: Length of the vectors, 4, 8 or 16; 0 means what suits the processor.

    Raises:
        KernelError: A count is below 1, heads cannot be shared evenly, a name is not known, or there are so many keys
            that the scores of a block of queries do not fit the stack.
    """

    batch: int
    heads: int
    query_rows: int
    key_rows: int
    dim: int
    value_dim: int
    q: Layout
    k: Layout
    v: Layout
    y: Layout
    key_heads: int = 0
    product_scale: float = 1.0
    mask: str = "none"
    mask_batch: int = 0
    mask_head: int = 0
    product: Rounding | None = None
    scale: float = 1.0
    scaled: Rounding | None = None
    masked: Rounding | None = None
    probabilities: Rounding | None = None
    element: str = "f32"
    zero_points: tuple[int, int, int] = (0, 0, 0)
    value_scale: float = 1.0
    output: Requantize | None = None
    lanes: int = 0
    tasks: int = 1

    def __post_init__(self) -> None:
        names = ("batch", "heads", "query_rows", "key_rows", "dim", "value_dim", "tasks")
        check_counts(**{name: getattr(self, name) for name in names})
        if self.mask not in MASKS or self.element not in ("f32", "u8"):
            raise KernelError(f"mask is {self.mask!r} of {MASKS}, element {self.element!r} of 'f32', 'u8'.")
        if self.key_heads < 0 or (self.key_heads and self.heads % self.key_heads):
            raise KernelError(f"{self.heads} heads of queries cannot share {self.key_heads} heads of keys evenly.")
        check_lanes(self.lanes)
        if Block(self, 16, 2).stack_bytes > MOST_STACK:
            raise KernelError(f"{self.key_rows} keys of {self.dim} columns do not fit {MOST_STACK} bytes of stack.")

    @property
    def operands(self) -> tuple[str, ...]:
        """The addresses that the built function takes."""
        return ("q", "k", "v", *(() if self.mask == "none" else ("mask",)), NUMBERS, "y")

    def numbers(self) -> NDArray[np.float32]:
        """The contents of the operand "numbers": scales, zero points, roundings."""
        return numbers_of(self)

    def without_numbers(self) -> "Attention":
        """The step whose code serves all of them."""
        return without_numbers(self)

    def build(self) -> Callable[..., Any]:
        """The jitted function `run(*addresses, task)`; y must not overlap another operand."""
        lanes, vectors = fitting_lanes(self.lanes, self.query_rows)
        block = Block(self, lanes, vectors)
        if self.query_rows == 1:
            block = SingleQuery(self, fitting_lanes(self.lanes, max(self.dim, self.value_dim))[0], 1)
        blocks = -(-self.query_rows // block.width)

        def body(b: ir.IRBuilder, *values: Value) -> None:
            place = dict(zip(self.operands, values[:-1], strict=True))
            first, last = share(b, self.batch * self.heads * blocks, self.tasks, values[-1])
            ready = replace(block, numbers=scalars_of(b, self, place[NUMBERS]))
            loop = Loop(b, last, start=first)
            emit_units(b, ready, place, loop.index, first, blocks)
            loop.end()

        return stepped(len(self.operands), body)
