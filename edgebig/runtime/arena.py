"""One arena for all activations of a segment: buffers whose lives do not overlap share memory.

Greedy by size, largest first, each at the lowest offset where nothing alive at the same time lies (Pisarchyk and Lee,
"Efficient Memory Management for Deep Neural Net Inference", 2020).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgebig.runtime.plan import Buffer, Place, PlannedStep

ALIGN = 64


@dataclass(frozen=True)
class Arena:
    """Where each buffer lies.

    Attributes:
        offsets: Bytes from the arena's start, per buffer.
        bytes: The arena's size.
    """

    offsets: Mapping[Buffer, int]
    bytes: int


def plan_arena(steps: Sequence[PlannedStep]) -> Arena:
    """Lay out the buffers in the arena.

    Args:
        steps: In the order they run. A step's operands must not overlap, so a buffer lives from the first step that
            uses it to the last, both included.

    Returns:
        Offsets, multiples of 64.
    """
    lives: dict[Buffer, tuple[int, int]] = {}
    for index, step in enumerate(steps):
        for buffer in step.operands:
            if buffer.place is Place.ARENA:
                first, _ = lives.get(buffer, (index, index))
                lives[buffer] = (first, index)
    offsets: dict[Buffer, int] = {}
    total = 0
    for buffer in sorted(lives, key=lambda b: (-b.bytes, lives[b])):
        first, last = lives[buffer]
        taken = sorted(
            (offset, offset + _rounded(other.bytes))
            for other, offset in offsets.items()
            if lives[other][0] <= last and lives[other][1] >= first
        )
        place = 0
        for start, end in taken:
            if place + _rounded(buffer.bytes) <= start:
                break
            place = max(place, end)
        offsets[buffer] = place
        total = max(total, place + _rounded(buffer.bytes))
    return Arena(offsets, total)


def _rounded(size: int) -> int:
    return -(-max(size, 1) // ALIGN) * ALIGN
