"""The models that a budget search has judged, and how it foresees the loss of others."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.records.sensitivity import LayerSensitivity


class Judge(Protocol):
    """Gives the loss of a model: `edgebig.evaluate.output_loss.OutputLoss`, `edgebig.evaluate.task_loss.TaskLoss`."""

    @property
    def loss(self) -> str:
        """What the loss is."""
        ...

    def of(self, model: ir.Model) -> float:
        """The loss: 0 is as good as the original, more is worse; infinity where an output is not finite."""
        ...


class Trials:
    """Judges models with some layers in float, each once.

    Args:
        write: Writes the model with the named layers in float.
        judge: Gives its loss.
        evaluations: How many models may be judged.
    """

    def __init__(self, write: Callable[[frozenset[str]], ir.Model], judge: Judge, evaluations: int) -> None:
        self.judge = judge
        self.losses: dict[frozenset[str], float] = {}
        self._write = write
        self._evaluations = evaluations

    @property
    def left(self) -> int:
        """How many models may still be judged."""
        return self._evaluations - len(self.losses)

    def loss(self, excluded: frozenset[str]) -> float:
        """The loss of the model with these layers in float; NaN counts as infinity."""
        if excluded not in self.losses:
            found = float(self.judge.of(self._write(excluded)))
            self.losses[excluded] = float("inf") if np.isnan(found) else found
        return self.losses[excluded]


def foreseen_losses(order: Sequence[LayerSensitivity], known: Mapping[int, float]) -> NDArray:
    """What the loss would be with the first 0, 1, 2, ... layers in float, where the squares of damages add up.

    The square of the loss is taken to be a straight line over the squared damage that is left: through 0 and the one
    loss known, or through the last two.

    Args:
        order: The layers, in the order in which they are kept.
        known: How many are kept -> the loss, the latest last.
    """
    left = damage_left(order)
    points = [(left[kept], loss**2) for kept, loss in known.items() if np.isfinite(loss)]
    if not points:
        return np.where(np.arange(len(left)) <= max(known), np.inf, 0.0)
    (x1, y1), (x0, y0) = points[-1], points[-2] if len(points) > 1 else (0.0, 0.0)
    if (x1 - x0) * (y1 - y0) <= 0:
        x0 = y0 = 0.0
    slope = (y1 - y0) / (x1 - x0) if x1 != x0 else 0.0
    return np.sqrt(np.maximum(y1 + slope * (left - x1), 0.0))


def damage_left(order: Sequence[LayerSensitivity]) -> NDArray:
    """Squared damage of all layers but the first 0, 1, 2, ...; an infinite one counts as far more than the others."""
    squares = np.array([row.damage for row in order]) ** 2
    finite = np.isfinite(squares)
    squares[~finite] = 1e6 * max(float(squares[finite].sum()), 1.0)
    return np.append(np.cumsum(squares[::-1])[::-1], 0.0)
