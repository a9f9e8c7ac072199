"""Which steps of a segment take longer than onnxruntime takes for their nodes."""

import ctypes
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.runtime.bridge import Program
from edgebig.runtime.contest import bound, random_feed
from edgebig.runtime.plan import Plan
from edgebig.runtime.replace import extract_segment
from edgebig.runtime.sessions import open_model
from edgebig.timing.clock import Run

# Work below this share of a segment's time decides nothing; nor is more of it looked at than this.
LEAST_SHARE = 0.04
MOST_KINDS = 8
# How much longer than onnxruntime's nodes alone, which have to quantize and move their operands for themselves.
SLOWER = 1.05
_BUDGET_NS = 60_000_000
_ROUNDS = (3, 15)


@dataclass(eq=False)
class Unit:
    """Steps that do the work of the same nodes.

    Attributes:
        nodes: The nodes.
        code: Addresses of the functions: equal ones do equal work.
        ns: Their time.
    """

    nodes: dict[ir.Node, None] = field(default_factory=dict)
    code: tuple[int, ...] = ()
    ns: float = 0.0


def slow_units(model: ir.Model, nodes: Sequence[ir.Node], plan: Plan, program: Program) -> list[list[Unit]]:
    """Find the work that onnxruntime does faster.

    Args:
        model: Holds the nodes.
        nodes: Of the segment; their names must differ.
        plan: The segment's steps.
        program: The same, compiled.

    Returns:
        Groups of units of equal work, the one that loses most time first.
    """
    kinds: dict[tuple[int, ...], list[Unit]] = {}
    for unit in _units(nodes, plan, program, _step_times(plan, program)):
        kinds.setdefault(unit.code, []).append(unit)
    total = sum(unit.ns for kind in kinds.values() for unit in kind)
    dearest = sorted(kinds.values(), key=_time, reverse=True)[:MOST_KINDS]
    lost: list[tuple[float, list[Unit]]] = []
    for kind in dearest:
        if _time(kind) < LEAST_SHARE * total:
            break
        theirs = len(kind) * _stock_time(model, nodes, kind[0])
        if _time(kind) > SLOWER * theirs:
            lost.append((_time(kind) - theirs, kind))
    return [kind for _, kind in sorted(lost, key=lambda pair: -pair[0])]


def _time(kind: Sequence[Unit]) -> float:
    return sum(unit.ns for unit in kind)


def _units(nodes: Sequence[ir.Node], plan: Plan, program: Program, times: Sequence[float]) -> list[Unit]:
    """Steps gathered by the first of their nodes: what brings operands into place counts to who needs them so."""
    named = {node.name: node for node in nodes}
    found: dict[str, Unit] = {}
    for step, call, ns in zip(plan.steps, program.calls, times, strict=True):
        unit = found.setdefault(step.nodes[0], Unit())
        unit.nodes.update((named[name], None) for name in step.nodes if name in named)
        unit.code += (call.function,)
        unit.ns += ns
    return [unit for unit in found.values() if unit.nodes]


def with_dequantized(nodes: Mapping[ir.Node, None], segment: Sequence[ir.Node]) -> list[ir.Node]:
    """Nodes with those that dequantize for them alone, in the segment's order: so onnxruntime can fuse them."""
    chosen = set(nodes)
    for node in segment:
        users = [use.node for use in node.outputs[0].uses()]
        if node.op_type == "DequantizeLinear" and users and all(user in nodes for user in users):
            chosen.add(node)
    return [node for node in segment if node in chosen]


def _stock_time(model: ir.Model, segment: Sequence[ir.Node], unit: Unit) -> float:
    """Nanoseconds of a unit's nodes in onnxruntime."""
    session = open_model(extract_segment(model, with_dequantized(unit.nodes, segment)), 1)
    feed = random_feed(session)
    return _median(bound(session, feed, session.run(None, feed)))


def _median(run: Run) -> float:
    run()
    values: list[int] = []
    end = time.perf_counter_ns() + _BUDGET_NS // 4
    while len(values) < _ROUNDS[0] or time.perf_counter_ns() < end:
        start = time.perf_counter_ns()
        run()
        values.append(time.perf_counter_ns() - start)
    return float(np.median(values))


def _step_times(plan: Plan, program: Program) -> list[float]:
    """Nanoseconds of every step, run on one thread as the segment runs them."""
    rng = np.random.default_rng(0)
    tensors = [_random(rng, port.dtype, port.shape) for port in (*plan.inputs, *plan.outputs)]
    arena = np.zeros(program.arena_bytes + 64, np.uint8)
    start = arena.ctypes.data + -arena.ctypes.data % 64
    bases = np.array([0, start, *(tensor.ctypes.data for tensor in tensors)], np.int64)
    records = []
    for call in program.calls:
        operands = np.array([(8 * base, offset) for base, offset in call.operands], np.int64)
        record = np.array([bases.ctypes.data, operands.ctypes.data], np.int64)
        function = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(call.function)
        records.append((function, record.ctypes.data, call.tasks, (operands, record)))
    first = _pass(records)
    rounds = int(np.clip(_BUDGET_NS // max(1, sum(first)), *_ROUNDS))
    return [float(value) for value in np.median([_pass(records) for _ in range(rounds)], axis=0)]


def _pass(records: Sequence[tuple[Any, int, int, Any]]) -> list[int]:
    times = []
    for function, record, tasks, _ in records:
        start = time.perf_counter_ns()
        for task in range(tasks):
            function(record, task)
        times.append(time.perf_counter_ns() - start)
    return times


def _random(rng: np.random.Generator, dtype: np.dtype, shape: tuple[int, ...]) -> NDArray:
    if dtype.kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    return rng.integers(0, 100, shape).astype(dtype)
