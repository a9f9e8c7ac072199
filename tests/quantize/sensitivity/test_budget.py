"""The search for layers to keep in float, on losses that are known in full."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.errors import QualityGateError
from edgebig.quantize.sensitivity import LayerCost, meet_budget
from edgebig.quantize.sensitivity.budget import Budget
from edgebig.records.sensitivity import LayerSensitivity


class KnownLoss:
    """The root of the sum of squared damages of the layers that are not in float; models are sets of names."""

    loss = "relative-error"

    def __init__(self, damages: Mapping[str, float]) -> None:
        self.damages = damages
        self.judged: list[frozenset[str]] = []

    def of(self, model: Any) -> float:
        self.judged.append(model)
        return math.sqrt(sum(damage**2 for name, damage in self.damages.items() if name not in model))


def search(
    damages: Mapping[str, float], max_loss: float, *, work: Mapping[str, float] | None = None, evaluations: int = 8
) -> tuple[Budget, KnownLoss]:
    judge = KnownLoss(damages)
    rows = [LayerSensitivity(layer=name, damage=damage, feeds=4, reach=0.5) for name, damage in damages.items()]
    costs = {name: LayerCost((work or {}).get(name, 1.0), 1) for name in damages}
    found = meet_budget(
        lambda excluded: excluded,  # type: ignore[arg-type, return-value]
        list(damages),
        lambda: (rows, None),
        judge,
        max_loss,
        costs=costs,
        evaluations=evaluations,
    )
    return found, judge


def test_one_ruinous_layer_is_kept_in_float_and_nothing_else() -> None:
    damages = {f"layer{index}": 0.01 for index in range(40)} | {"layer17": 5.0}
    found, judge = search(damages, 0.1)
    assert found.excluded == {"layer17"}
    assert found.record.float_layers == ("layer17",)
    assert found.record.rows[0].layer == "layer17" and found.record.rows[0].kept_float
    assert found.record.rows[0].loss_after == pytest.approx(0.01 * math.sqrt(39))
    assert found.record.loss == found.record.rows[0].loss_after
    assert found.record.loss_before == pytest.approx(5.0, rel=1e-3)
    assert found.record.evaluations == len(judge.judged) == 2
    assert sum(row.macs_share for row in found.record.rows) == pytest.approx(1)


def test_a_budget_met_at_once_measures_nothing() -> None:
    judge = KnownLoss({"a": 0.1, "b": 0.2})

    def never() -> Any:
        raise AssertionError("sensitivities are not needed")

    found = meet_budget(lambda names: names, ["a", "b"], never, judge, 0.5, costs={})  # type: ignore[arg-type, return-value]
    assert found.excluded == frozenset() and found.record.evaluations == 1
    assert [(row.layer, row.damage, row.kept_float) for row in found.record.rows] == [
        ("a", None, False),
        ("b", None, False),
    ]


def test_a_budget_that_nothing_meets_names_the_best_and_the_worst() -> None:
    damages = {"a": 0.3, "b": 0.2, "c": 0.1, "d": 0.25}
    with pytest.raises(QualityGateError) as error:
        search(damages, 0.05)
    assert error.value.exit_code == 3
    text = str(error.value)
    assert "relative-error is 0.1 at best, with 3 of 4 layers in float, allowed is 0.05" in text
    assert "'a' (0.3), 'd' (0.25), 'b' (0.2)" in text


def test_a_budget_of_zero_keeps_all_that_do_damage() -> None:
    found, _ = search({"a": 0.3, "b": 0.0, "c": 0.1, "d": 0.0}, 0.0)
    assert found.excluded == {"a", "c"} and found.record.loss == 0
    with pytest.raises(QualityGateError, match="cannot be met"):
        search({"a": 0.3, "b": 0.1}, 0.0)


def test_a_layer_that_breaks_the_outputs_is_kept_first() -> None:
    found, _ = search({"a": 0.01, "b": math.inf, "c": 0.02}, 0.1)
    assert found.excluded == {"b"}
    assert found.record.rows[0].damage is None and found.record.loss_before is None


def test_of_equal_damage_the_cheap_layer_is_kept() -> None:
    found, _ = search({"dear": 0.1, "cheap": 0.1}, 0.11, work={"dear": 100.0, "cheap": 1.0})
    assert found.excluded == {"cheap"}


def test_a_dear_layer_is_given_back_where_the_budget_bears_it() -> None:
    # By damage per cost "dear" comes before "large"; with "large" in float it is not needed.
    damages = {"dear": 0.2, "large": 1.0, "rest": 0.05}
    found, _ = search(damages, 0.25, work={"dear": 3.0, "large": 100.0, "rest": 1.0})
    assert found.excluded == {"large"}


@settings(max_examples=60, deadline=None)
@given(
    damages=st.lists(st.floats(1e-4, 1.0), min_size=2, max_size=40),
    work=st.lists(st.floats(0.1, 10.0), min_size=40, max_size=40),
    share=st.floats(0.02, 0.99),
)
def test_the_budget_is_met_within_the_evaluations(damages: list[float], work: list[float], share: float) -> None:
    named = {f"layer{index}": damage for index, damage in enumerate(damages)}
    whole = math.sqrt(sum(damage**2 for damage in damages))
    try:
        found, judge = search(named, share * whole, work=dict(zip(named, work, strict=False)))
    except QualityGateError:
        assert share * whole < max(damages)  # some single layer alone exceeds the budget
        return
    assert found.record.loss == judge.of(found.excluded) <= share * whole
    assert found.record.evaluations <= 8
    assert 0 < len(found.excluded) < len(damages)
    # Where damages add up as foreseen, hardly more is kept than the first layers that suffice, with the margin.
    order = [row.layer for row in found.record.rows]
    enough = next(i for i in range(len(order) + 1) if judge.of(frozenset(order[:i])) <= 0.9 * share * whole)
    assert len(found.excluded) <= max(enough, 1)


def test_losses_that_do_not_add_up_are_met_all_the_same() -> None:
    """Damage that shows only where two layers come together: bisection finds what foresight does not."""

    class Joint(KnownLoss):
        def of(self, model: Any) -> float:
            return super().of(model) + (3.0 if not {"layer3", "layer4"} & model else 0.0)

    damages = {f"layer{index}": 0.01 * (index + 1) for index in range(20)}
    judge = Joint(damages)
    rows = [LayerSensitivity(layer=name, damage=damage, feeds=4, reach=0.5) for name, damage in damages.items()]
    found = meet_budget(lambda names: names, list(damages), lambda: (rows, None), judge, 1.0, costs={})  # type: ignore[arg-type, return-value]
    assert found.record.loss <= 1.0 and "layer4" in found.excluded
    assert len(judge.judged) <= 8
