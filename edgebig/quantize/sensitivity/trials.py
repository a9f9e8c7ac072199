"""The models that a budget search has judged, and how it foresees the loss of others."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.records.sensitivity import LayerSensitivity


class Judge(Protocol):
    """Gives the loss of a model, e.g. `edgebig.evaluate.output_loss.OutputLoss` or `edgebig.evaluate.TaskLoss`."""

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


def foreseen_losses(order: Sequence[LayerSensitivity], kept: int, loss: float) -> list[float]:
    """What the loss would be with the first 0, 1, 2, ... layers in float, where the squares of damages add up.

    Args:
        order: The layers, in the order in which they are kept.
        kept: How many were kept where the loss is known.
        loss: That loss.
    """
    rest = _damage_left(order)
    if rest[kept] <= 0 or not np.isfinite(loss):
        return [float("inf") if index <= kept else 0.0 for index in range(len(order) + 1)]
    return [float(value) for value in loss * np.sqrt(rest / rest[kept])]


def bearable_damage(order: Sequence[LayerSensitivity], kept: int, losses: tuple[float, float], limit: float) -> float:
    """The squared damage that may come on top before the loss reaches a limit, where squares of damages add up.

    Args:
        order: The layers, in the order in which they are kept.
        kept: How many are kept.
        losses: The loss with none kept, and with these.
        limit: The limit.
    """
    rest = _damage_left(order)
    for loss, known in ((losses[1], rest[kept]), (losses[0], rest[0])):
        if 0 < loss < float("inf") and known > 0:
            return float(known * (limit / loss) ** 2 - rest[kept])
    return 0.0


def _damage_left(order: Sequence[LayerSensitivity]) -> NDArray:
    """Squared damage of all layers but the first 0, 1, 2, ...; an infinite one counts as far more than the others."""
    squares = np.array([row.damage for row in order]) ** 2
    finite = np.isfinite(squares)
    squares[~finite] = 1e6 * max(float(squares[finite].sum()), 1.0)
    return np.append(np.cumsum(squares[::-1])[::-1], 0.0)
