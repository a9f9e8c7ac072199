"""How far a change moves the model's outputs: smooth and additive, so that layers can be ranked on few samples.

Shares of changed decisions are zero for most layers alone; squared errors are not, and those of independent changes
add up.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


class RelativeError:
    """Squared error of each output over the squares of the reference, summed over feeds."""

    def __init__(self) -> None:
        self._wrong: dict[str, float] = {}
        self._scale: dict[str, float] = {}

    def add(self, reference: Mapping[str, NDArray], changed: Mapping[str, NDArray]) -> None:
        """Take in one feed's outputs, by name."""
        for name, array in reference.items():
            wrong, scale = _squares(array, changed[name])
            self._wrong[name] = self._wrong.get(name, 0.0) + wrong
            self._scale[name] = self._scale.get(name, 0.0) + scale

    @property
    def value(self) -> float:
        """The root of the quotient, of the worst output; 0 before any feed."""
        return max((_root(self._wrong[name], self._scale[name]) for name in self._wrong), default=0.0)


def _root(wrong: float, scale: float) -> float:
    return 0.0 if wrong == 0 else float(np.sqrt(wrong / max(scale, 1e-30)))


def _squares(reference: NDArray, changed: NDArray) -> tuple[float, float]:
    """Squared error and squares; counts of unequal and of all entries for what is no float."""
    if not isinstance(reference, np.ndarray):
        return 0.0, 0.0
    if reference.shape != changed.shape:
        return float(max(reference.size, 1)), float(max(reference.size, 1))
    if reference.dtype.kind != "f":
        return float((reference != changed).sum()), float(reference.size)
    finite = np.isfinite(reference)
    if not np.isfinite(changed[finite]).all():
        return float("inf"), 1.0
    a, b = reference[finite].astype(np.float64), changed[finite].astype(np.float64)
    return float(np.square(a - b).sum()), float(np.square(a).sum())
