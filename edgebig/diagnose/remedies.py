"""What repairs the quantized model: each remedy is tried on it before it is named."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from edgebig.diagnose.causes import Context
from edgebig.diagnose.damage import Judge, Judgement, judged, recovered
from edgebig.diagnose.inspected import Inspected, label
from edgebig.diagnose.operators import DROPPED_OPS
from edgebig.diagnose.walk import region
from edgebig.records.diagnose import Cause, Remedy

# A remedy helps when it takes back this share of the error; an exclusion is good enough when it leaves no more than
# this share, or this much above the least that any leaves.
HELPS = 0.3
GOOD_ENOUGH, NEAR_BEST = 0.1, 1.2
# Layers beyond those tried one at a time that an exclusion may hold, as a multiple of them.
REACH = 4
MOST_REMOVALS = 8


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
) -> tuple[list[Remedy], list[Cause]]:
    """Try remedies.

    Args:
        judge: Judges versions of the quantized model.
        context: Both models and what was seen.
        candidates: What single layers take back.
        base: The quantized model as it is.
        command: The command line that remedies add options to.
        healthy: Whether there is nothing to repair.

    Returns:
        Remedies, best first; and causes that lie in the machine.
    """
    remedies, findings = [], []
    defined = judge.as_defined(context.inspected.quantized)
    if base.error > 1.5 * defined.error and base.error - defined.error > 0.02:
        text = (
            f"this processor computes other sums than the file defines: the outputs are off by {base.error:.1%} here, "
            f"by {defined.error:.1%} by the definition (pairs of products pass 16 bits)"
        )
        findings.append(Cause(kind="U8S8 saturation", text=text))
        remedies.append(remedy("weights of 7 bits, which cannot saturate", f"{command} --weight-bits 7", base, defined))
    if not healthy:
        chosen, judgement = best_exclusion(judge, context, candidates, base)
        layers = [layer for layer in context.inspected.layers if layer in chosen]
        names = [name for layer in layers for name in float_nodes(context.inspected, layer)]
        if names:
            options = " ".join(f"--exclude {shlex.quote(name)}" for name in dict.fromkeys(names))
            remedies.append(remedy(f"{len(chosen)} layers in float", f"{command} {options}", base, judgement))
    remedies.sort(key=lambda item: (not item.helps, item.result.error is None, item.result.error or 0.0))
    return remedies, findings


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
    for group in list(reversed(kept))[:MOST_REMOVALS] if len(kept) > 1 else ():
        rest = [item for item in kept if item is not group]
        if not rest or _union(rest) == _union(kept):
            kept = rest or kept
            continue
        found = judge.restored(inspected, _union(rest))
        if found.error <= limit:
            kept, judgement = rest, found
    return _union(kept), judgement


def float_nodes(inspected: Inspected, layer: ir.Node) -> list[str]:
    """The names of the float model's nodes that a layer stands for: those that were fused into it too."""
    known = inspected.matching.pairs
    names: dict[str, None] = {}
    for pair in inspected.layers[layer]:
        own = {other.original for other in inspected.layers[layer]}
        part = region(pair.original, lambda value, own=own: value in known and value not in own)
        names |= dict.fromkeys(label(node) for node in part.nodes if node is layer or node.op_type not in DROPPED_OPS)
    return list(names)


def remedy(what: str, command: str, base: Judgement, found: Judgement) -> Remedy:
    """A remedy that was tried."""
    share = recovered(base, found)
    return Remedy(what=what, command=command, result=judged(found), helps=share is not None and share >= HELPS)


def _union(groups: Iterable[frozenset[ir.Node]]) -> set[ir.Node]:
    return {layer for group in groups for layer in group}
