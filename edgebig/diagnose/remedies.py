"""What repairs the quantized model: each remedy is tried on it before it is named."""

import math
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from edgebig.diagnose.causes import Context, clipped_range, dead_range, weight_range
from edgebig.diagnose.damage import Judge, Judgement, judged, recovered
from edgebig.diagnose.inspected import Inspected, label
from edgebig.diagnose.operators import DROPPED_OPS, TWINS
from edgebig.diagnose.what_if import (
    channel_weights,
    has_own_points,
    with_channel_weights,
    with_ranges,
    with_wide_tensors,
)
from edgebig.records.diagnose import Cause, Remedy

# A remedy helps when it takes back this share of the error; an exclusion is good enough when it leaves no more than
# this share, or this much above the least that any leaves.
HELPS = 0.3
GOOD_ENOUGH, NEAR_BEST = 0.2, 1.2
# An error of the outputs that needs no better remedy.
FINE = 0.05
# Layers beyond those tried one at a time that an exclusion may hold, as a multiple of them.
REACH = 4
# An exclusion of no more groups than this is tried without each of them.
MOST_GROUPS = 12


@dataclass(frozen=True)
class Candidate:
    """A layer that was put back to float.

    Attributes:
        layer: The layer.
        together: It, and those that share the tensor at fault.
        judgement: The quantized model with these in float.
    """

    layer: ir.Node
    together: frozenset[ir.Node]
    judgement: Judgement


def find_remedies(
    judge: Judge,
    context: Context,
    candidates: Sequence[Candidate],
    base: Judgement,
    command: str,
    *,
    healthy: bool,
    wide: bool,
) -> tuple[list[Remedy], list[Cause]]:
    """Try remedies.

    Args:
        judge: Judges versions of the quantized model.
        context: Both models and what was seen.
        candidates: What single layers take back.
        base: The quantized model as it is.
        command: The command line that remedies add options to.
        healthy: Whether there is nothing to repair.
        wide: Whether the target has activations of 16 bits.

    Returns:
        Remedies, best first; and causes that lie in the machine.
    """
    remedies: list[Remedy] = []
    findings: list[Cause] = []
    defined = judge.as_defined(context.inspected.quantized)
    if base.error > 1.5 * defined.error and base.error - defined.error > 0.02:
        text = (
            f"this processor computes other sums than the file defines: the outputs are off by {base.error:.1%} here, "
            f"by {defined.error:.1%} by the definition (pairs of products pass 16 bits)"
        )
        findings.append(Cause(kind="U8S8 saturation", text=text))
        remedies.append(remedy("weights of 7 bits, which cannot saturate", f"{command} --weight-bits 7", base, defined))
    if not healthy:
        remedies += [
            *_channel_weights(judge, context, base, command, wide=wide),
            *_ranges(judge, context, base, command),
        ]
        fine = [item for item in remedies if item.result.error is not None and item.result.error <= FINE]
        if all("--activation-bits" in item.command for item in fine):
            remedies += _wide_tensors(judge, context, base, command) if wide else []
            remedies += _exclusion(judge, context, candidates, base, command)
    return ordered(remedies, len(context.inspected.quantized_layers)), findings


def ordered(remedies: Sequence[Remedy], layers: int) -> list[Remedy]:
    """Those that help first; among them by the error they leave, times what they cost.

    Args:
        remedies: What was tried.
        layers: How many layers are quantized. All of them in float count as three times the error, all tensors in
            16 bits as one and a half times; errors that are small enough count alike.
    """

    def key(item: Remedy) -> tuple[bool, float]:
        error = math.inf if item.result.error is None else max(item.result.error, FINE)
        cost = 1.0 + 2.0 * item.command.count("--exclude") / max(layers, 1)
        return not item.helps, error * cost * (1.5 if "--activation-bits" in item.command else 1.0)

    return sorted(remedies, key=key)


def _channel_weights(judge: Judge, context: Context, base: Judgement, command: str, *, wide: bool) -> list[Remedy]:
    """A scale per output channel for weights that have one for all, where that is found to matter; with tensors in
    16 bits too, where neither is enough alone."""
    layers = list(context.inspected.quantized_layers)
    at_fault = [layer for layer in layers if weight_range.detect(context, layer)]
    if not at_fault:
        return []
    weights = channel_weights(context, layers)
    # Integer operators are restored for the trial: only those that need it, so that the others count as they are.
    weights = {item: found for item, found in weights.items() if found.node.op_type not in TWINS or item in at_fault}
    if not weights:
        return []
    changed = with_channel_weights(context, weights)
    what = f"a scale per channel for the weights of {counted(len(weights), 'layer')}"
    found = [remedy(what, command, base, judge.of(changed))]
    if wide and not found[0].helps:
        both = judge.of(with_wide_tensors(changed))
        found.append(remedy(f"{what}, and 16 bits for all tensors", f"{command} --activation-bits 16", base, both))
    return found


