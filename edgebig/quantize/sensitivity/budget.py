"""Meet a loss budget with as few layers in float as possible.

Layers are ordered by damage per cost. How many of the first of them must stay in float is found by judging whole
models: each loss tells how far the foreseen ones (squares of damages add up) are off, the next trial goes where the
budget should be met, and bisection steps in where that does not narrow the choice. Last, layers that turn out to be
unneeded are given back. What is returned has been judged itself: the order decides what it costs, never whether the
budget is met.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from edgebig.errors import QualityGateError
from edgebig.quantize.sensitivity.costs import LayerCost, by_damage_per_cost, shares
from edgebig.quantize.sensitivity.trials import Judge, Trials, bearable_damage, foreseen_losses
from edgebig.records.sensitivity import BudgetRecord, BudgetRow, LayerSensitivity, SensitivityCost

Measured = tuple[Sequence[LayerSensitivity], SensitivityCost | None]
DEFAULT_EVALUATIONS = 8
# Evaluations that are left for giving layers back.
_GIVE_BACK = 2
# Foreseen losses are held against this part of the budget.
_MARGIN = 0.9
_SHOWN = 3


@dataclass(frozen=True)
class Budget:
    """A choice of layers that meets a budget.

    Attributes:
        excluded: Names of the layers to keep in float.
        record: How it was found and what it costs.
    """

    excluded: frozenset[str]
    record: BudgetRecord


def meet_budget(
    write: Callable[[frozenset[str]], ir.Model],
    layers: Sequence[str],
    sensitivities: Callable[[], Measured],
    judge: Judge,
    max_loss: float,
    *,
    costs: Mapping[str, LayerCost],
    evaluations: int = DEFAULT_EVALUATIONS,
) -> Budget:
    """Find the layers to keep in float.

    Args:
        write: Writes the model with the named layers in float and all others changed (in whatever scheme).
        layers: The names of all layers that can be kept.
        sensitivities: Measures the damage of each layer alone; it is asked only where the budget is missed with no
            layer in float.
        judge: Gives the loss of a model.
        max_loss: The budget.
        costs: What each layer costs in float.
        evaluations: How many models may be judged, at least 2.

    Raises:
        QualityGateError: No choice that was tried meets the budget with at least one layer changed.
    """
    trials = Trials(write, judge, max(evaluations, 2))
    before = trials.loss(frozenset())
    if before <= max_loss:
        return Budget(frozenset(), _record(trials, max_loss, _unmeasured(layers), frozenset(), costs, None))
    measured, cost = sensitivities()
    order = by_damage_per_cost(measured, costs)
    kept = _fewest(order, trials, max_loss)
    if kept is None:
        raise QualityGateError(_missed(order, trials, max_loss))
    excluded = _give_back(order, kept, trials, max_loss, costs)
    return Budget(excluded, _record(trials, max_loss, order, excluded, costs, cost))


def _fewest(order: Sequence[LayerSensitivity], trials: Trials, max_loss: float) -> int | None:
    """How many of the first layers must stay in float; None where all but the last do not suffice."""
    low, high = 0, len(order)  # `low` is known to miss; with all in float nothing would be quantized
    known = 0
    while high - low > 1 and trials.left > (_GIVE_BACK if high < len(order) else 0):
        loss = trials.losses[_first(order, known)]
        foreseen = foreseen_losses(order, known, loss)
        guess = next((index for index in range(low + 1, high) if foreseen[index] <= max_loss * _MARGIN), high - 1)
        if trials.left == 1 and high == len(order):
            guess = high - 1  # the last chance to meet it at all
        elif known and abs(guess - known) <= 1 and high - low > 4:
            guess = (low + high) // 2
        known = guess
        if trials.loss(_first(order, guess)) <= max_loss:
            high = guess
        else:
            low = guess
    return high if high < len(order) else None


def _give_back(
    order: Sequence[LayerSensitivity], kept: int, trials: Trials, max_loss: float, costs: Mapping[str, LayerCost]
) -> frozenset[str]:
    """Take layers out of the first `kept` where the budget bears it, as long as models may be judged."""
    excluded = _first(order, kept)
    losses = (trials.losses[frozenset()], trials.losses[excluded])
    room = bearable_damage(order, kept, losses, max_loss)
    work, _ = shares([row.layer for row in order], costs)
    bearable: list[LayerSensitivity] = []
    for row in sorted(order[:kept], key=lambda row: (work[row.layer], -row.damage), reverse=True):
        if row.damage**2 <= room:
            bearable.append(row)
            room -= row.damage**2
    # Together, then one by one, from those that bought least: foresight may be wrong in both directions.
    tries = [bearable, *([row] for row in reversed(order[:kept]))]
    for rows in tries:
        smaller = excluded - {row.layer for row in rows}
        if not smaller or smaller == excluded or smaller in trials.losses:
            continue
        if trials.left == 0:
            break
        if trials.loss(smaller) <= max_loss:
            excluded = smaller
    return excluded


def _first(order: Sequence[LayerSensitivity], count: int) -> frozenset[str]:
    return frozenset(row.layer for row in order[:count])


def _unmeasured(layers: Sequence[str]) -> list[LayerSensitivity]:
    return [LayerSensitivity(layer=layer, damage=0.0, feeds=0, reach=0.0) for layer in layers]


def _record(
    trials: Trials,
    max_loss: float,
    order: Sequence[LayerSensitivity],
    excluded: frozenset[str],
    costs: Mapping[str, LayerCost],
    cost: SensitivityCost | None,
) -> BudgetRecord:
    work, weights = shares([row.layer for row in order], costs)
    rows = tuple(
        BudgetRow(
            layer=row.layer,
            damage=_finite(row.damage) if row.feeds else None,
            feeds=row.feeds,
            kept_float=row.layer in excluded,
            macs_share=work[row.layer],
            weight_share=weights[row.layer],
            loss_after=_finite(trials.losses.get(_first(order, index + 1))),
        )
        for index, row in enumerate(order)
    )
    return BudgetRecord(
        loss_name=trials.judge.loss,
        max_loss=max_loss,
        loss_before=_finite(trials.losses[frozenset()]),
        loss=trials.losses[excluded],
        evaluations=len(trials.losses),
        rows=rows,
        sensitivity=cost,
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _missed(order: Sequence[LayerSensitivity], trials: Trials, max_loss: float) -> str:
    best, loss = min(trials.losses.items(), key=lambda entry: entry[1])
    worst = sorted(order, key=lambda row: row.damage, reverse=True)[:_SHOWN]
    named = ", ".join(f"{row.layer!r} ({row.damage:.3g})" for row in worst)
    return (
        f"the loss budget cannot be met: {trials.judge.loss} is {loss:.6g} at best, with {len(best)} of {len(order)} "
        f"layers in float, allowed is {max_loss:g}. Most damaging alone (relative error of the outputs): {named}. "
        f"Allow more loss, use a scheme with more bits, or give samples that are more like the real ones."
    )
