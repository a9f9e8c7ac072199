"""Prune layer after layer in the graph's order, each fitted to what the pruned layers before it really give.

A layer's inputs come from the model as pruned so far, its targets from the original: so each layer makes good what
those before it lost, and layers that keep all their weights (depthwise convolutions, the last one) do so too. Layers of
one level do not depend on each other and share a pass over the samples.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgebig.graph.edit import working_copy
from edgebig.prune.allocation import Candidate, spend, zeros_of
from edgebig.prune.collect import Observed, observe, passes
from edgebig.prune.fitting import fit_layer, mask_of, ridge_for
from edgebig.prune.layers import Layer
from edgebig.prune.least_squares import error
from edgebig.prune.rewrite import write_layer
from edgebig.prune.setting import Setting

# More levels than this share passes: the cost of a pass is a run of both models over all samples.
MOST_PASSES = 64


@dataclass(frozen=True)
class FittedLayer:
    """What came of one layer.

    Attributes:
        zeros: Weights in the blocks that went.
        error: Squared error of its output over the target's variance, on the feeds it was fitted to.
        ridge: The ridge, over the mean variance of its inputs; None where nothing was fitted.
        macs: Its multiplications per feed.
        rows: Rows it was fitted to.
    """

    zeros: int
    error: float
    ridge: float | None
    macs: int
    rows: int


def prune_in_order(
    original: ir.Model,
    layers: Sequence[Layer],
    wishes: Mapping[int, float],
    untouched: frozenset[int],
    setting: Setting,
    *,
    floor: float,
) -> tuple[ir.Model, dict[int, FittedLayer]]:
    """Prune and refit.

    Args:
        original: The model; it stays as it is.
        layers: All its layers.
        wishes: How many weights go, by the layer's index.
        untouched: Layers that may not change at all.
        setting: How.
        floor: Share of the blocks of a band that stay.

    Returns:
        The pruned model, and what came of the layers that changed, by index.
    """
    pruned = working_copy(original)
    done: dict[int, FittedLayer] = {}
    owed = 0.0
    stages = list(_stages(_to_change(layers, wishes, untouched, setting.compensate), setting.compensate))
    for number, stage in enumerate(stages, 1):
        reads = pruned if setting.compensate else original
        for entry in observe(reads, stage, setting.goals, description=f"pruning, pass {number} of {len(stages)}"):
            if not entry.is_usable():
                continue
            wish = wishes.get(entry.layer.index, 0.0)
            amount = max(wish + owed, 0.0) if wish > 0 else 0.0
            result = _prune_layer(pruned, entry, amount, setting, floor)
            if wish > 0:
                # Layers get whole blocks; what one got too little or too much, the next makes up for.
                owed += wish - result.zeros
            done[entry.layer.index] = result
    return pruned, done


def _to_change(
    layers: Sequence[Layer], wishes: Mapping[int, float], untouched: frozenset[int], compensate: bool
) -> list[Layer]:
    """Layers to prune, and to refit because something above them changes; by level."""
    changed, chosen = 0, []
    for layer in sorted(layers, key=lambda layer: (layer.level, layer.index)):
        if layer.index in untouched:
            continue
        if wishes.get(layer.index, 0.0) > 0 or (compensate and layer.above & changed):
            chosen.append(layer)
            changed |= 1 << layer.index
    return chosen


def _stages(layers: Sequence[Layer], in_order: bool) -> Iterator[list[Layer]]:
    """Layers that share a pass: those of one level, or of neighbouring levels where there are too many."""
    levels = sorted({layer.level for layer in layers})
    most = MOST_PASSES if in_order else 1
    stage_of = {level: number * min(most, len(levels)) // len(levels) for number, level in enumerate(levels)}
    for stage in sorted(set(stage_of.values())):
        yield from passes([layer for layer in layers if stage_of[layer.level] == stage])


def _prune_layer(pruned: ir.Model, entry: Observed, amount: float, setting: Setting, floor: float) -> FittedLayer:
    layer, problem = entry.layer, entry.problem()
    matrix = layer.weighted.to_matrix(layer.weighted.array()).astype(np.float64)
    share = ridge_for(entry, matrix, setting.pattern, amount / matrix.size)
    mask, zeros = np.ones(matrix.shape, bool), 0
    if amount > 0:
        # No band loses far more than its layer: blocks beyond that need not be ranked.
        floor = max(floor, (1.0 - amount / matrix.size) / 2)
        ranking = setting.method(problem, matrix, setting.pattern, share, floor)
        kept = spend([Candidate(ranking, layer.shape)], setting.pattern, amount, floor=floor)[0]
        mask, zeros = mask_of(kept, layer, setting.pattern), zeros_of(kept, setting.pattern, layer.shape)
    fitted, biases = fit_layer(entry, matrix, mask, share, compensate=setting.compensate)
    write_layer(pruned, layer, fitted, biases)
    lost = error(problem, fitted) / max(float(problem.power.sum()), 1e-30)
    return FittedLayer(zeros, lost, share if setting.compensate else None, entry.macs, entry.rows)
