"""How a depthwise convolution is cut: into patches that fit the nearest cache, and these into strips.

A patch is a piece of the input, with its padding, for some channels: it is copied first, so that what follows needs no
case for borders. A strip is a run of outputs along a row, or along a few rows above each other, of one block of
channels.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import product

from edgebig.kernels.dots import Dot
from edgebig.kernels.elementwise_loop import check_counts
from edgebig.kernels.errors import KernelError
from edgebig.kernels.pool_window import Window

# Bytes of a patch: it is written and then read from the level 1 cache.
_PATCH_BYTES = 24 * 1024
_MOST_PATCH_BYTES = 160 * 1024
# Inner input columns from which on a row is worth three strips; the bytes of channels done together: a cache line.
_DIRECT_COLUMNS = 40
_DIRECT_BYTES = 64
# Accumulators that live at the same time.
_MOST_ACCUMULATORS = 12
# Vectors of accumulators for a block of channels.
VECTORS = 2
# Kernels with more elements than this are looped over, not unrolled.
UNROLLED = 49


def rounded(whole: int, part: int) -> float:
    """How much more than the whole it is to cover it with parts."""
    return -(-whole // part) * part / whole


@dataclass(frozen=True)
class Plan:
    """The cut for one convolution.

    Attributes:
        window: The geometry.
        dot: How it multiplies.
        batch: Images.
        channels: Of each.
        tasks: Parts that the patches are shared among.
    """

    window: Window
    dot: Dot
    batch: int
    channels: int
    tasks: int

    def __post_init__(self) -> None:
        check_counts(batch=self.batch, channels=self.channels, tasks=self.tasks)
        if self.patch_bytes > _MOST_PATCH_BYTES:
            raise KernelError(
                f"A window over {self.window.extent[0]} x {self.window.extent[1]} elements is too large: one patch "
                f"takes {self.patch_bytes} bytes, of at most {_MOST_PATCH_BYTES}."
            )

    @property
    def unrolled(self) -> bool:
        """Whether the strip's code names every element of the kernel."""
        return self.window.kernel[0] * self.window.kernel[1] <= UNROLLED

    @property
    def block(self) -> int:
        """Channels of a strip."""
        return VECTORS * self.dot.lanes

    @property
    def element_bytes(self) -> int:
        """Bytes of an element of x."""
        return 4 if self.dot.real else 1

    def input_rows(self, rows: int) -> list[int]:
        """Which rows of a patch some neighbouring output rows read, counted from the first."""
        kernel, stride, dilation = self.window.kernel[0], self.window.strides[0], self.window.dilations[0]
        return sorted({r * stride + k * dilation for r in range(rows) for k in range(kernel)})

    def row_groups(self, rows: int) -> list[list[int]]:
        """Those rows in groups as large as the dot's."""
        found, group = self.input_rows(rows), self.dot.group
        return [found[i : i + group] for i in range(0, len(found), group)]

    def uses(self, rows: int) -> list[tuple[int, int]]:
        """Which (output row, group) pairs have a kernel element in common."""
        kernel, stride, dilation = self.window.kernel[0], self.window.strides[0], self.window.dilations[0]
        groups = self.row_groups(rows)
        return [
            (r, g)
            for r, g in product(range(rows), range(len(groups)))
            if {r * stride + k * dilation for k in range(kernel)} & set(groups[g])
        ]

    @cached_property
    def rows(self) -> int:
        """Output rows of a strip: those with the least work an output whose accumulators fit the registers."""
        across = -(-self.window.extent[1] // self.window.strides[1])
        fitting = [r for r in (1, 2, 3, 4) if r == 1 or across * r * VECTORS <= _MOST_ACCUMULATORS]
        allowed = [r for r in fitting if r <= self.window.output[0]] if self.unrolled else [1]

        def work(rows: int) -> float:
            prepared = len(self.row_groups(rows)) * self.window.strides[1] * (1 + self.dot.group / 2)
            return (len(self.uses(rows)) * self.window.kernel[1] + prepared) / rows

        return min(allowed, key=work)

    @cached_property
    def direct(self) -> bool:
        """Whether outputs whose windows lie inside the image are computed from the image itself, not from a copy.

        Each row is then cut in three strips, and beginning a strip costs a few columns; a copy costs more the fewer
        outputs there are for an input.
        """
        left, right = self.edges
        inner = self.window.output[1] - left - right
        long = inner * self.window.strides[1] >= _DIRECT_COLUMNS
        return long and self.channels >= self.block and self._bytes(*self._direct_outputs) <= _MOST_PATCH_BYTES

    @cached_property
    def edges(self) -> tuple[int, int]:
        """How many outputs of a row have padding in their windows, at the left and at the right."""
        window, width = self.window, self.window.output[1]
        left = min(width, -(-window.pads[1] // window.strides[1]))
        inside = (window.size[1] + window.pads[1] - window.extent[1]) // window.strides[1] + 1
        return left, width - max(left, min(width, inside))

    @cached_property
    def patch_outputs(self) -> tuple[int, int, int]:
        """Output rows, output columns and channels of a patch."""
        height, width = self.window.output
        blocks = self._blocks
        if self.direct:
            return self._direct_outputs
        most = max((w for w in range(1, width + 1) if self._bytes(self.rows, w, self.block) <= _PATCH_BYTES), default=1)
        across = -(-width // -(-width // most))
        high = [*range(self.rows, height + 1, self.rows), height]

        def work(candidate: tuple[int, int]) -> float:
            # Rows at a patch's border are read twice, short runs of channels are copied slowly, and what the last patch
            # shares with the one before is done twice.
            down, deep = candidate
            items = self.batch * -(-height // down) * -(-width // across) * -(-self.channels // (deep * self.block))
            reads = ((down - 1) * self.window.strides[0] + self.window.extent[0]) / down
            idle = -(-items // self.tasks) * self.tasks / items
            return (12 + reads * (1 + 1 / deep)) * idle * rounded(height, down) * rounded(blocks, deep)

        fitting = [
            (down, deep)
            for down, deep in product(high, range(1, max(1, min(self.channels // self.block, 16)) + 1))
            if self._bytes(down, across, deep * self.block) <= _PATCH_BYTES
        ]
        down, deep = min(fitting, key=work, default=(min(self.rows, height), 1))
        return down, across, deep * self.block

    @property
    def _direct_outputs(self) -> tuple[int, int, int]:
        most = min(self.channels // self.block, max(1, _DIRECT_BYTES // (self.block * self.element_bytes)))
        deep = min(range(1, most + 1), key=lambda deep: (rounded(self._blocks, deep), -deep), default=1)
        return self.rows, self.window.output[1], self.block * deep

    @property
    def _blocks(self) -> int:
        return -(-self.channels // self.block)

    def _bytes(self, down: int, across: int, deep: int) -> int:
        height, width = self._inputs(down, across)
        return height * width * deep * self.element_bytes

    def _inputs(self, down: int, across: int) -> tuple[int, int]:
        strides, extent = self.window.strides, self.window.extent
        return (down - 1) * strides[0] + extent[0], (across - 1) * strides[1] + extent[1]

    @property
    def patch_inputs(self) -> tuple[int, int]:
        """Input rows and columns of a patch."""
        return self._inputs(*self.patch_outputs[:2])

    @property
    def patch_bytes(self) -> int:
        """Memory of a patch."""
        return self._bytes(*self.patch_outputs)

    @property
    def patches(self) -> tuple[int, int, int]:
        """How many patches cover the output: down, across, and in channels. The last ones overlap those before."""
        down, across, deep = self.patch_outputs
        height, width = self.window.output
        return -(-height // down), -(-width // across), -(-self.channels // deep)

    def block_starts(self) -> list[int]:
        """The first channel of every block, in the order the packed constants have."""
        deep = self.patch_outputs[2]
        firsts = [max(0, min(i * deep, self.channels - deep)) for i in range(self.patches[2])]
        return [first + start for first in firsts for start in range(0, deep, self.block)]
