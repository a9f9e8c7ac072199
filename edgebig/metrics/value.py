"""What a metric gives: a value with its standard error, and what comparing two models on the same samples needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Outputs = Sequence[Mapping[str, NDArray]]
"""A model's outputs: per feed, output name -> array."""


@dataclass(frozen=True, kw_only=True)
class MetricValue:
    """A metric over a set of samples.

    Attributes:
        name: The metric's name.
        value: Its value; NaN where the outputs hold NaN and the metric cannot count them as wrong.
        standard_error: The standard error of `value` from the choice of the samples; None where it is unknown.
        n: How many samples it was taken over.
        higher_is_better: Whether a larger value is better.
        per_sample: For a metric that is a mean over samples: each sample's part, float64 [n].
        replicates: For any other: its values on resampled samples (see `bootstrap`), float64. Two models judged on
            the same samples have the same resamples, so their replicates can be subtracted.
    """

    name: str
    value: float
    n: int
    standard_error: float | None = None
    higher_is_better: bool = True
    per_sample: NDArray | None = field(default=None, repr=False, compare=False)
    replicates: NDArray | None = field(default=None, repr=False, compare=False)

    @property
    def score(self) -> float:
        """The value turned so that higher is better; minus infinity where it is not finite."""
        if not np.isfinite(self.value):
            return float("-inf")
        return self.value if self.higher_is_better else -self.value


def mean_value(
    name: str, per_sample: NDArray, *, higher_is_better: bool, standard_error: float | None = None
) -> MetricValue:
    """A metric that is the mean of one number per sample.

    Args:
        name: The metric's name.
        per_sample: Each sample's part [n].
        higher_is_better: Whether a larger value is better.
        standard_error: Where a formula of its own fits better than the deviation of the parts over sqrt(n).
    """
    parts = np.asarray(per_sample, np.float64)
    if standard_error is None and len(parts) > 1:
        standard_error = float(parts.std(ddof=1) / np.sqrt(len(parts)))
    return MetricValue(
        name=name,
        value=float(parts.mean()),
        n=len(parts),
        standard_error=standard_error,
        higher_is_better=higher_is_better,
        per_sample=parts,
    )


def paired_error(first: MetricValue, second: MetricValue) -> float | None:
    """The standard error of `second.value - first.value`, both taken over the same samples in the same order.

    Far smaller than that of two independent values where the models err on the same samples. None where the metric
    gives nothing per sample.
    """
    if first.per_sample is not None and second.per_sample is not None:
        difference = second.per_sample - first.per_sample
        return float(difference.std(ddof=1) / np.sqrt(len(difference))) if len(difference) > 1 else None
    if first.replicates is not None and second.replicates is not None:
        return float(np.nanstd(second.replicates - first.replicates, ddof=1))
    return None
