"""What `edgebig optimize` is asked for, and what it did."""

import dataclasses
import math
from typing import ClassVar

from edgebig.errors import UsageError
from edgebig.records.base import Record


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizeOptions:
    """How a graph is cleaned up.

    Attributes:
        opset: Standard operator set to raise the model to; None raises those below 13 to 13 and leaves newer ones.
        tolerance: Largest difference of a float output over its largest value; None for 1e-4 (float32), 5e-3
            (float16), or four times the model's own rounding noise where that is more.
        freeze_inputs: Take initializers that are also inputs as constants, which no caller can override any more.
        seed: Of the random inputs that models are compared on where no samples are given.
    """

    opset: int | None = None
    tolerance: float | None = None
    freeze_inputs: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.opset is not None and self.opset < 1:
            raise UsageError(f"opset must be at least 1, got {self.opset}")
        if self.tolerance is not None and not (math.isfinite(self.tolerance) and 0 <= self.tolerance < 1):
            raise UsageError(f"tolerance must lie in 0 .. 1 (a share of the output's scale), got {self.tolerance}")
        if self.seed < 0:
            raise UsageError(f"seed must not be negative, got {self.seed}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PassReport:
    """What one pass did over all rounds.

    Attributes:
        name: The pass.
        counts: How often each thing was done; empty where nothing was.
        skipped: Places left alone in the last round, "node: reason".
    """

    name: str
    counts: dict[str, int]
    skipped: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutputEquality:
    """How far one output of the result is from the original's.

    Attributes:
        output: Its name.
        error: Floats: the largest difference over the largest value, worst feed. Other dtypes: share that differs.
        tolerance: What was allowed.
    """

    output: str
    error: float
    tolerance: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizeRecord(Record):
    """What a clean-up did, and the proof that the outputs are the same.

    Attributes:
        model: The original, in words.
        opset_before: Its standard operator set; None where it imports none.
        opset_after: The result's.
        nodes_before: Operator -> count, subgraphs and functions included.
        nodes_after: The same of the result.
        bytes_before: Size of the original: its files, or what they would be.
        bytes_after: Size of the result.
        passes: The passes that did or refused something, in order.
        left_out: Pass -> why it was undone: it failed, or changed the outputs.
        data: What both were run on: the samples' source, or "random".
        feeds: How many feeds that were.
        feed_shapes: The shapes that occurred, e.g. "x: float32 [2, 3, 48, 8]".
        outputs: Every output's error.
        notes: What the proof does not reach, in words.
    """

    schema: ClassVar[str] = "edgebig.optimize"

    model: str
    opset_before: int | None
    opset_after: int | None
    nodes_before: dict[str, int]
    nodes_after: dict[str, int]
    bytes_before: int
    bytes_after: int
    passes: tuple[PassReport, ...]
    left_out: dict[str, str]
    data: str
    feeds: int
    feed_shapes: tuple[str, ...]
    outputs: tuple[OutputEquality, ...]
    notes: tuple[str, ...] = ()

    @property
    def worst_error(self) -> float:
        """The largest error of any output."""
        return max((output.error for output in self.outputs), default=0.0)
