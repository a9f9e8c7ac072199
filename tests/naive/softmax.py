"""Oracle of softmax: one row at a time, in Python's double precision."""

import math
from collections.abc import Sequence


def softmax(row: Sequence[float], mask: Sequence[float] | None = None, scale: float = 1.0) -> list[float]:
    """exp of each entry (scaled, mask added) over the sum of them; NaN where the row has no finite largest entry."""
    scores = [scale * x + (mask[i] if mask is not None else 0.0) for i, x in enumerate(row)]
    top = max(scores) if not any(math.isnan(score) for score in scores) else math.nan
    if not math.isfinite(top):
        return [math.nan] * len(scores)
    powers = [math.exp(score - top) for score in scores]
    total = math.fsum(powers)
    return [power / total for power in powers]


def log_softmax(row: Sequence[float], mask: Sequence[float] | None = None, scale: float = 1.0) -> list[float]:
    """The logarithm of it, without leaving the range of doubles."""
    scores = [scale * x + (mask[i] if mask is not None else 0.0) for i, x in enumerate(row)]
    top = max(scores) if not any(math.isnan(score) for score in scores) else math.nan
    if not math.isfinite(top):
        return [math.nan] * len(scores)
    total = math.log(math.fsum(math.exp(score - top) for score in scores))
    return [score - top - total for score in scores]
