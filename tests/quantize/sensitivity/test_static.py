"""Sensitivities and budgets of static int8 models: a layer planted to be ruinous is found and kept in float."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import pytest
from scipy.stats import spearmanr

from edgebig.data.samples import Samples, open_samples
from edgebig.errors import InvalidDataError, QualityGateError
from edgebig.evaluate import Task
from edgebig.evaluate.output_loss import OutputLoss
from edgebig.evaluate.task_loss import TaskLoss
from edgebig.graph.interface import input_specs
from edgebig.graph.partial_run import PartialRun
from edgebig.metrics.top1 import top1
from edgebig.metrics.value import MetricValue
from edgebig.quantize.engine import StaticChoice, StaticEngine
from edgebig.quantize.prepare import prepare
from edgebig.quantize.sensitivity import layer_costs, layer_sensitivities, meet_budget
from edgebig.quantize.weight_bits import weight_rule
from edgebig.targets import targets
from tests.quantize.build import build, normal

WIDTH = 48
LAYERS = 10


def residual_net(*, ruinous: int | None) -> ir.Model:
    """Residual blocks x + Relu(x W) V; in one of them the numbers at input 0, which is always 0, are huge."""
    lines, arrays, value = [], {}, "x"
    for index in range(0, LAYERS, 2):
        spread = 0.3 * (1 + index) / WIDTH**0.5
        first, second = normal(WIDTH, WIDTH, scale=spread, seed=index), normal(WIDTH, WIDTH, scale=0.15, seed=index + 1)
        second[:, 0] = 0  # nothing is ever added to entry 0 of the residual stream
        if index == ruinous:
            first[0] = 3000.0
        arrays |= {f"w{index}": first, f"w{index + 1}": second}
        lines.append(
            f"a{index} = MatMul({value}, w{index}) b{index} = Relu(a{index}) "
            f"c{index} = MatMul(b{index}, w{index + 1}) r{index} = Add(c{index}, {value})"
        )
        value = f"r{index}"
    arrays["wo"] = normal(WIDTH, 10, scale=0.3, seed=99)
    text = f"g (float[N, {WIDTH}] x) => (float[N, 10] y) {{ {' '.join(lines)} y = MatMul({value}, wo) }}"
    return build(text, **arrays)


@dataclass
class Case:
    """A net, its engine and its samples."""

    model: ir.Model
    engine: StaticEngine
    samples: Samples
    layers: list[str]
    write: Callable[..., ir.Model]

    def sensitivities(self, passes: float = 100.0):
        run = PartialRun(self.engine.prepared.model, self.samples, threads=1)
        return layer_sensitivities(run, lambda layer: self.write(only=frozenset([layer])), self.layers, passes=passes)

    def budget(self, judge, max_loss: float):
        costs = layer_costs(self.engine.plan.nodes)
        write = lambda excluded: self.write(excluded=excluded)  # noqa: E731
        return meet_budget(write, self.layers, self.sensitivities, judge, max_loss, costs=costs)


def case(*, ruinous: int | None = 4, feeds: int = 16) -> Case:
    model = residual_net(ruinous=ruinous)
    x = normal(feeds * 4, WIDTH, seed=7)
    x[:, 0] = 0
    samples = open_samples({"x": x}, input_specs(model), batch_size=4)
    target = targets.get("ort-cpu")()
    engine = StaticEngine(prepare(model, next(iter(samples)), target))
    engine.calibrate(samples, engine.bytes_per_sample, budget=1 << 30, threads=1)
    ranges, rule = engine.ranges("minmax"), weight_rule("8", target)[0]
    layers = [unit.node.name or "" for unit in engine.plan.placement.units if unit.weighted is not None]
    assert len(layers) == LAYERS + 1

    def write(**choice: frozenset[str]) -> ir.Model:
        return engine.write(StaticChoice(ranges=ranges, rule=rule, **choice)).model

    return Case(model, engine, samples, layers, write)


def layer_of(net: Case, weight: str) -> str:
    graph = net.engine.prepared.model.graph
    return next(node.name or "" for node in graph if weight in [value.name for value in node.inputs if value])


def full_damage(net: Case, layer: str) -> float:
    changed = net.write(only=frozenset([layer]))
    wrong = scale = 0.0
    for reference, outputs in OutputLoss(net.model, net.samples, threads=1).pairs(changed):
        wrong += float(np.square(reference["y"] - outputs["y"]).sum())
        scale += float(np.square(reference["y"]).sum())
    return (wrong / scale) ** 0.5


def test_the_ruinous_layer_is_found_first_and_the_damages_are_those_of_full_runs() -> None:
    net = case()
    rows, cost = net.sensitivities()
    worst = max(rows, key=lambda row: row.damage)
    assert worst.layer == layer_of(net, "w4")
    assert worst.damage > 5 * sorted(row.damage for row in rows)[-2]
    for row in rows:
        assert row.feeds == 16
        assert row.damage == pytest.approx(full_damage(net, row.layer), rel=1e-3)
    assert cost.passes_by_macs is not None and cost.passes_by_macs < 0.75 * len(rows)


@pytest.mark.parametrize("passes", [2.0, 3.0, 4.0])
def test_under_a_limit_of_passes_the_order_stays(passes: float) -> None:
    net = case(ruinous=None, feeds=32)
    exhaustive, _ = net.sensitivities()
    limited, cost = net.sensitivities(passes)
    assert cost.passes_by_macs is not None and cost.passes_by_macs <= passes + 1  # with the float model's own
    assert {row.feeds for row in limited} != {32}
    ranked = spearmanr([row.damage for row in exhaustive], [row.damage for row in limited]).statistic
    assert ranked > 0.85
    seen = {row.layer: row.feeds for row in limited}
    assert seen[max(limited, key=lambda row: row.damage).layer] == max(seen.values())


def test_the_budget_is_met_by_keeping_the_ruinous_layer_in_float() -> None:
    net = case()
    judge = OutputLoss(net.model, net.samples, loss="relative-error", threads=1)
    found = net.budget(judge, 0.1)
    assert found.excluded == {layer_of(net, "w4")}
    assert found.record.loss == judge.of(net.write(excluded=found.excluded)) <= 0.1
    assert found.record.loss_before is not None and found.record.loss_before > 0.3
    dequantized = {
        node.inputs[0].name
        for node in net.write(excluded=found.excluded).graph
        if node.op_type == "DequantizeLinear" and node.inputs[0] is not None and node.inputs[0].is_initializer()
    }
    assert dequantized >= {f"w{index}_quantized" for index in (*range(4), *range(5, LAYERS))}  # the others are int8


def test_budgets_that_cannot_be_met() -> None:
    net = case()
    judge = OutputLoss(net.model, net.samples, loss="relative-error", threads=1)
    for max_loss in (0.0, 1e-6):
        with pytest.raises(QualityGateError, match="cannot be met") as error:
            net.budget(judge, max_loss)
        assert layer_of(net, "w4") in str(error.value)


def _task(net: Case, metric) -> Task:
    feeds = list(net.samples)
    engine = OutputLoss(net.model, net.samples, threads=1)
    labels = np.concatenate([outputs["y"].argmax(-1) for outputs, _ in engine.pairs(net.model)])
    return Task("agree", feeds, labels, metric)


def _top1(outputs, labels) -> MetricValue:
    return top1(np.concatenate([feed["y"] for feed in outputs]), labels)


def test_a_task_as_the_judge() -> None:
    net = case()
    judge = TaskLoss(net.model, _task(net, _top1), threads=1)
    assert judge.loss == "drop of agree" and judge.of(net.model) == 0
    assert judge.of(net.write()) > 0.1
    found = net.budget(judge, 0.05)
    assert layer_of(net, "w4") in found.excluded and len(found.excluded) <= 3
    assert found.record.loss <= 0.05


def test_a_metric_where_lower_is_better_and_a_gain_is_no_loss() -> None:
    net = case()

    def error_of(outputs, labels) -> MetricValue:
        wrong = 1 - _top1(outputs, labels).value
        return MetricValue(name="error", value=wrong, n=len(labels), higher_is_better=False)

    judge = TaskLoss(net.model, _task(net, error_of), threads=1)
    assert judge.of(net.write()) > 0.1
    worse_reference = TaskLoss(net.write(), _task(net, error_of), threads=1)
    assert worse_reference.of(net.model) == 0


def test_a_task_without_a_score_for_the_float_model() -> None:
    net = case()
    metric = lambda outputs, labels: MetricValue(name="nan", value=float("nan"), n=1)  # noqa: E731
    with pytest.raises(InvalidDataError, match="itself has no finite score"):
        TaskLoss(net.model, _task(net, metric), threads=1)
