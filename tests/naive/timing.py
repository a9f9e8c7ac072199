"""Oracles of timing's statistics: plain loops that share no code with edgebig."""

import math
from collections.abc import Sequence


def percentile(values: Sequence[float], percent: float) -> float:
    """Linear interpolation between the two nearest of the sorted values."""
    ordered = sorted(values)
    position = (len(ordered) - 1) * percent / 100
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def median_absolute_deviation(values: Sequence[float]) -> float:
    centre = median(values)
    return median([abs(value - centre) for value in values])


def standard_deviation(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def trend_score(values: Sequence[float]) -> float:
    """Mann-Kendall: every pair counts, ties shrink the variance, the continuity correction takes one off."""
    count, score = len(values), 0
    for later in range(count):
        for earlier in range(later):
            score += (values[later] > values[earlier]) - (values[later] < values[earlier])
    variance = count * (count - 1) * (2 * count + 5)
    for value in set(values):
        ties = sum(other == value for other in values)
        variance -= ties * (ties - 1) * (2 * ties + 5)
    if score == 0 or variance == 0:
        return 0.0
    return (score - (1 if score > 0 else -1)) / math.sqrt(variance / 18)


def medians_of_draws(values: Sequence[float], draws: Sequence[Sequence[int]]) -> list[float]:
    return [median([values[index] for index in draw]) for draw in draws]
