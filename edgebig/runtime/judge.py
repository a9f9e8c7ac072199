"""Whether a segment pays: it is built and measured; one that gains little is tried without its slow steps."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import onnx_ir as ir

from edgebig.records.runtime import RuntimeRecord, SegmentStory
from edgebig.runtime.bridge import Program, register, unregister
from edgebig.runtime.cache import Cache
from edgebig.runtime.codegen import generate
from edgebig.runtime.contest import Verdict, contest, random_feed
from edgebig.runtime.lower.parameters import is_constant_dequantize
from edgebig.runtime.lower.segment import Refused, lower_segment
from edgebig.runtime.partition import working_groups
from edgebig.runtime.plan import Plan
from edgebig.runtime.program import build_program
from edgebig.runtime.replace import extract_segment, replace_segments
from edgebig.runtime.sessions import open_model
from edgebig.runtime.slow_steps import Unit, slow_units, with_dequantized

# A segment that gains less than this is tried without its slow steps, and that has to gain this much more.
WORTH_CUTTING = 1.15
GAIN = 1.02
MOST_CUTS = 2


@dataclass(frozen=True, eq=False)
class Segment:
    """A group of nodes and the steps they become."""

    nodes: list[ir.Node]
    plan: Plan
    name: str


@dataclass(frozen=True, eq=False)
class Judged:
    """What became of a segment.

    Attributes:
        parts: Key of a registered program -> the nodes it stands for; empty if the segment is not kept.
        story: In words.
        cached: Whether the verdict was known.
    """

    parts: Mapping[int, list[ir.Node]]
    story: SegmentStory
    cached: bool


def judge(model: ir.Model, segment: Segment, threads: int, cache: Cache, measure: bool) -> Judged:
    """Build a segment and decide whether it pays; the verdict of an equal one on this machine is taken over."""
    plan = segment.plan
    story = SegmentStory(
        name=generate(plan, segment.name).name,
        nodes=plan.nodes,
        ops=dict(Counter(node.op_type for node in segment.nodes)),
        steps=_steps([segment]),
        kept=True,
        reason="kept without measuring",
    )
    alone = extract_segment(model, segment.nodes)
    digest = digest_of(story.name, alone, threads)
    known = cache.get("verdict", digest) if measure else None
    if known is not None and not known["faster"]:
        return Judged({}, _told(story, known), True)
    if known is not None:
        built = _built(_without(model, segment, known.get("without", ()), threads), cache)
        return Judged(*_story(segment, built, _told(story, known)), True)
    built = _built([segment], cache)
    if not measure:
        return Judged(*_story(segment, built, story), False)
    verdict = _measured(model, segment, built, alone, threads)
    without: list[int] = []
    if verdict.decided and verdict.speedup is not None and verdict.speedup < WORTH_CUTTING:
        built, verdict, without = _cut(model, segment, built, verdict, alone, threads, cache)
    found = {**facts_of(verdict), "without": without}
    if verdict.decided:
        cache.put("verdict", digest, found)
    if not verdict.faster:
        _forget(built)
        return Judged({}, replace(_told(story, found), arena_bytes=_arena(built)), False)
    return Judged(*_story(segment, built, _told(story, found)), False)


# A segment, its program, and the program's key.
_Built = list[tuple[Segment, Program, int]]


def _built(segments: Iterable[Segment], cache: Cache) -> _Built:
    made = []
    for segment in segments:
        program = build_program(segment.plan, cache, segment.name)
        made.append((segment, program, register(program)))
    return made


def _forget(built: _Built) -> None:
    for _, _, key in built:
        unregister(key)


def _arena(built: _Built) -> int:
    return sum(program.arena_bytes for _, program, _ in built)


def _measured(model: ir.Model, segment: Segment, built: _Built, alone: ir.Model, threads: int) -> Verdict:
    """Measure parts of a segment, in its own model, against onnxruntime."""
    ours = extract_segment(model, segment.nodes)
    copies = dict(zip(segment.nodes, (n for n in ours.graph if not is_constant_dequantize(n)), strict=True))
    replace_segments(ours, {key: [copies[node] for node in part.nodes] for part, _, key in built})
    return measure_models(ours, alone, threads)


def _cut(
    model: ir.Model, segment: Segment, built: _Built, verdict: Verdict, alone: ir.Model, threads: int, cache: Cache
) -> tuple[_Built, Verdict, list[int]]:
    """Try a segment without the steps that onnxruntime does faster; the best that was measured."""
    (_, program, _), best, without = built[0], verdict, list[int]()
    slow = slow_units(model, segment.nodes, segment.plan, program)
    trials = [[unit for kind in slow for unit in kind], *slow[:1]][: min(len(slow), MOST_CUTS)]
    for units in trials:
        removed = _indices(segment, units)
        parts = _without(model, segment, removed, threads)
        if not parts:
            continue
        tried = _built(parts, cache)
        found = _measured(model, segment, tried, alone, threads)
        if found.faster and (not best.faster or (found.speedup or 0) > GAIN * (best.speedup or 0)):
            _forget(built)
            built, best, without = tried, found, removed
        else:
            _forget(tried)
    if without:
        names = [segment.nodes[i].name or "" for i in without if segment.nodes[i].op_type != "DequantizeLinear"]
        best = replace(best, reason=f"{best.reason}, without {_listed(names)}, which onnxruntime runs faster")
    return built, best, without


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more nodes" if len(names) > 3 else "")


def _indices(segment: Segment, units: Iterable[Unit]) -> list[int]:
    nodes = {node: None for unit in units for node in unit.nodes}
    removed = set(with_dequantized(nodes, segment.nodes))
    return [i for i, node in enumerate(segment.nodes) if node in removed]


def _without(model: ir.Model, segment: Segment, removed: Sequence[int], threads: int) -> list[Segment]:
    """What is left of a segment without some of its nodes."""
    if not removed:
        return [segment]
    gone = {segment.nodes[i] for i in removed}
    able = [node for node in segment.nodes if node not in gone]
    parts: list[Segment] = []
    for group in working_groups(list(model.graph), able):
        with suppress(Refused):  # a part that is not possible by itself is left to onnxruntime
            parts.append(Segment(group, lower_segment(group, threads), f"{segment.name}, part {len(parts) + 1}"))
    return parts


def _story(segment: Segment, built: _Built, story: SegmentStory) -> tuple[dict[int, list[ir.Node]], SegmentStory]:
    """What is kept of a segment: its parts by key, and the story of those."""
    segments = [part for part, _, _ in built]
    nodes = [node for part in segments for node in part.nodes]
    told = replace(
        story,
        nodes=tuple(name for part in segments for name in part.plan.nodes),
        ops=dict(Counter(node.op_type for node in nodes)),
        steps=_steps(segments),
        arena_bytes=_arena(built),
    )
    return {key: part.nodes for part, _, key in built}, told


def _steps(segments: Iterable[Segment]) -> tuple[str, ...]:
    return tuple(f"{type(s.step).__name__}: {', '.join(s.nodes)}" for part in segments for s in part.plan.steps)


def judge_whole(
    special: ir.Model, replaced: ir.Model, record: RuntimeRecord, threads: int, cache: Cache, measure: bool
) -> RuntimeRecord:
    """Segments that are faster alone must also make the whole faster, with what onnxruntime does around them."""
    if not measure:
        return record
    kept = "+".join(f"{s.name}{len(s.nodes)}" for s in record.segments if s.kept)
    digest = digest_of(kept, special, threads)
    known = cache.get("model", digest)
    if known is None:
        verdict = measure_models(replaced, special, threads)
        known = facts_of(verdict)
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


def measure_models(ours: ir.Model, stock: ir.Model, threads: int) -> Verdict:
    """Measure a model with segments against onnxruntime's own."""
    ours_session, stock_session = open_model(ours, threads, kernels=True), open_model(stock, threads)
    exact = open_model(stock, threads, rewrite=False)
    return contest(ours_session, stock_session, exact, random_feed(stock_session))


def facts_of(verdict: Verdict) -> dict[str, Any]:
    """What is kept of a verdict."""
    return {name: getattr(verdict, name) for name in ("faster", "speedup", "low", "high", "reason")}


def _told(story: SegmentStory, verdict: Mapping[str, Any]) -> SegmentStory:
    return replace(
        story,
        kept=bool(verdict["faster"]),
        reason=str(verdict["reason"]),
        speedup=verdict["speedup"],
        low=verdict["low"],
        high=verdict["high"],
    )


def digest_of(name: str, model: ir.Model, threads: int) -> str:
    """What decides a speed: the generated code, the nodes it replaces, and the number of threads."""
    text = [name, str(threads)]
    for node in model.graph:
        shapes = [str(value.shape) for value in (*node.inputs, *node.outputs) if value is not None]
        text.append(f"{node.op_type}{shapes}{sorted(str(a) for a in node.attributes.values())}")
    return hashlib.sha256("\n".join(text).encode()).hexdigest()[:24]
