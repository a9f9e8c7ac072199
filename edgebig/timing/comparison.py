"""Compare two callables that were measured in the same interleaved rounds.

Each round gives one ratio of medians, of two turns a few milliseconds apart; the speedup is the median of these
ratios, and its interval the percentile bootstrap over rounds (Efron, Annals of Statistics 7, 1979). What slows a whole
round down cancels in its ratio: on a busy machine this estimate scatters a third as much as the ratio of the two
overall medians.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgebig.records.measurement import Comparison

CONFIDENCE = 0.99
RESAMPLES = 2000
# Two sessions of one and the same file differ by up to this much, by where their memory happens to lie.
INDIFFERENCE = 0.01
# With fewer rounds no interval of this confidence can be believed.
FEWEST_ROUNDS = 8
_CHUNK = 4_000_000

FASTER, SLOWER, NO_DIFFERENCE = "faster", "slower", "no difference shown"


def compare_rounds(
    reference: Sequence[Sequence[float]] | NDArray,
    other: Sequence[Sequence[float]] | NDArray,
    *,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Comparison:
    """Compare a callable with a reference.

    Args:
        reference: Times of the reference, [rounds, values].
        other: Times of the other, [rounds, values]; the same rounds, any number of values.
        confidence: Share of repeated measurements whose interval would hold the true ratio.
        seed: Of the bootstrap.

    Returns:
        How many times as fast the other is (above 1 is faster), its interval, and the verdict.
    """
    a = np.median(np.asarray(reference, dtype=np.float64), axis=1)
    b = np.median(np.asarray(other, dtype=np.float64), axis=1)
    ratios = a / b
    medians = resampled_medians(ratios, np.random.default_rng(seed))
    low, high = (float(x) for x in np.quantile(medians, ((1 - confidence) / 2, (1 + confidence) / 2)))
    return Comparison(
        speedup=float(np.median(ratios)),
        low=low,
        high=high,
        confidence=confidence,
        verdict=judge(low, high, len(ratios)),
    )


def judge(low: float, high: float, rounds: int) -> str:
    """The verdict of an interval of the speedup: a difference is shown where all of it is beyond `INDIFFERENCE`."""
    if rounds >= FEWEST_ROUNDS and low > 1 + INDIFFERENCE:
        return FASTER
    if rounds >= FEWEST_ROUNDS and high < 1 / (1 + INDIFFERENCE):
        return SLOWER
    return NO_DIFFERENCE


def resampled_medians(values: NDArray, generator: np.random.Generator) -> NDArray:
    """Medians of `values` drawn with replacement, as many as there are, `RESAMPLES` times.

    Args:
        values: One number per round.
        generator: Draws the rounds.

    Returns:
        float64 [RESAMPLES].
    """
    step = max(1, _CHUNK // len(values))
    parts = []
    for start in range(0, RESAMPLES, step):
        drawn = generator.integers(0, len(values), (min(step, RESAMPLES - start), len(values)))
        parts.append(np.median(values[drawn], axis=1))
    return np.concatenate(parts)
