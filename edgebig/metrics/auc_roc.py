"""Area under the ROC curve of a two-class score: the chance that a positive sample scores above a negative one."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgebig.errors import InvalidDataError
from edgebig.metrics.bootstrap import bootstrap, spread
from edgebig.metrics.outputs import check_labels
from edgebig.metrics.value import MetricValue


def auc_roc(scores: NDArray, labels: ArrayLike) -> MetricValue:
    """Score [n], [n, 1] or [n, 2] (the second column is the positive class) against labels 0 and 1 [n].

    Ties count one half (the Mann-Whitney statistic). The standard error is a bootstrap's. NaN in a score gives NaN.

    Raises:
        InvalidDataError: Other shapes, labels other than 0 and 1, or one class only.
    """
    positive = _positive_scores(scores)
    truth = check_labels(labels, len(positive), "auc-roc")
    if set(np.unique(truth)) != {0, 1}:
        raise InvalidDataError(f"auc-roc takes labels 0 and 1, both present; got {np.unique(truth)[:5].tolist()}")
    n = len(truth)
    if np.isnan(positive).any():
        return MetricValue(name="auc-roc", value=float("nan"), n=n)
    values, rank = np.unique(positive, return_inverse=True)

    def area(counts: NDArray) -> float:
        wins = np.bincount(rank, weights=counts * truth, minlength=len(values))
        losses = np.bincount(rank, weights=counts * (1 - truth), minlength=len(values))
        pairs = wins.sum() * losses.sum()
        below = np.cumsum(losses) - losses
        return float((wins * (below + 0.5 * losses)).sum() / pairs) if pairs else float("nan")

    replicates = bootstrap(area, n)
    return MetricValue(
        name="auc-roc", value=area(np.ones(n)), n=n, standard_error=spread(replicates), replicates=replicates
    )


def _positive_scores(scores: NDArray) -> NDArray:
    if scores.ndim == 1:
        return scores
    if scores.ndim == 2 and scores.shape[1] in (1, 2):
        return scores[:, -1]
    raise InvalidDataError(f"auc-roc takes scores [samples], [samples, 1] or [samples, 2], got {list(scores.shape)}")
