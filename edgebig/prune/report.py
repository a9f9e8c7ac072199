"""The record of a pruning run."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from edgebig.graph.save import weight_bytes
from edgebig.prune.attempt import Outcome
from edgebig.prune.compressed import compressed_bytes
from edgebig.prune.layers import Layer, layers_in_subgraphs
from edgebig.prune.notices import result_warnings
from edgebig.prune.search import Tried
from edgebig.prune.sensitivity import Surveyed
from edgebig.prune.sequential import FittedLayer
from edgebig.records.prune import PrunedLayer, PruneOptions, PruneRecord, PruneTrial

DENSE = "its blocks cost more than those of other layers"


def make_record(
    original: ir.Model,
    options: PruneOptions,
    *,
    layers: Sequence[Layer],
    reasons: Mapping[int, str],
    surveyed: Sequence[Surveyed] | None,
    best: Tried[Outcome],
    trials: Sequence[PruneTrial],
    loss_name: str,
    held_out: int,
    same_samples: bool,
) -> PruneRecord:
    """Put together what was done.

    Args:
        original: The model before.
        options: What was asked.
        layers: All layers.
        reasons: Why layers were not pruned, by index.
        surveyed: What was found out about the layers that could be, or None.
        best: The attempt that was taken.
        trials: All attempts.
        loss_name: What the loss is.
        held_out: Samples that the loss between outputs was measured on.
        same_samples: Whether these are the ones that weights were fitted to.
    """
    known = {entry.layer.index: entry for entry in surveyed or ()}
    outcome = best.result
    rows = [_row(layer, reasons.get(layer.index, ""), known, outcome.layers) for layer in layers]
    eligible = [row for row, layer in zip(rows, layers, strict=True) if layer.index not in reasons]
    notices = result_warnings(
        options,
        asked=best.trial.sparsity,
        reached=best.trial.reached,
        held_out=held_out,
        same_samples=same_samples,
        rough=[
            layer.name
            for layer in layers
            if options.compensate and 0 < _rows(outcome.layers, layer) < layer.shape[1] and layer.index not in reasons
        ],
    )
    if inside := sum(1 for _ in layers_in_subgraphs(original)):
        notices.append(f"{inside} nodes with weights inside the bodies of If, Loop or Scan were left alone")
    return PruneRecord(
        pattern=options.pattern,
        method=options.method,
        scope=options.scope,
        budget=options.budget,
        sparsity=sum(row.zeros for row in eligible) / max(sum(row.weights for row in eligible), 1),
        macs_saved=_macs_saved(eligible),
        layers=tuple(rows),
        loss_name=loss_name,
        loss=best.trial.loss if best.trial.loss is not None else 0.0,
        max_loss=options.max_loss,
        held_out=held_out,
        trials=tuple(trials),
        batch_norms=outcome.batch_norms,
        weight_bytes=weight_bytes(outcome.model),
        compressed_before=compressed_bytes(original),
        compressed_after=compressed_bytes(outcome.model),
        warnings=tuple(notices),
    )


def _row(layer: Layer, reason: str, known: Mapping[int, Surveyed], done: Mapping[int, FittedLayer]) -> PrunedLayer:
    outputs, inputs = layer.shape
    weights = int(np.prod(layer.shape))
    fitted, survey = done.get(layer.index), known.get(layer.index)
    zeros = fitted.zeros if fitted else 0
    macs = survey.macs if survey else fitted.macs if fitted else None
    return PrunedLayer(
        name=layer.name,
        op_type=layer.weighted.node.op_type,
        outputs=outputs,
        inputs=inputs,
        weights=weights,
        zeros=zeros,
        sparsity=zeros / weights,
        macs=macs,
        sensitivity=survey.sensitivity if survey else None,
        error=fitted.error if fitted and fitted.ridge is not None else None,
        ridge=fitted.ridge if fitted else None,
        reason=reason or ("" if zeros else DENSE),
    )


def _rows(done: Mapping[int, FittedLayer], layer: Layer) -> int:
    return done[layer.index].rows if layer.index in done else 0


def _macs_saved(rows: Sequence[PrunedLayer]) -> float | None:
    counted = [(row.macs, row.sparsity) for row in rows if row.macs is not None]
    if len(counted) < len(rows) or not counted:
        return None
    return sum(macs * sparsity for macs, sparsity in counted) / max(sum(macs for macs, _ in counted), 1)
