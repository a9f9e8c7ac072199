"""Oracle of attention: query by query, with sums in Python's numbers and the softmax of its own oracle."""

import math
from collections.abc import Callable, Sequence

from tests.naive.softmax import softmax

Round = Callable[[float], float]


def attend(
    query: Sequence[float],
    keys: Sequence[Sequence[float]],
    values: Sequence[Sequence[float]],
    score: Callable[[float], float],
    mask: Sequence[float] | None,
    masked: Round,
    probability: Round,
) -> list[float]:
    """The result of one query: `score` turns a sum of products into what the mask is added to."""
    sums = [math.fsum(a * b for a, b in zip(query, key, strict=True)) for key in keys]
    scores = [masked(score(s) + (mask[i] if mask is not None else 0.0)) for i, s in enumerate(sums)]
    weights = [probability(p) for p in softmax(scores)]
    return [math.fsum(w * row[c] for w, row in zip(weights, values, strict=True)) for c in range(len(values[0]))]


def rounding(multiplier: float, scale: float, zero_point: int, low: int, high: int) -> Round:
    """Quantize to 8 bits and back; Python's round is half to even."""
    return lambda x: min(max(round(x * multiplier), low - zero_point), high - zero_point) * scale
