"""The whole clean-up: what is kept, what is left out when a pass is wrong, and what the record says."""

import numpy as np
import onnx_ir as ir
import pytest

from edgebig.errors import InvalidDataError, InvalidModelError, QualityGateError, UsageError
from edgebig.evaluate.proof import Proof, Verdict
from edgebig.graph.load import load_model
from edgebig.graph.provenance import read_provenance
from edgebig.graph.save import save_model
from edgebig.graph.session import Session
from edgebig.optimize import optimize_model
from edgebig.optimize import trial as trial_module
from edgebig.passes.base import Pass, PassResult
from edgebig.records.optimize import OptimizeOptions, OptimizeRecord

BN = "BatchNormalization(c, gamma, beta, mean, var)"


def floats(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def statistics(rng: np.random.Generator, channels: int) -> dict[str, np.ndarray]:
    names = ("gamma", "beta", "mean", "var")
    return {name: rng.uniform(0.5, 2.0, channels).astype(np.float32) for name in names}


@pytest.fixture
def convnet(build, rng):
    text = f"""g (float[N, 3, 8, 8] x) => (float[N, 4, 6, 6] y) {{
        i = Identity(x) c = Conv(i, w) n = {BN} z = Add(n, zero) y = Relu(z) }}"""
    return build(text, w=floats(rng, 4, 3, 3, 3), zero=np.float32(0), **statistics(rng, 4))


def test_everything_that_is_not_needed_goes(convnet) -> None:
    result, record = optimize_model(convnet)
    assert [node.op_type for node in result.graph] == ["Conv", "Relu"]
    assert record.nodes_before == {"Identity": 1, "Conv": 1, "BatchNormalization": 1, "Add": 1, "Relu": 1}
    assert record.nodes_after == {"Conv": 1, "Relu": 1}
    assert record.data == "random"
    assert record.feeds == 4
    assert record.feed_shapes == ("x: float32 [2, 3, 8, 8]", "x: float32 [1, 3, 8, 8]")
    assert 0 < record.worst_error < 1e-6
    assert record.left_out == {}
    by_name = {report.name: report.counts for report in record.passes}
    assert by_name["FoldAffineAfter"] == {"BatchNormalization into Conv": 1}
    assert by_name["EliminateNoops"] == {"Add": 1}


def test_the_original_stays_as_it_was(convnet, rng) -> None:
    before = [(node.op_type, node.name) for node in convnet.graph]
    weights = convnet.graph.initializers["w"].const_value.numpy().copy()
    optimize_model(convnet)
    assert [(node.op_type, node.name) for node in convnet.graph] == before
    np.testing.assert_array_equal(convnet.graph.initializers["w"].const_value.numpy(), weights)


def test_twice_changes_nothing_more(convnet) -> None:
    once, _ = optimize_model(convnet)
    twice, record = optimize_model(once)
    assert [node.op_type for node in twice.graph] == ["Conv", "Relu"]
    assert [report for report in record.passes if report.counts] == []
    assert record.worst_error == 0.0
    assert [step.step for step in read_provenance(twice)] == ["optimize", "optimize"]


def test_samples_are_used_where_given(convnet, rng) -> None:
    _, record = optimize_model(convnet, data={"x": floats(rng, 40, 3, 8, 8)})
    assert record.data == "samples"
    assert record.feeds == 2
    assert record.feed_shapes == ("x: float32 [32, 3, 8, 8]", "x: float32 [8, 3, 8, 8]")


def test_samples_that_do_not_fit_are_refused(convnet, rng) -> None:
    with pytest.raises(InvalidDataError, match="float64"):
        optimize_model(convnet, data={"x": np.zeros((2, 3, 8, 8))})


def test_the_record_survives_json(convnet) -> None:
    _, record = optimize_model(convnet)
    assert OptimizeRecord.from_json(record.to_json()) == record


def test_interface_and_shape_notes_stay(build, rng) -> None:
    """Shapes that inference found are not written: they would only make the file larger."""
    text = "g (float[batch, 4] x) => (float[batch, 4] y) <float[batch, 4] a> { a = Relu(x) b = Neg(a) y = Exp(b) }"
    model = build(text)
    for node in model.graph:
        for value in node.outputs:
            if value.name == "b":
                value.type, value.shape = None, None
    result, _ = optimize_model(model)
    values = {value.name: value for node in result.graph for value in node.outputs}
    assert str(values["a"].shape) == "[batch,4]"
    assert values["b"].shape is None
    assert str(result.graph.outputs[0].shape) == "[batch,4]"


def test_an_output_that_is_an_input_or_an_initializer(build, rng) -> None:
    model = build(
        "g (float[N, 4] x) => (float[N, 4] y, float[N, 4] p, float[4] k)"
        "{ a = Add(x, k) y = Identity(a) p = Identity(x) }",
        k=floats(rng, 4),
    )
    result, record = optimize_model(model)
    assert [value.name for value in result.graph.outputs] == ["y", "p", "k"]
    assert record.worst_error == 0.0


class Wrong(Pass):
    """Turns Relu into Neg, or fails, or makes the file invalid."""

    def __init__(self, how: str) -> None:
        self.how = how

    def call(self, model: ir.Model) -> PassResult:
        nodes = [node for node in model.graph if node.op_type == "Relu"]
        if not nodes:
            return PassResult(model, False)
        if self.how == "raise":
            raise RuntimeError("no idea")
        nodes[0].op_type = "Neg" if self.how == "values" else "NoSuchOperator"
        return PassResult(model, True, {"Relu": 1})


@pytest.mark.parametrize(
    ("how", "reason"), [("values", "output 'y' is off by"), ("raise", "no idea"), ("invalid", "NoSuchOperator")]
)
@pytest.mark.parametrize("place", [0, 5, 12])
def test_a_wrong_pass_is_found_and_left_out(convnet, monkeypatch, how: str, reason: str, place: int) -> None:
    steps = trial_module.Steps

    def with_wrong(self: object, names: object) -> object:
        kept = original_without(self, [name for name in names if name != "Wrong"])
        if "Wrong" in names:
            return kept
        repeated = [*kept.repeated[:place], Wrong(how), *kept.repeated[place:]]
        return steps(kept.first, tuple(repeated), kept.last)

    original_without = steps.without
    monkeypatch.setattr(steps, "without", with_wrong)
    result, record = optimize_model(convnet)
    assert list(record.left_out) == ["Wrong"]
    assert reason in record.left_out["Wrong"]
    assert [node.op_type for node in result.graph] == ["Conv", "Relu"]


def test_a_model_that_never_gives_the_same_twice(convnet, monkeypatch) -> None:
    model, draws = convnet, iter(range(1000))
    monkeypatch.setattr(Proof, "compare", lambda *_: Verdict({"y": float(next(draws)) + 1}, {"y": 1e-4}))
    with pytest.raises(QualityGateError, match="although nothing was changed") as caught:
        optimize_model(model)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("opset", "ir_version", "wanted", "after"), [(11, 6, None, 13), (13, 7, 17, 17), (18, 8, None, 18)]
)
def test_operator_sets(build, rng, opset: int, ir_version: int, wanted: int | None, after: int) -> None:
    model = build(
        "g (float[N, 4] x) => (float[N, 8] y) { y = MatMul(x, w) }",
        opset=opset,
        ir_version=ir_version,
        w=floats(rng, 4, 8),
    )
    result, record = optimize_model(model, options=OptimizeOptions(opset=wanted))
    assert (record.opset_before, record.opset_after) == (opset, after)
    assert result.opset_imports[""] == after


