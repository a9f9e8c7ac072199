"""The damage of changing each layer alone, with runs from the changed node on and few feeds where few are enough."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from edgebig.graph.partial_run import ChangedRun, PartialRun
from edgebig.progress import track
from edgebig.quantize.sensitivity.damage import RelativeError
from edgebig.quantize.sensitivity.halving import affordable, halving_rounds
from edgebig.records.sensitivity import LayerSensitivity, SensitivityCost

# The first run of the float model, which keeps its tensors, is one pass more.
DEFAULT_PASSES = 6.0
DEFAULT_CACHE = 1 << 28
_SEED = 0


@dataclass
class _Measured:
    layer: str
    reach: float
    damage: RelativeError = field(default_factory=RelativeError)
    feeds: int = 0


def layer_sensitivities(
    run: PartialRun,
    changed: Callable[[str], ir.Model],
    layers: Sequence[str],
    *,
    passes: float = DEFAULT_PASSES,
    cache_bytes: int = DEFAULT_CACHE,
) -> tuple[tuple[LayerSensitivity, ...], SensitivityCost]:
    """Measure how far the model's outputs move when each layer alone is changed.

    Args:
        run: The float model over the samples. The more feeds, the finer the choice of how many a layer is worth;
            feeds of a few samples each are best.
        changed: Gives the whole model with only one layer, named, changed: quantized in any scheme, or pruned.
        layers: Names of the layers.
        passes: What this may cost in runs of the float model over all feeds, by multiply-accumulates.
        cache_bytes: Weights that sessions kept between rounds may hold together.

    Returns:
        The layers in the order given, and what the measurement cost.

    Raises:
        InvalidModelError: A changed model cannot be run.
    """
    work = _Work(run, changed, cache_bytes)
    found = [_Measured(layer, work.open(layer).share) for layer in track(layers, "preparing sensitivities")]
    order = np.random.default_rng(_SEED).permutation(run.feeds).tolist()
    taking_part, seen, left = found, 0, passes
    for entry in halving_rounds([one.reach for one in found], run.feeds, passes):
        taking_part = sorted(taking_part, key=lambda one: one.damage.value, reverse=True)[: entry.layers]
        reaches = [one.reach for one in taking_part]
        # What stays may be dearer than the mean; every layer is measured at least once all the same.
        more = min(entry.feeds - seen, affordable(reaches, run.feeds, left) if seen else entry.feeds)
        for one in track(taking_part if more else (), f"measuring sensitivities on {more} feeds"):
            for index, outputs in work.open(one.layer).outputs(order[seen : seen + more]):
                one.damage.add(run.reference[index], outputs)
            one.feeds += more
        seen += more
        left -= sum(reaches) * more / run.feeds
    rows = tuple(
        LayerSensitivity(layer=one.layer, damage=one.damage.value, feeds=one.feeds, reach=one.reach) for one in found
    )
    return rows, work.cost()


class _Work:
    """Sessions of changed models, kept as far as there is room, and what they cost."""

    def __init__(self, run: PartialRun, changed: Callable[[str], ir.Model], cache_bytes: int) -> None:
        self._run, self._changed = run, changed
        self._room = cache_bytes
        self._kept: dict[str, ChangedRun] = {}
        self._writing = 0.0

    def open(self, layer: str) -> ChangedRun:
        """A layer's changed model, ready to run."""
        if layer in self._kept:
            return self._kept[layer]
        began = time.perf_counter()
        model = self._changed(layer)
        self._writing += time.perf_counter() - began
        opened = self._run.open(model)
        if opened.bytes <= self._room:
            self._kept[layer] = opened
            self._room -= opened.bytes
        return opened

    def cost(self) -> SensitivityCost:
        """What everything cost so far, the float model's first run included."""
        whole = self._run.pass_macs * self._run.feeds
        return SensitivityCost(
            passes_by_macs=self._run.macs / whole if whole else None,
            passes_by_time=self._run.seconds / max(self._run.pass_seconds, 1e-9),
            seconds=self._run.seconds,
            writing_seconds=self._writing,
        )
