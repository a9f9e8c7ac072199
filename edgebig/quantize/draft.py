"""A quantized model as a scheme hands it over, before its loss is measured and its record written."""

from collections.abc import Callable
from dataclasses import dataclass

import onnx_ir as ir

from edgebig.quantize.change import Change
from edgebig.records.quantize import AlgorithmReport, NodeCoverage, QuantizedTensor, SchemeTrial
from edgebig.records.sensitivity import BudgetRecord


@dataclass(frozen=True)
class Draft:
    """What a scheme made.

    Attributes:
        model: The quantized model.
        nodes: What became of every node of the float model.
        tensors: The activations in integers.
        scheme: The scheme in words, e.g. "int8" or "int8; LSTM dynamic".
        calibration: How ranges were chosen, in words; empty where none were.
        weight_bits: Bits of the weights, in words.
        rewrite: Makes the same again, with the named nodes in float.
        feeds: Feeds that were observed.
        passes: Times the samples were gone through for that.
        trials: Schemes that were tried, where the choice was left open.
        budget: How a loss budget was met; None where there was none.
        algorithms: What the accuracy algorithms did.
        notes: What the user should know.
    """

    model: ir.Model
    nodes: tuple[NodeCoverage, ...]
    scheme: str
    weight_bits: str
    rewrite: Callable[[frozenset[str]], "Draft"]
    tensors: tuple[QuantizedTensor, ...] = ()
    calibration: str = ""
    feeds: int = 0
    passes: int = 0
    trials: tuple[SchemeTrial, ...] = ()
    budget: BudgetRecord | None = None
    algorithms: tuple[AlgorithmReport, ...] = ()
    notes: tuple[str, ...] = ()


def with_changes(nodes: tuple[NodeCoverage, ...], changes: tuple[Change, ...]) -> tuple[NodeCoverage, ...]:
    """Rows of nodes, with those that a scheme rewrote as it says."""
    by_name = {change.node: change for change in changes}
    return tuple(_changed(row, by_name.get(row.node)) for row in nodes)


def _changed(row: NodeCoverage, change: Change | None) -> NodeCoverage:
    if change is None:
        return row
    return NodeCoverage(
        node=row.node,
        op_type=row.op_type,
        precision=change.how,
        reason="",
        multiply_adds=row.multiply_adds,
        weights=max(row.weights, change.weights),
        weight_error=change.weight_error,
    )
