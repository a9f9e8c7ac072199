"""All distances of one output of two models, gathered feed by feed so that nothing but sums is kept."""

import math

import numpy as np
from numpy.typing import NDArray

from edgebig.metrics.pair import guarded_loss
from edgebig.records.comparison import OutputComparison


class OutputDistance:
    """Gather the distances of one output.

    Args:
        output: Its name.
        loss_name: Which loss judges it (see `edgebig.metrics.pair.pair_losses`).
    """

    def __init__(self, output: str, loss_name: str) -> None:
        self.output = output
        self.loss_name = loss_name
        self.loss = 0.0
        self.weight = 0
        self.numbers = True
        self.squares = np.zeros(3)  # of the original, of the changed, of their difference
        self.product = 0.0
        self.largest = 0.0
        self.rows = 0
        self.agreeing = 0
        self.other_shapes = 0

    def add(self, reference: NDArray, changed: NDArray) -> None:
        """Take both models' arrays over one feed."""
        weight = max(reference.size, 1)
        self.loss += guarded_loss(self.loss_name, reference, changed) * weight
        self.weight += weight
        if reference.shape != changed.shape:
            self.other_shapes += 1
        elif reference.dtype.kind in "OUS":
            self.numbers = False
        elif reference.size:
            self._add_numbers(reference.astype(np.float64), changed.astype(np.float64))
            if self._has_scores(reference):
                self.rows += reference.size // reference.shape[-1]
                self.agreeing += int((reference.argmax(-1) == changed.argmax(-1)).sum())

    def _has_scores(self, array: NDArray) -> bool:
        """Whether the last axis may hold scores of classes; that of an embedding does not."""
        scores = array.dtype.kind == "f" and array.ndim >= 2 and array.shape[-1] > 1
        return scores and self.loss_name != "cosine-distance"

    def _add_numbers(self, a: NDArray, b: NDArray) -> None:
        with np.errstate(invalid="ignore", over="ignore"):
            self.squares += (np.square(a).sum(), np.square(b).sum(), np.square(a - b).sum())
            self.product += float((a * b).sum())
            self.largest = float(np.maximum(self.largest, np.abs(a - b).max()))

    def result(self) -> OutputComparison:
        """The distances over all feeds so far."""
        reference, changed, difference = self.squares.tolist()
        norms = math.sqrt(reference * changed)
        sqnr = 10.0 * math.log10(reference / difference) if reference and difference else None
        return OutputComparison(
            output=self.output,
            loss_name=self.loss_name,
            loss=_finite(self.loss / self.weight),
            sqnr_db=_finite(sqnr),
            max_abs_error=_finite(self.largest) if self.numbers else None,
            cosine=_finite(self.product / norms) if norms else None,
            top1_agreement=self.agreeing / self.rows if self.rows else None,
            other_shapes=self.other_shapes,
        )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
