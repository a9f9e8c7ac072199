"""What each layer costs the model's outputs, and which layers a loss budget keeps in float."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerSensitivity:
    """One layer, changed alone.

    Attributes:
        layer: The node's name.
        damage: How far the model's outputs move: the root of the squared error over the reference's squares, of the
            worst output; infinity where it holds NaN or infinity.
        feeds: Feeds that this was measured on; the least damaging layers are measured on fewer.
        reach: Share of the model that had to run for it.
    """

    layer: str
    damage: float
    feeds: int
    reach: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class SensitivityCost:
    """What measuring the sensitivities took, in runs of the float model over all feeds, the first one included.

    Attributes:
        passes_by_macs: By multiply-accumulates; None where shapes do not tell them.
        passes_by_time: By time spent in runs and in making sessions, without that of writing the changed models.
        seconds: That time.
        writing_seconds: Time spent writing the changed models.
    """

    passes_by_macs: float | None
    passes_by_time: float
    seconds: float
    writing_seconds: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class BudgetRow:
    """One layer in the order in which layers are taken back to float: most damage per cost first.

    Attributes:
        layer: The node's name.
        damage: See `LayerSensitivity`; None where it is not finite, or was not measured.
        feeds: Feeds that it was measured on; 0: none, because the budget was met at once.
        kept_float: Whether it stays in float.
        macs_share: Its share of the multiply-accumulates of all these layers.
        weight_share: Its share of their weights.
        loss_after: Loss of the model with this layer and all above it in float; None where that was not tried, or is
            not finite.
    """

    layer: str
    damage: float | None
    feeds: int
    kept_float: bool
    macs_share: float
    weight_share: float
    loss_after: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class BudgetRecord:
    """How a loss budget was met.

    Attributes:
        loss_name: What the loss is.
        max_loss: The budget.
        loss_before: Loss with no layer kept in float; None: not finite.
        loss: Loss of the result.
        evaluations: Models that were judged.
        rows: Every layer.
        sensitivity: What the sensitivities cost; None where none were needed.
    """

    loss_name: str
    max_loss: float
    loss_before: float | None
    loss: float
    evaluations: int
    rows: tuple[BudgetRow, ...]
    sensitivity: SensitivityCost | None = None

    @property
    def float_layers(self) -> tuple[str, ...]:
        """The layers that stay in float."""
        return tuple(row.layer for row in self.rows if row.kept_float)

    @property
    def float_macs_share(self) -> float:
        """Share of the multiply-accumulates that stay in float."""
        return sum(row.macs_share for row in self.rows if row.kept_float)
