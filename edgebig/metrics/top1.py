"""Top-1 accuracy: the share of samples whose largest class score is that of the label."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgebig.metrics.outputs import predicted_classes
from edgebig.metrics.value import MetricValue, mean_value


def top1(scores: NDArray, labels: ArrayLike) -> MetricValue:
    """Score predictions [n, classes] against labels [n]; the standard error is the binomial's, sqrt(p (1 - p) / n).

    Raises:
        InvalidDataError: See `predicted_classes`.
    """
    predictions, truth, _ = predicted_classes(scores, labels, "top1")
    correct = predictions == truth
    share = float(correct.mean())
    error = float(np.sqrt(share * (1.0 - share) / len(correct)))
    return mean_value("top1", correct, higher_is_better=True, standard_error=error)
