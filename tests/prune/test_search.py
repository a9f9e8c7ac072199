"""The search for the highest sparsity within a budget."""

from collections.abc import Callable

import pytest

from edgebig.errors import QualityGateError
from edgebig.prune.search import RESOLUTION, Tried, search
from edgebig.records.prune import HIGHEST, PruneTrial


def attempts(loss: Callable[[float], float | None], budget: float) -> Callable[[float], Tried[float]]:
    def attempt(sparsity: float) -> Tried[float]:
        found = loss(sparsity)
        passed = found is not None and found <= budget
        return Tried(PruneTrial(sparsity=sparsity, reached=sparsity, loss=found, passed=passed), sparsity)

    return attempt


@pytest.mark.parametrize("edge", [0.03, 0.2, 0.5, 0.77, 0.94])
def test_finds_the_edge_in_few_trials(edge: float) -> None:
    best, trials = search(attempts(lambda s: float(s > edge), 0.5), max_loss=0.5, cap=None)
    assert edge - RESOLUTION <= best.result <= edge
    assert len(trials) <= 6
    assert all(0 < trial.sparsity < HIGHEST for trial in trials)


def test_a_cap_that_passes_is_the_answer() -> None:
    best, trials = search(attempts(lambda s: s, 0.7), max_loss=0.7, cap=0.6)
    assert (best.result, len(trials)) == (0.6, 1)


def test_a_cap_is_never_exceeded() -> None:
    best, trials = search(attempts(lambda s: s, 0.3), max_loss=0.3, cap=0.6)
    assert trials[0].sparsity == max(trial.sparsity for trial in trials) == 0.6
    assert 0.3 - RESOLUTION <= best.result <= 0.3


def test_losses_that_do_not_rise_steadily_give_one_that_passed() -> None:
    best, trials = search(attempts(lambda s: 0.0 if int(s * 1000) % 2 else 1.0, 0.5), max_loss=0.5, cap=0.9)
    assert best.trial.passed
    assert best.trial in trials


def test_nothing_passes() -> None:
    with pytest.raises(QualityGateError, match=r"within 0.1. The best found is 0.2 at 1.5% zeros \(tried 48%: not fin"):
        search(attempts(lambda s: None if s > 0.3 else 0.2 + (s > 0.02), 0.1), max_loss=0.1, cap=None)
