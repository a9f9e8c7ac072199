"""Pruning in the graph's order: each layer against its own samples, biases, residual sums, shared weights, dtypes."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edgebig.data.samples import open_samples
from edgebig.errors import QualityGateError
from edgebig.graph.edit import working_copy
from edgebig.graph.interface import input_specs
from edgebig.graph.session import Session
from edgebig.prune import prune_model
from edgebig.prune.collect import observe, passes
from edgebig.prune.goals import Goals
from edgebig.prune.layers import find_layers
from edgebig.prune.least_squares import error
from edgebig.prune.methods import methods
from edgebig.prune.patterns import patterns
from edgebig.prune.rewrite import cast
from edgebig.prune.sequential import prune_in_order
from edgebig.prune.setting import Setting
from edgebig.records.prune import PruneOptions
from tests.prune.graphs import ENCODER, RESIDUAL, build, images, sentences


def goals_of(model: ir.Model, data: dict, budget: int = 1 << 28) -> Goals:
    samples = open_samples(data, input_specs(model))
    assert samples.feeds is not None
    return Goals(model, find_layers(model), samples, feeds=samples.feeds, seed=0, threads=1, budget=budget)


def setting_of(goals: Goals, *, compensate: bool = True, pattern: str = "block16x4") -> Setting:
    return Setting(patterns.get(pattern), methods.get("obs"), goals, 0.0, "weights", compensate)


def outputs(model: ir.Model, data: dict, name: str = "y") -> np.ndarray:
    with Session(model, threads=1) as session:
        return session.run(data)[name]


@pytest.mark.parametrize(("text", "data"), [(RESIDUAL, images()), (ENCODER, sentences())])
@pytest.mark.parametrize("pattern", patterns.names())
def test_fitted_layers_err_less_than_zeroed_ones_on_their_samples(text: str, data: dict, pattern: str) -> None:
    model = working_copy(build(text))
    layers = find_layers(model)
    wishes = {layer.index: 0.5 * int(np.prod(layer.shape)) for layer in layers[1:-1]}
    goals = goals_of(model, data)
    pruned, done = prune_in_order(model, layers, wishes, frozenset(), setting_of(goals, pattern=pattern), floor=0.0)
    assert set(done) == {layer.index for layer in layers[1:]}, "the last layer is refitted, the first has no need to"
    for layer in layers[1:-1]:
        # What the layer reads in the pruned model, and what it should give: the problem it was fitted to.
        problem = observe(pruned, [layer], goals, description="")[0].problem()
        weight = pruned.graph.initializers[layer.weighted.weight.name or ""].const_value
        assert weight is not None
        fitted = layer.weighted.to_matrix(weight.numpy()).astype(np.float64)
        zeroed = layer.weighted.to_matrix(layer.weighted.array()) * (fitted != 0)
        if layer.sites[0].total is None:
            assert error(problem, fitted) <= error(problem, zeroed) * (1 + 1e-4)
        assert (fitted == 0).mean() == pytest.approx(0.5, abs=64 / fitted.size)
        assert done[layer.index].zeros == (fitted == 0).sum()


def test_biases_keep_the_mean_of_every_layer() -> None:
    model = working_copy(build(RESIDUAL))
    layers = find_layers(model)
    goals = goals_of(model, images())
    pruned, _ = prune_in_order(
        model, layers, {layers[1].index: 2000.0}, frozenset({2, 3, 4}), setting_of(goals), floor=0.0
    )
    (node,) = [node for node in pruned.graph if node.outputs[0].name == "c"]
    assert len(node.inputs) == 3, "a convolution without a bias got one"
    observed = observe(pruned, [layers[1]], goals, description="")[0]
    weight = pruned.graph.initializers["w1"].const_value
    bias = node.inputs[2].const_value if node.inputs[2] is not None else None
    assert weight is not None
    assert bias is not None
    wanted = observed.biases(layers[1].weighted.to_matrix(weight.numpy()).astype(np.float64))["c"]
    np.testing.assert_allclose(bias.numpy(), wanted, atol=1e-5)


def test_without_compensation_kept_weights_stay() -> None:
    model = working_copy(build(RESIDUAL))
    layers = find_layers(model)
    goals = goals_of(model, images())
    pruned, _ = prune_in_order(
        model, layers, {1: 2000.0, 2: 4000.0}, frozenset(), setting_of(goals, compensate=False), floor=0.0
    )
    for name, value in model.graph.initializers.items():
        before, after = value.const_value, pruned.graph.initializers[name].const_value
        assert before is not None
        assert after is not None
        kept = after.numpy() != 0
        assert (after.numpy()[kept] == before.numpy()[kept]).all()
        assert kept.all() == (name not in ("w1", "w3"))


def test_untouched_layers_stay_to_the_bit() -> None:
    model = build(RESIDUAL)
    pruned, record = prune_model(
        model, data=images(), options=PruneOptions(sparsity=0.5, exclude=("w3", "w4"), threads=1)
    )
    reasons = {layer.name: layer.reason for layer in record.layers}
    assert list(reasons.values()).count("excluded by name") == 2
    for name in ("w0", "w3", "w4", "b4"):
        before, after = model.graph.initializers[name].const_value, pruned.graph.initializers[name].const_value
        assert before is not None
        assert after is not None
        assert (before.numpy() == after.numpy()).all()


def test_a_shared_weight_is_pruned_once_and_gets_its_own_biases() -> None:
    text = """
    net (float[n, 16] x, float[16, 32] w0, float[32, 32] w, float[32] b, float[32, 4] w3) => (float[n, 4] y) {
        a = MatMul (x, w0)
        c = Gemm (a, w, b)
        d = Relu (c)
        e = Gemm (d, w, b)
        y = MatMul (e, w3)
    }
    """
    model = build(text)
    data = {"x": np.random.default_rng(0).normal(size=(256, 16)).astype(np.float32)}
    pruned, record = prune_model(model, data=data, options=PruneOptions(sparsity=0.5, threads=1))
    assert [layer.weights for layer in record.layers] == [512, 1024, 128]
    first, second = (node for node in pruned.graph if node.op_type == "Gemm")
    assert first.inputs[1] is second.inputs[1]
    assert first.inputs[2] is not second.inputs[2]
    weight = pruned.graph.initializers["w"].const_value
    assert weight is not None
    assert (weight.numpy() == 0).sum() == record.layers[1].zeros == 512
    assert "b" not in pruned.graph.initializers, "a bias that nobody reads any more is left in the file"


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_precisions(dtype: type) -> None:
    name = {np.float16: "float16", np.float64: "double"}[dtype]
    model = build(ENCODER.replace("float[", f"{name}["), dtype=dtype)
    pruned, record = prune_model(model, data=sentences(), options=PruneOptions(sparsity=0.4, threads=1))
    assert record.sparsity == pytest.approx(0.4, abs=0.02)
    assert outputs(pruned, sentences(8)).dtype == dtype
    for value in pruned.graph.initializers.values():
        assert value.const_value is not None
        assert value.const_value.numpy().dtype == dtype


def test_float16_weights_saturate() -> None:
    assert list(cast(np.array([1e6, -1e6, 1.0]), np.dtype(np.float16))) == [65504.0, -65504.0, 1.0]


def test_goals_are_the_same_whatever_fits_into_memory() -> None:
    model = working_copy(build(RESIDUAL))
    layers = find_layers(model)
    found = []
    for budget in (1 << 28, 1):
        goals = goals_of(model, images(), budget)
        pruned, _ = prune_in_order(model, layers, {1: 2000.0, 2: 5000.0}, frozenset(), setting_of(goals), floor=0.0)
        found.append(outputs(pruned, images(16)))
    # onnxruntime fuses a little differently around other outputs, so the targets differ in the last digits.
    np.testing.assert_allclose(found[0], found[1], rtol=1e-3, atol=1e-3)


def test_passes_stay_within_their_memory() -> None:
    layers = find_layers(build(RESIDUAL))
    assert [len(part) for part in passes(layers, budget=1)] == [1] * 5
    assert [len(part) for part in passes(layers)] == [5]


def test_fewer_samples_than_inputs() -> None:
    data = images(8)
    pruned, record = prune_model(build(RESIDUAL), data=data, options=PruneOptions(sparsity=0.5, threads=1))
    assert np.isfinite(outputs(pruned, images(8, seed=5))).all()
    assert any("one feed only" in warning for warning in record.warnings)
    encoder = prune_model(build(ENCODER), data=sentences(4, 3), options=PruneOptions(sparsity=0.5, threads=1))
    assert any("fewer positions than inputs" in warning for warning in encoder[1].warnings)


def test_samples_of_a_function_that_yields_few(tmp_path: Path) -> None:
    (tmp_path / "feeds.py").write_text(
        "from tests.prune.graphs import images\n"
        "def two():\n    yield images(40)\n    yield images(40, seed=2)\n"
        "def one():\n    yield images(40)\n"
    )
    for name, warned in (("two", False), ("one", True)):
        options = PruneOptions(sparsity=0.5, threads=1)
        _, record = prune_model(build(RESIDUAL), data=f"{tmp_path / 'feeds.py'}:{name}", options=options)
        assert record.held_out == 40
        assert any("one feed only" in warning for warning in record.warnings) == warned


def test_dead_channels_and_constant_samples() -> None:
    model = build(RESIDUAL)
    for name in ("w0", "b0"):
        value = model.graph.initializers[name]
        assert value.const_value is not None
        array = value.const_value.numpy().copy()
        array[:8] = 0 if name == "w0" else -1  # behind the Relu these channels are always zero
        value.const_value = ir.tensor(array, name=name)
    for data in (images(), {"x": np.ones((64, 8, 6, 6), np.float32)}):
        pruned, record = prune_model(model, data=data, options=PruneOptions(sparsity=0.5, threads=1))
        assert record.sparsity == pytest.approx(0.5, abs=0.01)
        assert np.isfinite(outputs(pruned, images(8))).all()


def test_activations_that_overflow_leave_their_layer_alone() -> None:
    text = """
    net (float[n, 16] x, float[16, 16] w0, float[16, 32] w1, float[16, 32] w2, float[32, 8] w3) => (float[n, 8] y) {
        a = MatMul (x, w0)
        big = Constant <value = float {1e38}> ()
        b = Mul (a, big)
        c = Mul (b, big)
        d = MatMul (c, w1)
        e = MatMul (a, w2)
        bad = IsNaN (d)
        worse = IsInf (d)
        either = Or (bad, worse)
        f = Where (either, e, e)
        y = MatMul (f, w3)
    }
    """
    data = {"x": np.random.default_rng(0).normal(size=(128, 16)).astype(np.float32)}
    _, record = prune_model(build(text), data=data, options=PruneOptions(sparsity=0.5, threads=1))
    assert "not finite" in record.layers[1].reason
    assert record.layers[2].sparsity == pytest.approx(0.5, abs=0.13)


def test_a_result_that_is_not_finite_misses_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgebig.prune.judge.OutputJudge.of", lambda self, model: None)
    with pytest.raises(QualityGateError, match="not finite"):
        prune_model(build(RESIDUAL), data=images(), options=PruneOptions(sparsity=0.5, threads=1))