def _ranges(judge: Judge, context: Context, base: Judgement, command: str) -> list[Remedy]:
    """Ranges as these samples have them, where tensors are cut off or use a part of their integers."""
    tensors = {}
    for pair in context.inspected.matching.pairs.values():
        facts = context.facts(pair)
        if facts is None or facts.grid is None or not facts.span or facts.masked or not has_own_points(pair):
            continue
        if facts.clipped_share > clipped_range.SHARE / 10 or facts.grid.span > dead_range.TIMES * facts.span:
            tensors[pair] = facts
    if not tensors:
        return []
    found = judge.of(with_ranges(context, tensors))
    what = f"ranges of these samples for {counted(len(tensors), 'tensor')}"
    return [remedy(what, f"{command} --calibration minmax", base, found)]


def _wide_tensors(judge: Judge, context: Context, base: Judgement, command: str) -> list[Remedy]:
    """Tensors in 16 bits, where they are in 8 now."""
    if not any(pair.points for pair in context.inspected.matching.pairs.values()):
        return []
    found = judge.of(with_wide_tensors(context.inspected.quantized))
    return [remedy("16 bits for all tensors between layers", f"{command} --activation-bits 16", base, found)]


def _exclusion(
    judge: Judge, context: Context, candidates: Sequence[Candidate], base: Judgement, command: str
) -> list[Remedy]:
    """Layers in float."""
    chosen, judgement = best_exclusion(judge, context, candidates, base)
    layers = [layer for layer in context.inspected.layers if layer in chosen]
    names = dict.fromkeys(name for layer in layers for name in float_nodes(context.inspected, layer))
    if not names:
        return []
    options = " ".join(f"--exclude {shlex.quote(name)}" for name in names)
    return [remedy(f"{counted(len(layers), 'layer')} in float", f"{command} {options}", base, judgement)]


def best_exclusion(
    judge: Judge, context: Context, candidates: Sequence[Candidate], base: Judgement
) -> tuple[set[ir.Node], Judgement]:
    """A small set of layers that takes back most of the error.

    The layers are joined in the order of what each takes back alone, then in the order of their own error, doubling
    their number; of the smallest union that is good enough those that are not needed are taken out again.
    """
    inspected, suspects = context.inspected, context.suspects
    groups = [item.together for item in sorted(candidates, key=lambda item: item.judgement.error)]
    more = suspects.ranked()[len(candidates) : REACH * len(candidates)]
    groups = list(dict.fromkeys([*groups, *(frozenset(suspects.together(layer)) for layer in more)]))
    if not groups:
        return set(), base
    tried: list[tuple[int, Judgement]] = []
    count = 1
    while not tried or tried[-1][0] < len(groups):
        count = min(count, len(groups))
        tried.append((count, judge.restored(inspected, _union(groups[:count]))))
        if tried[-1][1].error <= GOOD_ENOUGH * base.error:
            break
        count *= 2
    best = min(found.error for _, found in tried)
    limit = max(GOOD_ENOUGH * base.error, NEAR_BEST * best)
    count, judgement = next((count, found) for count, found in tried if found.error <= limit)
    kept = groups[:count]
    for group in list(reversed(kept)) if 1 < len(kept) <= MOST_GROUPS else ():
        rest = [item for item in kept if item is not group]
        if not rest or _union(rest) == _union(kept):
            kept = rest or kept
            continue
        found = judge.restored(inspected, _union(rest))
        if found.error <= limit:
            kept, judgement = rest, found
    return _union(kept), judgement


def counted(count: int, what: str) -> str:
    """A number of things in words."""
    return f"one {what}" if count == 1 else f"{count} {what}s"


def float_nodes(inspected: Inspected, layer: ir.Node) -> list[str]:
    """The names of the float model's nodes that a layer stands for: those that were fused into it too."""
    names: dict[str, None] = {}
    for pair in inspected.layers[layer]:
        nodes = inspected.float_region(layer, pair).nodes
        names |= dict.fromkeys(label(node) for node in nodes if node is layer or node.op_type not in DROPPED_OPS)
    return list(names)


def remedy(what: str, command: str, base: Judgement, found: Judgement) -> Remedy:
    """A remedy that was tried."""
    share = recovered(base, found)
    return Remedy(what=what, command=command, result=judged(found), helps=share is not None and share >= HELPS)


def _union(groups: Iterable[frozenset[ir.Node]]) -> set[ir.Node]:
    return {layer for group in groups for layer in group}
