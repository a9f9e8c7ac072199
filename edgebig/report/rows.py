"""What a report shows, as plain rows: filled from records by whoever has them."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, kw_only=True)
class ModelRow:
    """One model of a report. The first row is the one that the others are held against.

    Attributes:
        name: What the model is called; unique in the report.
        bytes: Size of its files.
        metric: What `value` is, e.g. "top1".
        value: The task's metric; None where it was not measured.
        standard_error: Of `value`; None where unknown.
        higher_is_better: Whether a larger value is better.
        difference_error: Standard error of the difference to the first row, paired; None where unknown.
        latency_ms: Raw times of single runs in milliseconds; empty where not measured.
        latency_interval_ms: A 99 % interval of the median; None where unknown.
        speedup: How many times faster than the first row; None for the ratio of the medians.
        speedup_interval: A 99 % interval of `speedup`; None where unknown.
        note: A remark, e.g. what was done to the model.
    """

    name: str
    bytes: int
    metric: str = "score"
    value: float | None = None
    standard_error: float | None = None
    higher_is_better: bool = True
    difference_error: float | None = None
    latency_ms: Sequence[float] = ()
    latency_interval_ms: tuple[float, float] | None = None
    speedup: float | None = None
    speedup_interval: tuple[float, float] | None = None
    note: str = ""

    @property
    def p50_ms(self) -> float | None:
        """The median latency in milliseconds; None where it was not measured."""
        return median(self.latency_ms) if self.latency_ms else None


@dataclass(frozen=True, kw_only=True)
class LayerRow:
    """How sparse one layer of one model is.

    Attributes:
        model: The model's name.
        layer: The layer's name.
        sparsity: Share of its weights that are zero, 0 to 1.
        weights: How many weights it has.
    """

    model: str
    layer: str
    sparsity: float
    weights: int
