"""Mean squared error, and its root."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgebig.metrics.bootstrap import bootstrap, spread
from edgebig.metrics.outputs import check_targets
from edgebig.metrics.value import MetricValue, mean_value


def mse(values: NDArray, labels: ArrayLike) -> MetricValue:
    """Mean of (value - label)^2 over all entries of [n, ...]; the standard error is over samples.

    Raises:
        InvalidDataError: The labels have another shape.
    """
    return mean_value("mse", _per_sample(values, labels, "mse"), higher_is_better=False)


def rmse(values: NDArray, labels: ArrayLike) -> MetricValue:
    """Root of the mean squared error over all entries of [n, ...]; the standard error is a bootstrap's over samples.

    Raises:
        InvalidDataError: The labels have another shape.
    """
    squares = _per_sample(values, labels, "rmse")
    n = len(squares)
    replicates = bootstrap(lambda counts: float(np.sqrt((counts * squares).sum() / n)), n)
    return MetricValue(
        name="rmse",
        value=float(np.sqrt(squares.mean())),
        n=n,
        standard_error=spread(replicates),
        higher_is_better=False,
        replicates=replicates,
    )


def _per_sample(values: NDArray, labels: ArrayLike, metric: str) -> NDArray:
    """Each sample's mean squared error, float64 [n]."""
    # A column of one is the same as a vector, and must not broadcast against it to [n, n].
    if values.ndim == 2 and values.shape[1] == 1 and np.ndim(labels) == 1:
        values = values[:, 0]
    truth = check_targets(values, labels, metric)
    squares = np.square(values.astype(np.float64) - truth.astype(np.float64))
    return squares.reshape(len(squares), -1).mean(1)
