"""What a segment becomes: steps over buffers, before addresses are known."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgebig.kernels.step import Step

Element = Literal["u8", "s8", "f32", "s32", "i64"]
ELEMENT_BYTES: dict[str, int] = {"u8": 1, "s8": 1, "f32": 4, "s32": 4, "i64": 8}

Order = tuple[int, ...]


class Place(Enum):
    """Where a buffer lies."""

    ARENA = "arena"
    INPUT = "input"
    OUTPUT = "output"
    CONSTANT = "constant"


@dataclass(eq=False)
class Buffer:
    """A piece of memory.

    Attributes:
        bytes: Its size.
        place: Where it lies.
        index: Of the segment's input or output.
        array: A constant's contents, or a function that gives them.
        label: The tensor it holds, for people.
    """

    bytes: int
    place: Place = Place.ARENA
    index: int = -1
    array: NDArray | Callable[[], NDArray] | None = None
    label: str = ""


@dataclass(frozen=True, eq=False)
class View:
    """How a tensor lies in a buffer: contiguous, its axes in some order.

    Attributes:
        buffer: The memory.
        element: What it holds.
        shape: Sizes of the tensor's axes, as ONNX numbers them.
        order: The axes from the outermost in memory to the innermost: NHWC is (0, 2, 3, 1).
    """

    buffer: Buffer
    element: Element
    shape: tuple[int, ...]
    order: Order

    @cached_property
    def key(self) -> Order:
        """The order without axes of size one, which lie anywhere."""
        return lying(self.shape, self.order)

    @property
    def memory_shape(self) -> tuple[int, ...]:
        """Sizes of the axes in memory order."""
        return tuple(self.shape[axis] for axis in self.order)

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)


@dataclass(frozen=True, eq=False)
class Part:
    """A buffer from some byte on."""

    buffer: Buffer
    offset: int


@dataclass(frozen=True, eq=False)
class PlannedStep:
    """A kernel and what it works on.

    Attributes:
        step: The kernel.
        operands: A buffer per operand of the kernel, in its order.
        offsets: Bytes from each buffer's start.
        writes: Those of them it writes.
        nodes: Names of the nodes whose work it does.
    """

    step: Step
    operands: tuple[Buffer, ...]
    offsets: tuple[int, ...]
    writes: tuple[Buffer, ...]
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class Port:
    """An input or output of a segment.

    Attributes:
        name: The tensor's name in the model.
        dtype: Its dtype.
        shape: Its sizes.
    """

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """A segment as steps, in the order they run.

    Attributes:
        inputs: What the segment reads, in the order of its node's inputs.
        outputs: What it gives.
        steps: The work.
        nodes: Names of all nodes it replaces.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    steps: tuple[PlannedStep, ...]
    nodes: tuple[str, ...] = field(default=())


def natural(rank: int) -> Order:
    """Axes in the order ONNX stores them."""
    return tuple(range(rank))


def lying(shape: tuple[int, ...], order: Order) -> Order:
    """The axes that matter for how a tensor lies: those longer than one, from the outermost."""
    return tuple(axis for axis in order if shape[axis] != 1)


def same_order(shape: tuple[int, ...], a: Order, b: Order) -> bool:
    """Whether two orders are the same memory."""
    return lying(shape, a) == lying(shape, b)
