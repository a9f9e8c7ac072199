"""What `edgebig prune` is asked, and what it did."""

import dataclasses
from typing import ClassVar

from edgebig.errors import UsageError
from edgebig.records.base import Record

SCOPES = ("global", "layer")
BUDGETS = ("weights", "macs")
# With --max-loss alone, no higher sparsity is tried.
HIGHEST = 0.95


@dataclasses.dataclass(frozen=True, kw_only=True)
class PruneOptions:
    """Options of pruning. At least one of `sparsity` and `max_loss` must be given.

    Attributes:
        pattern: Which weights become zero together (see `edgebig.prune.patterns`).
        sparsity: Share of zeros over the layers that may be pruned, between 0 and 1; with `max_loss` the most that is
            tried.
        max_loss: Find the highest sparsity whose held-out loss is at most this.
        method: How blocks are ranked within a layer (see `edgebig.prune.methods`).
        scope: "global" spends the sparsity where it costs least; "layer" gives every layer the same share.
        budget: What the sparsity counts: "weights" (file size) or "macs" (multiplications saved).
        include_ends: Also prune the first and last layers, the ones next to inputs and outputs.
        exclude: Names of layers or weights that stay as they are; `*`, `?` and `[...]` match as in file names.
        compensate: Fit the kept weights to the samples by least squares; without it they stay as they are.
        target: Where the result will run; decides only the warning that a pattern gains nothing there.
        task: A task whose metric's drop is the loss, in place of the disagreement with the original.
        loss: Name of the loss between outputs, or "auto".
        seed: Of the choice of positions that are looked at.
        threads: Threads within an operator; 0 leaves the choice to onnxruntime.
    """

    pattern: str = "block16x4"
    sparsity: float | None = None
    max_loss: float | None = None
    method: str = "obs"
    scope: str = "global"
    budget: str = "weights"
    include_ends: bool = False
    exclude: tuple[str, ...] = ()
    compensate: bool = True
    target: str = "ort-cpu"
    task: str | None = None
    loss: str = "auto"
    seed: int = 0
    threads: int = 0

    def __post_init__(self) -> None:
        if self.sparsity is not None and not 0 < self.sparsity < 1:
            raise UsageError(f"sparsity is {self.sparsity}; it must lie between 0 and 1, e.g. 0.7")
        if self.max_loss is not None and not 0 <= self.max_loss < float("inf"):
            raise UsageError(f"max_loss is {self.max_loss}; it must be a number that is not negative")
        if self.sparsity is None and self.max_loss is None:
            raise UsageError("say how much to prune: a sparsity (e.g. 0.7), a max_loss (e.g. 0.01), or both")
        if self.scope not in SCOPES:
            raise UsageError(f"scope is {self.scope!r}; allowed: {', '.join(SCOPES)}")
        if self.budget not in BUDGETS:
            raise UsageError(f"budget is {self.budget!r}; allowed: {', '.join(BUDGETS)}")
        if self.seed < 0 or self.threads < 0:
            raise UsageError(f"seed ({self.seed}) and threads ({self.threads}) must not be negative")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrunedLayer:
    """What became of one layer.

    Attributes:
        name: The node's name.
        op_type: Its operator.
        outputs: Rows of its weight seen as a matrix.
        inputs: Columns of that matrix.
        weights: Numbers in the weight.
        zeros: How many of them the pattern set to zero.
        sparsity: Their share.
        macs: Multiplications of the layer per feed, before pruning; None where it was not run.
        sensitivity: How far the model's outputs move (relative squared error on the held-out feeds) when this layer
            alone is pruned at the trial sparsity; None where that was not measured.
        error: Squared error of the layer's output over its variance, on the feeds it was fitted to; None where it was
            not fitted.
        ridge: The ridge that was chosen, over the mean variance of the inputs; None where it was not fitted.
        reason: Why it was not pruned; empty where it was.
    """

    name: str
    op_type: str
    outputs: int
    inputs: int
    weights: int
    zeros: int
    sparsity: float
    macs: int | None = None
    sensitivity: float | None = None
    error: float | None = None
    ridge: float | None = None
    reason: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PruneTrial:
    """One sparsity that was tried.

    Attributes:
        sparsity: What was asked.
        reached: The share of zeros (or of saved multiplications) that came out.
        loss: The held-out loss; None: NaN or infinity.
        passed: Whether that is within the budget; None without one.
    """

    sparsity: float
    reached: float
    loss: float | None
    passed: bool | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class PruneRecord(Record):
    """What pruning did.

    Attributes:
        pattern: The pattern.
        method: How blocks were ranked.
        scope: How the sparsity was spread over the layers.
        budget: What the sparsity counts.
        sparsity: Share of zeros over the layers that may be pruned.
        macs_saved: Share of the multiplications in them that fall on zeros; None where they were not run.
        layers: Every layer with weights, in the graph's order.
        loss_name: What the loss is: a loss between outputs, or the drop of a task's metric.
        loss: The loss of the result.
        max_loss: The budget; None: there was none.
        held_out: Samples that the loss was measured on.
        trials: The sparsities tried, in order.
        batch_norms: How many batch norms were re-estimated; 0 where that did not lower the loss.
        weight_bytes: Bytes of all weights.
        compressed_before: Bytes of the original's weights, compressed (deflate).
        compressed_after: Bytes of the result's.
        warnings: What the user should know.
    """

    schema: ClassVar[str] = "edgebig.prune"

    pattern: str
    method: str
    scope: str
    budget: str
    sparsity: float
    macs_saved: float | None
    layers: tuple[PrunedLayer, ...]
    loss_name: str
    loss: float
    max_loss: float | None
    held_out: int
    trials: tuple[PruneTrial, ...]
    batch_norms: int
    weight_bytes: int
    compressed_before: int
    compressed_after: int
    warnings: tuple[str, ...] = ()
