"""Meet a loss budget with as few layers in float as possible.

Layers are ordered by damage per cost. How many of the first of them must stay in float is found by judging whole
models: each loss tells how far the foreseen ones (squares of damages add up) are off, and the next trial goes where the
budget should be met. Last, layers that turn out to be
unneeded are given back. What is returned has been judged itself: the order decides what it costs, never whether the
budget is met.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from edgebig.errors import QualityGateError
from edgebig.quantize.sensitivity.costs import LayerCost, by_damage_per_cost, shares
from edgebig.quantize.sensitivity.trials import Judge, Trials, foreseen_losses
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
    known = {0: trials.losses[frozenset()]}
    while high - low > 1 and trials.left > (_GIVE_BACK if high < len(order) else 0):
        foreseen = foreseen_losses(order, known)
        guess = next((index for index in range(low + 1, high) if foreseen[index] <= max_loss * _MARGIN), high - 1)
        if trials.left == 1 and high == len(order):
            guess = high - 1  # the last chance to meet it at all
        elif len(known) > 2 and high - low > 4:
            # Foresight that was wrong twice does not creep up to the end: each step takes a quarter at least.
            guess = min(max(guess, low + (high - low) // 4), high - (high - low) // 4)
        known[guess] = trials.loss(_first(order, guess))
        low, high = (low, guess) if known[guess] <= max_loss else (guess, high)
    return high if high < len(order) else None


def _give_back(
    order: Sequence[LayerSensitivity], kept: int, trials: Trials, max_loss: float, costs: Mapping[str, LayerCost]
) -> frozenset[str]:
    """Take layers out of the first `kept` where the budget bears it, as long as models may be judged."""
    excluded = _first(order, kept)
    work, _ = shares([row.layer for row in order], costs)
    untried = sorted(order[:kept], key=lambda row: (work[row.layer], -row.damage), reverse=True)
    while untried and trials.left > 0:
        # What the budget is foreseen to bear, the dearest first; where that is nothing, what bought the least.
        left = sum(row.damage**2 for row in order if row.layer not in excluded)
        loss = trials.losses[excluded]
        room = left * ((max_loss / loss) ** 2 - 1) if loss > 0 else 0.0
        rows = _fitting(untried, room) or [min(untried, key=lambda row: row.damage)]
        smaller = excluded - {row.layer for row in rows}
        if smaller and trials.loss(smaller) <= max_loss:
            excluded = smaller
            untried = [row for row in untried if row not in rows]
        else:
            untried.remove(max(rows, key=lambda row: row.damage))
    return excluded


def _fitting(rows: Sequence[LayerSensitivity], room: float) -> list[LayerSensitivity]:
    """The first rows whose squared damages fit into a room together, those that do not fit left out."""
    chosen = []
    for row in rows:
        if row.damage**2 <= room:
            chosen.append(row)
            room -= row.damage**2
    return chosen


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
