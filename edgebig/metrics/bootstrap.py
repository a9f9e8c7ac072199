"""Standard errors of metrics that have no formula: the bootstrap (Efron 1979), with a fixed seed.

The draws depend on the number of samples alone, so two models judged on the same samples are resampled alike and
their difference has a paired error.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000
SEED = 20240229


def bootstrap(statistic: Callable[[NDArray], float], n: int, *, draws: int = DRAWS) -> NDArray:
    """Values of a statistic on samples drawn with replacement.

    Args:
        statistic: Takes how often each sample was drawn, int64 [n] with sum n; NaN where it is undefined.
        n: The number of samples.
        draws: How many resamples.

    Returns:
        float64 [draws].
    """
    generator = np.random.default_rng(SEED)
    return np.array([statistic(np.bincount(generator.integers(n, size=n), minlength=n)) for _ in range(draws)])


def spread(replicates: NDArray) -> float | None:
    """The standard error that replicates state; None where fewer than two are defined."""
    defined = replicates[np.isfinite(replicates)]
    return float(defined.std(ddof=1)) if len(defined) > 1 else None
