"""Find the highest sparsity within a loss budget, by bisection, with few trials."""

import math
from collections.abc import Callable
from typing import Generic, TypeVar

from edgebig.errors import QualityGateError
from edgebig.records.prune import HIGHEST, PruneTrial

T = TypeVar("T")

# The search ends when the highest sparsity that passed and the lowest that did not are this close.
RESOLUTION = 0.02


class Tried(Generic[T]):
    """A trial and what came of it.

    Args:
        trial: Its figures.
        result: The pruned model and what belongs to it.
    """

    def __init__(self, trial: PruneTrial, result: T) -> None:
        self.trial = trial
        self.result = result


def search(
    attempt: Callable[[float], Tried[T]], *, max_loss: float, cap: float | None
) -> tuple[Tried[T], list[PruneTrial]]:
    """Bisect. The loss need not rise with the sparsity: what is returned passed when it was tried.

    Args:
        attempt: Prunes to a sparsity and measures.
        max_loss: The budget.
        cap: The highest sparsity wanted, which is tried first; None: `HIGHEST`, which is not tried.

    Returns:
        The best trial, and all of them in order.

    Raises:
        QualityGateError: None passed; the message says which came nearest.
    """
    trials: list[PruneTrial] = []
    best: Tried[T] | None = None
    low, high = 0.0, HIGHEST if cap is None else cap
    wanted = cap if cap is not None else high / 2
    while True:
        tried = attempt(wanted)
        trials.append(tried.trial)
        if tried.trial.passed:
            low = wanted
            if best is None or tried.trial.reached > best.trial.reached:
                best = tried
        else:
            high = wanted
        if high - low <= RESOLUTION or low == cap:
            break
        wanted = (low + high) / 2
    if best is None:
        raise QualityGateError(_failure(trials, max_loss))
    return best, trials


def _failure(trials: list[PruneTrial], max_loss: float) -> str:
    nearest = min(trials, key=lambda trial: math.inf if trial.loss is None else trial.loss)
    tried = ", ".join(f"{trial.sparsity:.0%}: {loss_text(trial.loss)}" for trial in trials)
    return (
        f"no sparsity keeps the loss within {max_loss}. The best found is {loss_text(nearest.loss)} at "
        f"{nearest.reached:.1%} zeros (tried {tried}). Allow more loss, give more samples, or exclude sensitive layers."
    )


def loss_text(loss: float | None) -> str:
    """A loss for people."""
    return "not finite" if loss is None else f"{loss:.4g}"
