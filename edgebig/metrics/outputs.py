"""From a model's outputs over many feeds to the one array a metric works on."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgebig.errors import InvalidDataError
from edgebig.metrics.value import Outputs

WRONG = -1
"""A class that no label has: what a row with NaN or infinity predicts."""


def stack_output(outputs: Outputs, name: str | None) -> NDArray:
    """One output over all feeds, joined on the sample axis.

    Args:
        outputs: Per feed, output name -> array.
        name: The output; None for the model's first.

    Raises:
        InvalidDataError: No outputs, no output of that name, or feeds whose outputs cannot be joined.
    """
    if not outputs:
        raise InvalidDataError("a metric needs the outputs of at least one feed, got none")
    key = next(iter(outputs[0])) if name is None else name
    if key not in outputs[0]:
        raise InvalidDataError(f"the model has no output {key!r}. Its outputs: {', '.join(outputs[0])}.")
    arrays = [np.atleast_1d(entry[key]) for entry in outputs]
    if len({array.shape[1:] for array in arrays}) > 1:
        shapes = ", ".join(str(list(shape)) for shape in sorted({array.shape for array in arrays})[:3])
        raise InvalidDataError(
            f"output {key!r} has other shapes in other feeds ({shapes}), which this metric cannot join. "
            f"Give the task a metric of its own: a function of (outputs, labels)."
        )
    return np.concatenate(arrays)


def predicted_classes(scores: NDArray, labels: ArrayLike, metric: str) -> tuple[NDArray, NDArray, int]:
    """Predictions and labels as class indices.

    Args:
        scores: Class scores [n, classes] (further axes of size 1 are dropped), or class indices, integers [n].
        labels: Class indices, integers [n].
        metric: The metric's name, for messages.

    Returns:
        Predictions int64 [n] (`WRONG` for a row with NaN or infinity), labels int64 [n], and the number of classes.

    Raises:
        InvalidDataError: Other shapes or dtypes, numbers of samples that differ, or labels that are no class.
    """
    truth = check_labels(labels, len(scores), metric)
    rows = scores.reshape(scores.shape[:2]) if scores.ndim > 2 and scores[0, 0].size == 1 else scores
    if rows.ndim == 1 and rows.dtype.kind in "iu":
        predictions = rows.astype(np.int64)
        classes = int(max(predictions.max(), truth.max())) + 1
    elif rows.ndim == 2 and rows.shape[1] > 1:
        finite = np.isfinite(rows).all(-1)
        predictions = np.where(finite, rows.argmax(-1), WRONG)
        classes = rows.shape[1]
    else:
        raise InvalidDataError(
            f"{metric} takes class scores [samples, classes] or class indices [samples], "
            f"got {scores.dtype} {list(scores.shape)}. Name another output ('{metric}:OUTPUT') or metric."
        )
    if truth.min() < 0 or truth.max() >= classes:
        raise InvalidDataError(
            f"{metric}: the labels run from {truth.min()} to {truth.max()}, the model has classes 0 to {classes - 1}"
        )
    return predictions, truth, classes


def check_labels(labels: ArrayLike, n: int, metric: str) -> NDArray:
    """Labels as int64 [n].

    Raises:
        InvalidDataError: Not integers of that shape.
    """
    array = np.asarray(labels)
    if array.dtype.kind not in "iub" or array.ndim != 1:
        raise InvalidDataError(f"{metric} takes integer labels [samples], got {array.dtype} {list(array.shape)}")
    check_count(len(array), n)
    return array.astype(np.int64)


def check_count(labels: int, outputs: int) -> None:
    """Refuse another number of labels than of outputs.

    Raises:
        InvalidDataError: They differ, or there are none.
    """
    if outputs == 0:
        raise InvalidDataError("the model gave empty outputs: there is nothing to score")
    if labels != outputs:
        raise InvalidDataError(
            f"the task has {labels} labels, the model gave {outputs} outputs. "
            f"Give one label per sample (a model with a fixed batch takes whole batches only)."
        )


def check_targets(values: NDArray, labels: ArrayLike, metric: str) -> NDArray:
    """Labels as numbers of the outputs' shape.

    Raises:
        InvalidDataError: The numbers of samples or the shapes differ, or the labels are no finite numbers.
    """
    array = np.asarray(labels)
    if array.dtype.kind not in "fiub" or not np.isfinite(array).all() or array.ndim == 0:
        raise InvalidDataError(f"{metric} takes finite numbers as labels, got {array.dtype} {list(array.shape)}")
    check_count(len(array), len(values))
    if array.shape != values.shape:
        raise InvalidDataError(
            f"{metric} takes labels of the output's shape {list(values.shape)}, got {list(array.shape)}"
        )
    return array
