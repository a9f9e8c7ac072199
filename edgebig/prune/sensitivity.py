"""What a layer's pruning does to the model's outputs: each is pruned alone and the model run on held-out samples.

The quotient of the outputs' error and the cost that the layer's own ranking gives is the price of a unit of that cost,
which makes layers (and methods) comparable. Since the outputs are those of held-out samples, a layer that is fitted to
too few samples pays for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.evaluate.output_loss import OutputLoss
from edgebig.graph.edit import working_copy
from edgebig.progress import track
from edgebig.prune.allocation import Candidate, spend
from edgebig.prune.collect import Observed, observe, passes
from edgebig.prune.fitting import fit_layer, mask_of, ridge_for
from edgebig.prune.layers import Layer
from edgebig.prune.ranking import Ranking
from edgebig.prune.rewrite import write_layer
from edgebig.prune.setting import Setting

UNUSABLE = "its activations are not finite on the samples, or empty"


@dataclass(frozen=True)
class Surveyed:
    """What is known of a layer before pruning.

    Attributes:
        layer: The layer.
        ranking: Its blocks.
        price: Error of the model's outputs per unit of the ranking's cost.
        sensitivity: Error of the model's outputs when this layer alone is pruned at the trial sparsity.
        macs: Its multiplications per feed.
    """

    layer: Layer
    ranking: Ranking
    price: float
    sensitivity: float
    macs: int


def survey(
    original: ir.Model, layers: Sequence[Layer], setting: Setting, outputs: OutputLoss, *, trial: float
) -> tuple[list[Surveyed], dict[int, str]]:
    """Rank the blocks of every layer in the original, and find out what they are worth.

    Args:
        original: The model.
        layers: The layers that may be pruned.
        setting: How.
        outputs: The original's outputs on held-out samples.
        trial: The sparsity at which each layer is tried.

    Returns:
        What was found, and reasons (by index) for layers that cannot be pruned after all.
    """
    found: list[Surveyed] = []
    refused: dict[int, str] = {}
    for part in passes(layers):
        observed = observe(original, part, setting.goals, description="observing layers")
        for entry in track(observed, "measuring sensitivity"):
            if entry.is_usable():
                found.append(_examine(original, entry, setting, outputs, trial))
            else:
                refused[entry.layer.index] = UNUSABLE
    return found, refused


def _examine(original: ir.Model, entry: Observed, setting: Setting, outputs: OutputLoss, trial: float) -> Surveyed:
    layer, problem = entry.layer, entry.problem()
    matrix = layer.weighted.to_matrix(layer.weighted.array()).astype(np.float64)
    share = ridge_for(entry, matrix, setting.pattern, trial)
    ranking = setting.method(problem, matrix, setting.pattern, share, setting.floor)
    kept = spend([Candidate(ranking, layer.shape)], setting.pattern, trial * matrix.size, floor=setting.floor)[0]
    mask = mask_of(kept, layer, setting.pattern)
    fitted, biases = fit_layer(entry, matrix, mask, share, compensate=setting.compensate)
    changed = working_copy(original)
    write_layer(changed, layer, fitted, biases)
    moved = output_error(outputs, changed)
    cost = sum(float(band.cost[: int((~row).sum())].sum()) for band, row in zip(ranking, kept, strict=True))
    price = moved / cost if cost > 0 else 1.0
    return Surveyed(layer, ranking, price, moved, entry.macs)


def output_error(outputs: OutputLoss, model: ir.Model) -> float:
    """Squared error of the outputs over their squares, the mean over outputs; share of unequal entries for integers."""
    wrong: dict[str, float] = {}
    scale: dict[str, float] = {}
    for original, changed in outputs.pairs(model):
        for name, array in original.items():
            lost, whole = _squares(array, changed[name])
            wrong[name] = wrong.get(name, 0.0) + lost
            scale[name] = scale.get(name, 0.0) + whole
    return float(np.mean([wrong[name] / max(scale[name], 1e-30) for name in wrong]))


def _squares(array: NDArray, changed: NDArray) -> tuple[float, float]:
    if array.shape != changed.shape:
        return float(array.size), float(array.size)
    if array.dtype.kind != "f":
        return float((array != changed).sum()), float(array.size)
    finite = np.isfinite(array)
    a, b = np.where(finite, array, 0.0).astype(np.float64), np.where(finite, changed, 0.0).astype(np.float64)
    # A change that makes outputs infinite counts as a total loss.
    lost = float(np.square(a - b).sum())
    whole = float(np.square(a).sum())
    return (lost if np.isfinite(lost) else 1e6 * max(whole, 1.0)), whole


def candidates(surveyed: Sequence[Surveyed], budget: str) -> list[Candidate]:
    """What `spend` takes, for a budget in "weights" or "macs"."""
    return [
        Candidate(entry.ranking, entry.layer.shape, entry.price, worth_of(entry.layer, entry.macs, budget))
        for entry in surveyed
    ]


def worth_of(layer: Layer, macs: int, budget: str) -> float:
    """What one weight of a layer counts."""
    return macs / int(np.prod(layer.shape)) if budget == "macs" else 1.0