@pytest.mark.parametrize(("opset", "message"), [(12, "cannot be lowered"), (999, "unknown to onnx")])
def test_operator_sets_that_cannot_be(build, rng, opset: int, message: str) -> None:
    model = build("g (float[N, 4] x) => (float[N, 8] y) { y = MatMul(x, w) }", w=floats(rng, 4, 8))
    with pytest.raises(UsageError, match=message):
        optimize_model(model, options=OptimizeOptions(opset=opset))


def test_an_operator_set_that_onnxruntime_refuses_is_an_error_when_asked_for(build, rng, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise InvalidModelError("no conversion of MatMul")

    monkeypatch.setattr("edgebig.optimize.raise_opset.raise_opset", refuse)
    model = build(
        "g (float[N, 4] x) => (float[N, 8] y) { y = MatMul(x, w) }", opset=11, ir_version=6, w=floats(rng, 4, 8)
    )
    with pytest.raises(InvalidModelError, match=r"cannot be raised to opset 15: .*no conversion of MatMul"):
        optimize_model(model, options=OptimizeOptions(opset=15))
    result, record = optimize_model(model)
    assert "no conversion of MatMul" in record.left_out["RaiseOpset"]
    assert result.opset_imports[""] == 11


def test_weights_in_constant_nodes_and_functions(build, rng) -> None:
    text = """g (float[N, 2] x) => (float[N, 2] y) { y = my.scaled(x) }
        <domain: "my", opset_import: ["": 18]> scaled (a) => (b) {
            k = Constant<value_floats = [2.0, 1.0]>() m = Mul(a, k) b = Identity(m) }"""
    result, _ = optimize_model(build(text, domains=', "my": 1'))
    assert [node.op_type for node in result.graph] == ["Mul"]
    assert not result.functions
    assert len(result.graph.initializers) == 1


@pytest.mark.parametrize("freeze", [False, True])
def test_defaults_of_inputs_fold_only_when_frozen(build, rng, freeze: bool) -> None:
    text = f"g (float[N, 3, 8, 8] x, float[4, 3, 3, 3] w) => (float[N, 4, 6, 6] y) {{ c = Conv(x, w) y = {BN} }}"
    model = build(text, w=floats(rng, 4, 3, 3, 3), **statistics(rng, 4))
    result, record = optimize_model(model, options=OptimizeOptions(freeze_inputs=freeze))
    assert len(result.graph.inputs) == (1 if freeze else 2)
    assert "BatchNormalization" not in record.nodes_after or not freeze
    assert freeze or "a caller may override" in record.passes[0].skipped[0]


def test_float16(build, rng) -> None:
    text = f"g (float16[N, 3, 8, 8] x) => (float16[N, 4, 6, 6] y) {{ c = Conv(x, w) y = {BN} }}"
    arrays = {"w": floats(rng, 4, 3, 3, 3), **statistics(rng, 4)}
    model = build(text, **{name: array.astype(np.float16) for name, array in arrays.items()})
    result, record = optimize_model(model)
    assert [node.op_type for node in result.graph] == ["Conv"]
    assert record.outputs[0].tolerance >= 5e-3


def test_the_file_loads_and_is_no_larger(convnet, tmp_path, rng) -> None:
    source, target = tmp_path / "a.onnx", tmp_path / "b.onnx"
    save_model(convnet, source)
    result, record = optimize_model(source)
    save_model(result, target)
    x = {"x": floats(rng, 3, 3, 8, 8)}
    np.testing.assert_allclose(Session(target).run(x)["y"], Session(source).run(x)["y"], atol=1e-5)
    assert record.bytes_before == source.stat().st_size
    provenance = read_provenance(load_model(target))
    assert list(provenance[0].inputs) == ["a.onnx"]
    # The stamp of the step itself is the only thing that may be added.
    assert abs(record.bytes_after - target.stat().st_size) < 64
    assert target.stat().st_size < source.stat().st_size + 1000


def test_a_model_given_by_path_that_is_missing(tmp_path) -> None:
    with pytest.raises(InvalidModelError, match="there is no file"):
        optimize_model(tmp_path / "none.onnx")


@pytest.mark.parametrize("options", [{"opset": 0}, {"tolerance": -1.0}, {"tolerance": float("nan")}, {"seed": -1}])
def test_options_are_validated(options: dict) -> None:
    with pytest.raises(UsageError):
        OptimizeOptions(**options)
