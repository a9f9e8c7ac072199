"""The way from a model to a faster graph: specialise, partition, lower, compile, measure, replace."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx_ir as ir

from edgebig.graph.load import describe_source
from edgebig.progress import track
from edgebig.records.runtime import NodeStory, RuntimeRecord
from edgebig.runtime.bridge import unregister
from edgebig.runtime.cache import Cache
from edgebig.runtime.judge import Judged, Segment, judge, judge_whole
from edgebig.runtime.lower.parameters import is_constant_dequantize
from edgebig.runtime.lower.segment import Refused, lower_segment, refusal_of
from edgebig.runtime.partition import working_groups
from edgebig.runtime.plan import Plan
from edgebig.runtime.replace import replace_segments
from edgebig.runtime.specialise import Shapes, specialise

_NO_WORK = "moves or converts numbers only, with no multiplications to gain on"
_FASTER_THERE = "onnxruntime runs it faster here"


@dataclass(frozen=True, eq=False)
class Accelerated:
    """A model made faster, or not.

    Attributes:
        model: With segments as nodes; None where onnxruntime's own graph is at least as fast.
        keys: Of the registered programs it uses.
        record: The story.
    """

    model: ir.Model | None
    keys: tuple[int, ...]
    record: RuntimeRecord


def accelerate(model: ir.Model, shapes: Shapes, *, threads: int, cache: Cache, measure: bool = True) -> Accelerated:
    """Make a model faster for one set of input shapes.

    Args:
        model: The model; it stays as it is.
        shapes: Shapes of the inputs that have dynamic axes.
        threads: Within an operator, as the session will have; 0 leaves the choice to onnxruntime.
        cache: Where compiled code and verdicts lie.
        measure: Whether a segment must have been measured faster to be kept.

    Returns:
        The new graph and what was done.

    Raises:
        InvalidModelError: A shape contradicts the model.
    """
    start = time.perf_counter()
    special = specialise(model, shapes)
    name_nodes(special)
    segments, left = find_segments(special, threads)
    judged = [judge(special, segment, threads, cache, measure) for segment in track(segments, "building segments")]
    kept = {key: nodes for found in judged for key, nodes in found.parts.items()}
    inputs = {value.name or "": tuple(shape_or_empty(value)) for value in special.graph.inputs}
    record = RuntimeRecord(
        model=Path(describe_source(model)).name,
        shapes=inputs,
        threads=threads,
        segments=tuple(found.story for found in judged),
        left=left + tuple(story for i, found in enumerate(judged) for story in _cut(segments[i], found)),
        kept=bool(kept),
        reason="segments were measured faster" if kept else "no segment is faster than onnxruntime",
        from_cache=all(found.cached for found in judged),
    )
    if not kept:
        return Accelerated(None, (), replace(record, build_seconds=time.perf_counter() - start))
    replaced = special.clone()
    _replace(special, replaced, kept)
    record = judge_whole(special, replaced, record, threads, cache, measure)
    record = replace(record, build_seconds=time.perf_counter() - start)
    if record.kept:
        return Accelerated(replaced, tuple(kept), record)
    for key in kept:
        unregister(key)
    return Accelerated(None, (), record)


def _cut(segment: Segment, found: Judged) -> list[NodeStory]:
    """The nodes that a segment was cut free of."""
    inside = {node for nodes in found.parts.values() for node in nodes}
    gone = [node for node in segment.nodes if node not in inside] if inside else []
    return [NodeStory(name=node.name or "", op=node.op_type, reason=_FASTER_THERE) for node in gone]


def name_nodes(model: ir.Model) -> None:
    """Give every node a name of its own."""
    taken: set[str] = set()
    for index, node in enumerate(model.graph):
        if not node.name or node.name in taken:
            node.name = f"{node.name or node.op_type}_{index}"
        taken.add(node.name)


def find_segments(model: ir.Model, threads: int) -> tuple[list[Segment], tuple[NodeStory, ...]]:
    """Partition a specialised model and lower each segment; a node that does not fit is taken out, until all fit."""
    nodes = list(model.graph)
    ignored = [node for node in nodes if is_constant_dequantize(node)]
    refusals = {node: reason for node in nodes if (reason := refusal_of(node)) is not None}
    lowered: dict[tuple[ir.Node, ...], Plan] = {}
    while True:
        groups = working_groups(nodes, [node for node in nodes if node not in refusals])
        try:
            for group in groups:
                if tuple(group) not in lowered:
                    lowered[tuple(group)] = lower_segment(group, threads)
        except Refused as refused:
            refusals[refused.node] = refused.reason
            continue
        break
    inside = {node for group in groups for node in group}
    left = tuple(
        NodeStory(name=node.name or "", op=node.op_type, reason=refusals.get(node, _NO_WORK))
        for node in nodes
        if node not in inside and node not in set(ignored)
    )
    plans = [(group, lowered[tuple(group)]) for group in groups]
    return [Segment(group, plan, f"segment {i} of {len(plans)}") for i, (group, plan) in enumerate(plans, 1)], left


def _replace(special: ir.Model, replaced: ir.Model, kept: Mapping[int, Sequence[ir.Node]]) -> None:
    """Replace segments in a copy of the model they were found in."""
    copies = dict(zip(special.graph, replaced.graph, strict=True))
    replace_segments(replaced, {key: [copies[node] for node in nodes] for key, nodes in kept.items()})


def shape_or_empty(value: ir.Value) -> Sequence[int]:
    """Sizes of an input; 0 where they are not known."""
    return [size if isinstance(size, int) else 0 for size in value.shape or ()]
