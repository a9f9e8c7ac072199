"""Cutting a graph into stages, and running it so: the same values, in less memory."""

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgebig.errors import InvalidModelError
from edgebig.graph.edit import expose_outputs
from edgebig.graph.session import Session
from edgebig.graph.shapes import infer_shapes
from edgebig.quantize.calibrate.staged_run import StagedRun
from edgebig.quantize.calibrate.stages import cut_into_stages
from tests.quantize.build import build, normal

RESIDUAL = """g (float[N, 16] x) => (float[N, 16] y) {
    a = MatMul(x, w0) b = Relu(a) c = MatMul(b, w1) d = Add(c, x) e = Relu(d) f = MatMul(e, w2) h = Add(f, b)
    y = Relu(h) }"""
BRANCH = """g (float[N, 16] x) => (float[N, 16] y) {
    a = MatMul(x, w0) b = Relu(a) s = ReduceSum<keepdims = 0>(b) zero = Constant<value = float {0.0}>()
    positive = Greater(s, zero)
    c = If (positive) <
        then_branch = t () => (float[N, 16] p) { p = Mul(b, x) },
        else_branch = e () => (float[N, 16] q) { q = Neg(a) } >
    d = MatMul(c, w1) e = Relu(d) f = MatMul(e, w2) y = Add(f, a) }"""


def model(text: str) -> ir.Model:
    built = build(text, **{f"w{i}": normal(16, 16, scale=0.3, seed=i) for i in range(3)})
    infer_shapes(built)
    return built


def results(built: ir.Model) -> list[str]:
    return [value.name or "" for node in built.graph for value in node.outputs if node.op_type != "Constant"]


def gathered(run: StagedRun, feed: dict[str, NDArray]) -> dict[str, NDArray]:
    return {name: array.copy() for arrays in run.run(feed) for name, array in arrays.items()}


@pytest.mark.parametrize("text", [RESIDUAL, BRANCH])
@pytest.mark.parametrize("budget", [1, 200, 1000, 10**9])
def test_stages_give_the_whole_models_values(text: str, budget: int) -> None:
    built = model(text)
    names = [name for name in results(built) if name not in ("s", "positive")]
    feed = {"x": normal(2, 16, seed=9)}
    sizes = dict.fromkeys(names, 2 * 16 * 4)
    with Session(expose_outputs(built, names), threads=1, optimize=False) as session:
        whole = session.run(feed)
    with StagedRun(built, names, sizes, budget=budget, threads=1) as run:
        for _ in range(2):
            found = gathered(run, feed)
            assert found.keys() == set(names)
            for name in names:
                assert found[name] == pytest.approx(whole[name], rel=1e-5, abs=1e-6), name
        assert (len(run.stages) == 1) == (budget > len(names) * 128)


def test_the_wanted_tensors_of_a_stage_fit_the_budget_or_are_alone() -> None:
    built = model(RESIDUAL)
    names = results(built)
    stages = cut_into_stages(built.graph, set(names), dict.fromkeys(names, 100), 250)
    assert [name for stage in stages for name in stage.outputs] == names
    assert all(len(stage.outputs) <= 2 for stage in stages)
    alone = cut_into_stages(built.graph, {"b", "e"}, {"b": 900, "e": 900}, 250)
    assert [set(stage.outputs) & {"b", "e"} for stage in alone] == [{"b"}, {"e"}]


def test_what_comes_after_the_last_wanted_tensor_is_not_run() -> None:
    built = model(RESIDUAL)
    stages = cut_into_stages(built.graph, {"b"}, {}, 1)
    assert [stage.outputs for stage in stages] == [("b",)]


def test_a_graph_is_cut_where_little_is_carried() -> None:
    text = """g (float[N, 16] x) => (float[N, 16] y) {
        a = MatMul(x, w0) b = Relu(a) c = Concat<axis = 1>(b, b, b, b) r = ReduceMean<axes = [1]>(c) d = MatMul(b, w1)
        e = Relu(d) f = Add(e, r) y = MatMul(f, w2) }"""
    built = build(text, opset=17, **{f"w{i}": normal(16, 16) for i in range(3)})
    infer_shapes(built)
    sizes = {"a": 100, "b": 100, "c": 400, "r": 10, "d": 100, "e": 100, "f": 100, "y": 100}
    stages = cut_into_stages(built.graph, {"a", "b", "d", "e", "y"}, sizes, 300)
    carried = [set(stage.inputs) - {"x"} for stage in stages[1:]]
    assert carried and all("c" not in names for names in carried)


def test_a_failing_run_says_what_failed() -> None:
    built = build("g (float[A, B] x, float[C, D] z) => (float[A, D] y) { y = MatMul(x, z) }")
    with (
        StagedRun(built, ["y"], {}, budget=1, threads=1) as run,
        pytest.raises(InvalidModelError, match=r"failed on x float32\[2, 3\]"),
    ):
        gathered(run, {"x": np.ones((2, 3), np.float32), "z": np.ones((4, 3), np.float32)})
