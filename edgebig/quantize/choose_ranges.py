"""Choose the ranges of activations by what they do to the model's outputs on held-out samples.

Every calibration method writes a model, and its loss is measured; the best one's ranges are the start. Then, for as
many trials as are left, groups of the tensors that the methods disagree on most take another method's ranges, and keep
them where the loss falls. A method whose loss is many times the best one's has collapsed: the tensor that does it is
found by giving single tensors, the worst clipped first, the best method's range back.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgebig.errors import QualityGateError
from edgebig.quantize.calibrate.statistics import TensorStatistics

Range = tuple[float, float]
Ranges = Mapping[str, Range]
METHODS = ("mse", "minmax", "percentile", "entropy")
# Models written and judged, the methods' own among them.
TRIALS = 12
# A swap is kept if it takes at least this share off the loss: less is noise of the samples.
_GAIN = 0.01
# A method has collapsed if its loss is so many times the best one's, and at least so large.
_COLLAPSE, _COLLAPSE_LEAST = 5.0, 0.1
# The tensor at fault, given another range, takes at least this share of the damage away.
_CURE = 0.5
# Tensors that are tried one by one for a collapsed method.
_SUSPECTS = 3


@dataclass(frozen=True)
class ChosenRanges:
    """Ranges, and how they were found.

    Attributes:
        ranges: By tensor name.
        method: The method that most of them are of.
        others: Tensor name -> method, of those that are of another.
        scores: Method -> loss of the model with its ranges alone.
        loss: Of the model with the chosen ranges.
        trials: Models that were written and judged.
        culprits: Collapsed method -> names of the tensors whose range did it; empty where no single one did.
        notes: What the user should know.
    """

    ranges: Ranges
    method: str
    others: Mapping[str, str]
    scores: Mapping[str, float]
    loss: float
    trials: int
    culprits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def choose_ranges(
    candidates: Mapping[str, Ranges],
    loss: Callable[[Ranges], float],
    statistics: Mapping[str, TensorStatistics],
    *,
    trials: int = TRIALS,
) -> ChosenRanges:
    """Choose.

    Args:
        candidates: Method -> its ranges, all of the same tensors; at least one method.
        loss: Writes the model with given ranges and judges it on held-out samples; 0 is no loss, infinity NaN.
        statistics: Of these tensors, by name.
        trials: How often `loss` may be asked, if every method could be.

    Raises:
        QualityGateError: With every method's ranges the outputs hold NaN or infinity.
    """
    judge = _Judge(loss)
    scores = {method: judge(ranges) for method, ranges in candidates.items()}
    best = min(scores, key=lambda method: scores[method])
    if not math.isfinite(scores[best]):
        raise QualityGateError(
            f"with the ranges of every calibration method ({', '.join(scores)}) the int8 model's outputs hold NaN or "
            f"infinity. Leave sensitive nodes in float with --exclude; edgebig diagnose names them."
        )
    bound = max(_COLLAPSE * scores[best], _COLLAPSE_LEAST)
    culprits = {
        method: _culprits(candidates[method], candidates[best], scores[method], scores[best], judge, statistics)
        for method in candidates
        if scores[method] > bound and judge.asked < trials
    }
    sound = sorted((m for m in candidates if m not in culprits and m != best), key=lambda method: scores[method])
    ranges, others, found = _refine(candidates, best, sound, scores[best], judge, trials)
    notes = [_collapse_note(method, names, scores, best) for method, names in culprits.items()]
    return ChosenRanges(ranges, best, others, scores, found, judge.asked, culprits, tuple(notes))


class _Judge:
    """Counts how often it is asked."""

    def __init__(self, loss: Callable[[Ranges], float]) -> None:
        self._loss = loss
        self.asked = 0

    def __call__(self, ranges: Ranges) -> float:
        self.asked += 1
        return self._loss(ranges)


def _refine(
    candidates: Mapping[str, Ranges], best: str, others: Sequence[str], loss: float, judge: _Judge, trials: int
) -> tuple[dict[str, Range], dict[str, str], float]:
    """Swap groups of tensors to other methods as long as there are trials, and keep what helps."""
    ranges = dict(candidates[best])
    taken: dict[str, str] = {}
    tried: set[tuple[tuple[str, Range], ...]] = set()
    for method, group in _swaps(candidates, best, others):
        if judge.asked >= trials:
            break
        swap = {name: candidates[method][name] for name in group if candidates[method][name] != ranges[name]}
        key = tuple(sorted(swap.items()))
        if not swap or key in tried:
            continue
        tried.add(key)
        found = judge(ranges | swap)
        if found < loss * (1 - _GAIN):
            ranges, loss = ranges | swap, found
            taken |= dict.fromkeys(swap, method)
    return ranges, taken, loss


def _swaps(candidates: Mapping[str, Ranges], best: str, others: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Methods and groups of tensors to try them on, the most contested tensors first, in groups of doubling size."""
    contested = {
        name: max((_disagreement(span, candidates[method][name]) for method in others), default=0.0)
        for name, span in candidates[best].items()
    }
    names = sorted((name for name in contested if contested[name] > 0), key=lambda name: -contested[name])
    groups, size = [], max(len(names) // 15, 1)
    while names:
        groups.append(names[:size])
        names, size = names[size:], size * 2
    for method in others:
        yield from ((method, group) for group in groups)


def _disagreement(one: Range, other: Range) -> float:
    """How many times wider one range is than the other, as a logarithm."""
    widths = [max(high, 0.0) - min(low, 0.0) for low, high in (one, other)]
    return abs(math.log(max(widths[0], 1e-30) / max(widths[1], 1e-30)))


def _culprits(
    collapsed: Ranges,
    best: Ranges,
    loss: float,
    aim: float,
    judge: _Judge,
    statistics: Mapping[str, TensorStatistics],
) -> tuple[str, ...]:
    """The tensor whose range did it: with another one, most of the damage is gone. None if no suspect's does."""
    damage = {name: _clipping(statistics[name], span) for name, span in collapsed.items() if span != best[name]}
    damage = {name: value - _clipping(statistics[name], best[name]) for name, value in damage.items()}
    for name in sorted(damage, key=lambda name: -damage[name])[:_SUSPECTS]:
        cured = judge({**collapsed, name: best[name]})
        if cured - aim < (1 - _CURE) * (loss - aim):
            return (name,)
    return ()


def _clipping(statistics: TensorStatistics, span: Range) -> float:
    """Squared error by cutting values off, over their mean square."""
    histogram = statistics.histogram
    if histogram is None or not statistics.seen:
        return 0.0
    centres, counts = histogram.centres(), histogram.counts
    cut = centres - np.clip(centres, min(span[0], 0.0), max(span[1], 0.0))
    return float((cut**2 * counts).sum() / max((centres**2 * counts).sum(), 1e-300))


def _collapse_note(method: str, names: Collection[str], scores: Mapping[str, float], best: str) -> str:
    cause = f"by the range of tensor {next(iter(names))!r}" if names else "by no single tensor's range"
    return (
        f"calibration {method!r} ruins the model: loss {scores[method]:.4g}, {scores[best]:.4g} with {best!r}; "
        f"it does so {cause}"
    )
