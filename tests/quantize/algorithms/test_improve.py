"""All algorithms together: each reported with its losses, kept where better, and never a worse model than without."""

import dataclasses

import numpy as np
import onnx_ir as ir
import pytest

from edgebig.data.samples import open_samples
from edgebig.errors import UsageError
from edgebig.evaluate.output_loss import OutputLoss
from edgebig.graph.interface import input_specs
from edgebig.quantize.algorithms.improve import WORSE, Improved, Setting, improve
from edgebig.quantize.algorithms.output_error import output_error
from edgebig.quantize.algorithms.presets import EFFORTS, Switches, Use, switches_for
from edgebig.quantize.engine import StaticChoice, StaticEngine
from edgebig.quantize.formats.qdq import WeightRule
from edgebig.quantize.prepare import prepare
from edgebig.targets import targets
from tests.quantize.build import build, normal

RULE = WeightRule(8, pair_sums=True)
TEXT = """g (float[N, 8, 6, 6] x) => (float[N, 10] z) {
    a = Conv(x, v, va) r = Relu(a) d = Conv<group = 16, pads = [1, 1, 1, 1]>(r, w, wa) s = Relu(d)
    c = Conv<pads = [1, 1, 1, 1]>(s, u, ua) t = Relu(c) p = GlobalAveragePool(t) f = Flatten(p)
    z = Gemm<transB = 1>(f, h, ha) }"""


def net() -> ir.Model:
    spread = np.geomspace(0.05, 5, 16).astype(np.float32)
    return build(
        TEXT,
        v=normal(16, 8, 1, 1) * spread.reshape(-1, 1, 1, 1),
        va=normal(16, seed=1) * spread,
        w=normal(16, 1, 3, 3, seed=2, scale=0.3),
        wa=normal(16, seed=3) * spread,
        u=normal(12, 16, 3, 3, seed=4, scale=0.1) / spread.reshape(1, -1, 1, 1),
        ua=normal(12, seed=5),
        h=normal(10, 12, seed=6),
        ha=normal(10, seed=7),
    )


def images(count: int, seed: int) -> dict[str, np.ndarray]:
    mixed = normal(count, 8, 6, 6, seed=seed) + 2 * normal(count, 1, 6, 6, seed=seed + 1)
    return {"x": mixed.astype(np.float32)}


def improved(switches: Switches) -> Improved:
    model = net()
    observed = open_samples(images(96, 10), input_specs(model))
    engine = StaticEngine(prepare(model, next(iter(observed)), targets.get("ort-cpu")()))
    engine.calibrate(observed, engine.bytes_per_sample, budget=1 << 30, threads=1)
    judge = OutputLoss(model, open_samples(images(64, 20), input_specs(model)), threads=1)
    setting = Setting(
        observed=observed,
        judge=lambda changed: output_error(judge, changed),
        ranges=lambda other: other.ranges("minmax"),
        threads=1,
    )
    return improve(engine, StaticChoice(ranges=engine.ranges("minmax"), rule=RULE), setting, switches)


def test_default_effort_is_several_times_better_and_says_what_each_step_brought() -> None:
    fast, default = improved(switches_for("fast")), improved(switches_for("default"))
    assert fast.reports == ()
    assert [row.algorithm for row in default.reports] == [
        "equalize",
        "smooth-quant",
        "weight-mse",
        "bias-correction",
        "gptq",
    ]
    assert default.loss < 0.4 * fast.loss
    kept = [row for row in default.reports if row.kept]
    assert {"equalize", "gptq"} <= {row.algorithm for row in kept}
    loss = fast.loss
    for row in kept:
        assert row.loss_before == pytest.approx(loss)
        assert row.loss_after is not None and row.loss_after <= loss
        loss = row.loss_after
    assert default.loss == pytest.approx(loss)


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Switches)])
def test_each_algorithm_has_a_switch_of_its_own(name: str) -> None:
    switches = dataclasses.replace(Switches(), **{name: Use.WHERE_BETTER})
    found = improved(switches)
    assert [row.algorithm.replace("-", "_") for row in found.reports] == [name]
    assert found.loss <= improved(Switches()).loss


def test_what_hurts_is_dropped_unless_the_user_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong_means(engine: StaticEngine) -> dict[str, np.ndarray]:
        units = [unit for unit in engine.plan.candidates.units if unit.bias is not None]
        return {unit.node.name or "": engine.statistics[unit.inputs[0].name or ""].means + 50.0 for unit in units}

    monkeypatch.setattr(StaticEngine, "means", wrong_means)
    guarded = improved(Switches(bias_correction=Use.WHERE_BETTER))
    forced = improved(Switches(bias_correction=Use.ALWAYS))
    assert not guarded.reports[0].kept
    assert guarded.reports[0].reason == WORSE
    assert guarded.choice.means == {}
    assert forced.reports[0].kept
    assert forced.loss > 2 * guarded.loss
    assert forced.loss == pytest.approx(guarded.reports[0].loss_after or 0)


def test_presets_and_the_user() -> None:
    assert switches_for("fast") == Switches()
    assert switches_for("default", {"gptq": None}) == EFFORTS["default"]
    asked = switches_for("default", {"gptq": False, "equalize": True})
    assert (asked.gptq, asked.equalize, asked.weight_mse) == (Use.NEVER, Use.ALWAYS, Use.WHERE_BETTER)
    with pytest.raises(UsageError, match="fast, default, max"):
        switches_for("most")
    with pytest.raises(UsageError, match="smooth_quant"):
        switches_for("fast", {"smoothquant": True})
