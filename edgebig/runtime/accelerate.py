"""The way from a model to a faster graph: specialise, partition, lower, compile, measure, replace."""

import hashlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx_ir as ir

from edgebig.graph.load import describe_source
from edgebig.progress import track
from edgebig.records.runtime import NodeStory, RuntimeRecord, SegmentStory
from edgebig.runtime.bridge import register
from edgebig.runtime.cache import Cache
from edgebig.runtime.codegen import generate
from edgebig.runtime.contest import Verdict, contest, random_feed
from edgebig.runtime.lower.handlers import WORK
from edgebig.runtime.lower.parameters import is_constant_dequantize
from edgebig.runtime.lower.segment import Refused, lower_segment, refusal_of
from edgebig.runtime.partition import partition
from edgebig.runtime.plan import Plan
from edgebig.runtime.program import build_program
from edgebig.runtime.replace import extract_segment, replace_segments
from edgebig.runtime.sessions import open_model
from edgebig.runtime.specialise import Shapes, specialise

_NO_WORK = "moves or converts numbers only, with no multiplications to gain on"


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


@dataclass(frozen=True, eq=False)
class _Segment:
    nodes: list[ir.Node]
    plan: Plan
    name: str


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
    segments, left = find_segments(special, threads)
    stories, kept, cached = [], {}, True
    for segment in track(segments, "building segments"):
        key, story, known = _judge(special, segment, threads, cache, measure)
        cached &= known
        stories.append(story)
        if story.kept:
            kept[key] = segment
    inputs = {value.name or "": tuple(shape_or_empty(value)) for value in special.graph.inputs}
    record = RuntimeRecord(
        model=Path(describe_source(model)).name,
        shapes=inputs,
        threads=threads,
        segments=tuple(stories),
        left=left,
        kept=bool(kept),
        reason="segments were measured faster" if kept else "no segment is faster than onnxruntime",
        from_cache=cached,
    )
    if not kept:
        return Accelerated(None, (), replace(record, build_seconds=time.perf_counter() - start))
    replaced = special.clone()
    _replace(special, replaced, kept)
    record = _judge_whole(special, replaced, record, threads, cache, measure)
    record = replace(record, build_seconds=time.perf_counter() - start)
    return Accelerated(replaced if record.kept else None, tuple(kept), record)


def find_segments(model: ir.Model, threads: int) -> tuple[list[_Segment], tuple[NodeStory, ...]]:
    """Partition a specialised model and lower each segment; a node that does not fit is taken out, until all fit."""
    nodes = list(model.graph)
    ignored = [node for node in nodes if is_constant_dequantize(node)]
    refusals = {node: reason for node in nodes if (reason := refusal_of(node)) is not None}
    lowered: dict[tuple[ir.Node, ...], Plan] = {}
    while True:
        groups = partition(nodes, (n for n in nodes if n not in refusals), ignored)
        groups = [group for group in groups if any(node.op_type in WORK for node in group)]
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
    return [_Segment(group, plan, f"segment {i} of {len(plans)}") for i, (group, plan) in enumerate(plans, 1)], left


def _judge(
    model: ir.Model, segment: _Segment, threads: int, cache: Cache, measure: bool
) -> tuple[int, SegmentStory, bool]:
    """Build a segment and decide whether it pays; the verdict of an equal one on this machine is taken over."""
    plan = segment.plan
    story = SegmentStory(
        name=generate(plan, segment.name).name,
        nodes=plan.nodes,
        ops=dict(Counter(node.op_type for node in segment.nodes)),
        steps=tuple(f"{type(step.step).__name__}: {', '.join(step.nodes)}" for step in plan.steps),
        kept=True,
        reason="kept without measuring",
    )
    alone = extract_segment(model, segment.nodes)
    digest = _digest(story.name, alone, threads)
    known = cache.get("verdict", digest) if measure else None
    if known is not None and not known["faster"]:
        return 0, _told(story, known), True
    program = build_program(plan, cache, segment.name)
    key = register(program)
    story = replace(story, arena_bytes=program.arena_bytes)
    if known is not None or not measure:
        return key, _told(story, known) if known is not None else story, known is not None
    ours = extract_segment(model, segment.nodes)
    replace_segments(ours, {key: [node for node in ours.graph if not is_constant_dequantize(node)]})
    verdict = _contest(ours, alone, threads)
    found = {k: getattr(verdict, k) for k in ("faster", "speedup", "low", "high", "reason")}
    if verdict.decided:
        cache.put("verdict", digest, found)
    return key, _told(story, found), False


def _judge_whole(
    special: ir.Model, replaced: ir.Model, record: RuntimeRecord, threads: int, cache: Cache, measure: bool
) -> RuntimeRecord:
    """Segments that are faster alone must also make the whole faster, with what onnxruntime does around them."""
    if not measure:
        return record
    digest = _digest("+".join(s.name for s in record.segments if s.kept), special, threads)
    known = cache.get("model", digest)
    if known is None:
        verdict = _contest(replaced, special, threads)
        known = {k: getattr(verdict, k) for k in ("faster", "speedup", "low", "high", "reason")}
        if verdict.decided:
            cache.put("model", digest, known)
        record = replace(record, from_cache=False)
    return replace(
        record,
        kept=known["faster"],
        reason=known["reason"],
        speedup=known["speedup"],
        low=known["low"],
        high=known["high"],
    )


def _contest(ours: ir.Model, stock: ir.Model, threads: int) -> Verdict:
    ours_session, stock_session = open_model(ours, threads, kernels=True), open_model(stock, threads)
    exact = open_model(stock, threads, rewrite=False)
    return contest(ours_session, stock_session, exact, random_feed(stock_session))


def _replace(special: ir.Model, replaced: ir.Model, kept: Mapping[int, _Segment]) -> None:
    """Replace segments in a copy of the model they were found in."""
    copies = dict(zip(special.graph, replaced.graph, strict=True))
    replace_segments(replaced, {key: [copies[node] for node in segment.nodes] for key, segment in kept.items()})


def _told(story: SegmentStory, verdict: Mapping[str, object]) -> SegmentStory:
    return replace(
        story,
        kept=bool(verdict["faster"]),
        reason=str(verdict["reason"]),
        speedup=verdict["speedup"],  # type: ignore[arg-type]
        low=verdict["low"],  # type: ignore[arg-type]
        high=verdict["high"],  # type: ignore[arg-type]
    )


def _digest(name: str, model: ir.Model, threads: int) -> str:
    """What decides a speed: the generated code, the nodes it replaces, and the number of threads."""
    text = [name, str(threads)]
    for node in model.graph:
        shapes = [str(value.shape) for value in (*node.inputs, *node.outputs) if value is not None]
        text.append(f"{node.op_type}{shapes}{sorted(str(a) for a in node.attributes.values())}")
    return hashlib.sha256("\n".join(text).encode()).hexdigest()[:24]


def shape_or_empty(value: ir.Value) -> Sequence[int]:
    """Sizes of an input; 0 where they are not known."""
    return [size if isinstance(size, int) else 0 for size in value.shape or ()]
