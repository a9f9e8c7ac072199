"""What the runtime did with a model: which nodes its kernels took over, what that gained, and why not the others."""

from dataclasses import dataclass
from typing import ClassVar

from edgebig.records.base import Record


@dataclass(frozen=True, kw_only=True)
class SegmentStory:
    """One group of nodes that kernels can run.

    Attributes:
        name: Of its node in the new graph; also of its generated module.
        nodes: Names of the nodes it stands for.
        ops: How many nodes of each operator.
        steps: What it runs, in order: a line per kernel.
        kept: Whether it replaced the nodes.
        reason: Why, or why not.
        speedup: Measured against onnxruntime on the same nodes; None where that was not measured.
        low, high: The speedup's interval.
        arena_bytes: Memory for its activations.
    """

    name: str
    nodes: tuple[str, ...]
    ops: dict[str, int]
    steps: tuple[str, ...]
    kept: bool
    reason: str
    speedup: float | None = None
    low: float | None = None
    high: float | None = None
    arena_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class NodeStory:
    """A node left to onnxruntime.

    Attributes:
        name: Of the node.
        op: Its operator.
        reason: Why.
    """

    name: str
    op: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class RuntimeRecord(Record):
    """What the runtime did for one set of input shapes.

    Attributes:
        model: The model.
        shapes: Of the inputs.
        threads: Within an operator.
        segments: Groups of nodes that kernels can run.
        left: Nodes left to onnxruntime.
        speedup: Of the whole model; None where it was not measured.
        low, high: The speedup's interval.
        kept: Whether the new graph is used; else onnxruntime runs the model as it is.
        reason: Why.
        build_seconds: What building took, measuring included.
        from_cache: Whether the verdicts came from the cache.
    """

    schema: ClassVar[str] = "edgebig.runtime"

    model: str
    shapes: dict[str, tuple[int, ...]]
    threads: int
    segments: tuple[SegmentStory, ...]
    left: tuple[NodeStory, ...]
    kept: bool
    reason: str
    speedup: float | None = None
    low: float | None = None
    high: float | None = None
    build_seconds: float = 0.0
    from_cache: bool = False
