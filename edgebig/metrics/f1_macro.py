"""Macro F1: the mean over classes of 2 TP / (2 TP + FP + FN), so that rare classes count as much as frequent ones."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgebig.metrics.bootstrap import bootstrap, spread
from edgebig.metrics.outputs import predicted_classes
from edgebig.metrics.value import MetricValue


def f1_macro(scores: NDArray, labels: ArrayLike) -> MetricValue:
    """Score predictions [n, classes] against labels [n]; the standard error is a bootstrap's.

    Classes that are neither predicted nor labelled are left out of the mean.

    Raises:
        InvalidDataError: See `predicted_classes`.
    """
    predictions, truth, classes = predicted_classes(scores, labels, "f1-macro")
    # A last class takes the rows without a prediction; nobody is labelled so, and it is left out of the mean.
    cells = truth * (classes + 1) + np.where(predictions < 0, classes, predictions)

    def score(counts: NDArray) -> float:
        table = np.bincount(cells, weights=counts, minlength=(classes + 1) ** 2).reshape(classes + 1, classes + 1)
        denominator = (table.sum(0) + table.sum(1))[:classes]
        present = denominator > 0
        return float((2.0 * np.diag(table)[:classes][present] / denominator[present]).mean())

    replicates = bootstrap(score, len(truth))
    return MetricValue(
        name="f1-macro",
        value=score(np.ones(len(truth))),
        n=len(truth),
        standard_error=spread(replicates),
        replicates=replicates,
    )
