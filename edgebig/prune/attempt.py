"""One attempt: spend a sparsity on the layers, prune them, re-estimate batch norms, measure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgebig.evaluate.output_loss import OutputLoss
from edgebig.prune.allocation import spend, zeros_of
from edgebig.prune.batch_norm import has_batch_norms, reestimate_batch_norms
from edgebig.prune.eligibility import EXCLUDED
from edgebig.prune.judge import Judge
from edgebig.prune.layers import Layer
from edgebig.prune.search import Tried
from edgebig.prune.sensitivity import Surveyed, candidates, output_error, worth_of
from edgebig.prune.sequential import FittedLayer, prune_in_order
from edgebig.prune.setting import Setting, floor_for
from edgebig.records.prune import PruneTrial


@dataclass(frozen=True)
class Outcome:
    """What an attempt gave.

    Attributes:
        model: The pruned model.
        layers: What came of the layers that changed, by index.
        batch_norms: How many batch norms were re-estimated.
    """

    model: ir.Model
    layers: dict[int, FittedLayer]
    batch_norms: int


@dataclass(frozen=True)
class Attempts:
    """Prunes one model to any sparsity.

    Attributes:
        original: The model.
        layers: All its layers.
        reasons: Why layers are not pruned, by index.
        setting: How.
        judge: Measures the loss.
        outputs: The original's outputs on held-out samples.
        surveyed: What is known of the layers that may be pruned; None gives each the same share.
        max_loss: The budget; None: there is none.
    """

    original: ir.Model
    layers: Sequence[Layer]
    reasons: Mapping[int, str]
    setting: Setting
    judge: Judge
    outputs: OutputLoss
    surveyed: Sequence[Surveyed] | None
    max_loss: float | None

    def at(self, sparsity: float) -> Tried[Outcome]:
        """Prune to a sparsity and measure."""
        untouched = {layer.index for layer in self.layers if layer.fixed}
        untouched |= {index for index, reason in self.reasons.items() if reason == EXCLUDED}
        model, done = prune_in_order(
            self.original,
            self.layers,
            self._wishes(sparsity),
            frozenset(untouched),
            self.setting,
            floor=floor_for(sparsity),
        )
        model, batch_norms = self._with_batch_norms(model)
        loss = self.judge.of(model)
        passed = None if self.max_loss is None else loss is not None and loss <= self.max_loss
        trial = PruneTrial(sparsity=sparsity, reached=self._reached(done), loss=loss, passed=passed)
        return Tried(trial, Outcome(model, done, batch_norms))

    def _wishes(self, sparsity: float) -> dict[int, float]:
        """Weights that should go, by the layer's index."""
        pattern = self.setting.pattern
        if self.surveyed is None:
            open_to = [layer for layer in self.layers if layer.index not in self.reasons]
            return {layer.index: sparsity * int(np.prod(layer.shape)) for layer in open_to}
        offers = candidates(self.surveyed, self.setting.budget)
        total = sum(offer.worth * int(np.prod(offer.shape)) for offer in offers)
        kept = spend(offers, pattern, sparsity * total, floor=floor_for(sparsity))
        return {
            entry.layer.index: float(zeros_of(blocks, pattern, entry.layer.shape))
            for entry, blocks in zip(self.surveyed, kept, strict=True)
        }

    def _reached(self, done: Mapping[int, FittedLayer]) -> float:
        """The share of the budget that went."""
        macs = {entry.layer.index: entry.macs for entry in self.surveyed or ()}
        macs |= {index: fitted.macs for index, fitted in done.items()}
        gone = total = 0.0
        for layer in self.layers:
            if layer.index not in self.reasons:
                worth = worth_of(layer, macs.get(layer.index, 0), self.setting.budget)
                total += worth * int(np.prod(layer.shape))
                gone += worth * (done[layer.index].zeros if layer.index in done else 0)
        return gone / max(total, 1e-30)

    def _with_batch_norms(self, model: ir.Model) -> tuple[ir.Model, int]:
        """Re-estimate the batch norms where that brings the outputs nearer to the original's."""
        if not has_batch_norms(model):
            return model, 0
        goals = self.setting.goals
        changed, count = reestimate_batch_norms(model, goals.samples, feeds=goals.feeds, threads=goals.threads)
        if output_error(self.outputs, changed) < output_error(self.outputs, model):
            return changed, count
        return model, 0
