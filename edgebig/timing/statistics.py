"""Statistics of measured times, computed when they are read."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgebig.records.measurement import Summary


def summarise(values: Sequence[Sequence[float]] | NDArray) -> Summary:
    """Summarise the times of one callable.

    Args:
        values: Nanoseconds per call, [rounds, values] or flat; at least one.

    Returns:
        The summary, in nanoseconds; percentiles are interpolated linearly between the nearest values.
    """
    flat = np.asarray(values, dtype=np.float64).ravel()
    p50, p90, p99 = (float(x) for x in np.percentile(flat, (50, 90, 99)))
    return Summary(
        n=flat.size,
        min=float(flat.min()),
        p50=p50,
        p90=p90,
        p99=p99,
        mad=float(np.median(np.abs(flat - p50))),
        mean=float(flat.mean()),
        stdev=float(flat.std(ddof=1)) if flat.size > 1 else 0.0,
        per_second=1e9 / float(flat.mean()),
    )
