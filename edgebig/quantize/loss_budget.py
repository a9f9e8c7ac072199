"""A draft within a loss budget: the layers that lose most for what they save stay in float."""

import dataclasses

import onnx_ir as ir

from edgebig.errors import QualityGateError
from edgebig.evaluate.task_loss import TaskLoss
from edgebig.graph.partial_run import PartialRun
from edgebig.quantize.draft import Draft
from edgebig.quantize.job import Job
from edgebig.quantize.sensitivity import Judge, finer_feeds, layer_costs, layer_sensitivities, meet_budget
from edgebig.quantize.sensitivity.budget import Measured
from edgebig.records.quantize import NodeCoverage

# Operators without weights whose integers can do damage of their own; others only move or pick elements.
ROUNDING_OPS = frozenset(
    {
        *("Add", "Mul", "Concat", "AveragePool", "GlobalAveragePool", "ReduceMean", "Sigmoid", "LeakyRelu"),
        *("HardSigmoid", "HardSwish", "Relu", "Clip"),
    }
)


def within_budget(job: Job, draft: Draft, max_loss: float) -> Draft:
    """The draft, or one with layers in float so that its loss is within the budget.

    Args:
        job: The request.
        draft: What the scheme made.
        max_loss: The budget: of the task's metric where a task is given, of the outputs on held-out samples otherwise.

    Raises:
        QualityGateError: No choice of layers meets it.
        UsageError: There are no samples and no task.
    """
    options = job.options
    judge: Judge = TaskLoss(job.original, options.task, threads=options.threads) if options.task else job.judge
    held_out = job.needed(job.held_out)
    layers = [row.node for row in draft.nodes if _is_layer(row)]
    everything = frozenset(layers)

    def measured() -> Measured:
        feeds = finer_feeds(held_out, job.prepared.model)
        run = PartialRun(job.prepared.model, feeds, threads=options.threads)
        return layer_sensitivities(run, lambda layer: _write(draft, everything - {layer}), layers)

    budget = meet_budget(
        lambda excluded: _write(draft, excluded),
        layers,
        measured,
        judge,
        max_loss,
        costs=layer_costs(draft.nodes),
    )
    result = draft.rewrite(budget.excluded) if budget.excluded else draft
    if not any(row.quantized and row.multiply_adds + row.weights for row in result.nodes):
        raise QualityGateError(
            f"the loss budget cannot be met: {budget.record.loss_name} is within {max_loss:g} only with everything in "
            f"float, and {budget.record.loss_before:.6g} with all layers quantized. Allow more loss, or use a scheme "
            f"with more bits."
        )
    return dataclasses.replace(result, trials=draft.trials, budget=budget.record)


def _write(draft: Draft, excluded: frozenset[str]) -> ir.Model:
    return (draft.rewrite(excluded) if excluded else draft).model


def _is_layer(row: NodeCoverage) -> bool:
    return row.quantized and (row.multiply_adds > 0 or row.weights > 0 or row.op_type in ROUNDING_OPS)
