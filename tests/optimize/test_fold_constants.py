"""Constant folding: what goes, and that the file never grows."""

import numpy as np
import pytest

from edgebig.graph.save import weight_bytes
from edgebig.graph.session import Session
from edgebig.optimize.constant_cones import result_bytes, storable_nodes
from edgebig.optimize.fold_constants import FoldConstants
from edgebig.optimize.library_passes import SimplifyShapes, lift_constants, remove_unused
from edgebig.passes.base import run_passes


def floats(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def test_constant_arithmetic_is_done_ahead(build, apply, ops, rng) -> None:
    model = build(
        "g (float[2, 3] x) => (float[2, 3] y) { c = Mul(a, b) d = Neg(c) y = Add(x, d) }",
        a=floats(rng, 3),
        b=floats(rng, 3),
    )
    result = apply(FoldConstants(), model, {"x": floats(rng, 2, 3)})
    assert ops(model) == ["Add"]
    assert result.counts["removed Mul"] == 1


def test_a_shape_chain_becomes_one_reshape(build, apply, ops, rng) -> None:
    text = """g (float[N, 3, 4] x) => (float[N, 12] y) {
        s = Shape(x) t = Gather(s, one) u = Gather(s, two) v = Mul(t, u) w = Unsqueeze(v, zeros)
        k = Concat<axis = 0>(minus, w) y = Reshape(x, k) }"""
    model = build(text, one=np.array(1), two=np.array(2), zeros=np.array([0]), minus=np.array([-1]))
    before = model.clone()
    run_passes(model, [FoldConstants(), SimplifyShapes(), lift_constants(), remove_unused()])
    assert ops(model) == ["Reshape"]
    for n in (1, 5):
        x = {"x": floats(rng, n, 3, 4)}
        np.testing.assert_array_equal(Session(model).run(x)["y"], Session(before).run(x)["y"])


def test_a_branch_with_a_known_condition_goes(build, apply, rng) -> None:
    text = """g (float[2, 3] x) => (float[2, 3] y) {
        y = If(q) <
            then_branch = t () => (float[2, 3] p) { p = Neg(x) },
            else_branch = e () => (float[2, 3] n) { n = Exp(x) }
        > }"""
    model = build(text, q=np.array(True))
    apply(FoldConstants(), model, {"x": floats(rng, 2, 3)}, tolerance=0)
    assert "If" not in [node.op_type for node in model.graph.all_nodes()]


@pytest.mark.parametrize(
    "line",
    ["c = Expand(k, shape)", "c = Tile(k, times)", "o = ConstantOfShape(shape) c = Mul(o, k)"],
)
def test_small_constants_are_not_blown_up(build, apply, ops, rng, line: str) -> None:
    model = build(
        f"g (float[100, 100] x) => (float[100, 100] y) {{ {line} y = Add(x, c) }}",
        k=floats(rng, 1, 1),
        shape=np.array([100, 100]),
        times=np.array([100, 100]),
    )
    before = weight_bytes(model)
    result = apply(FoldConstants(), model, {"x": floats(rng, 100, 100)}, tolerance=0)
    assert weight_bytes(model) <= before
    assert len(ops(model)) >= 2
    if "ConstantOfShape" not in line:
        assert "the file would grow" in result.skipped[0].reason


def test_half_precision_weights_are_not_stored_in_single(build, ops, rng) -> None:
    model = build(
        "g (float[2, 64] x) => (float[2, 64] y) { c = Cast<to = 1>(k) y = MatMul(x, c) }",
        k=floats(rng, 64, 64).astype(np.float16),
    )
    assert not FoldConstants().call(model).modified
    assert ops(model) == ["Cast", "MatMul"]


def test_weights_are_transposed_ahead(build, apply, ops, rng) -> None:
    model = build(
        "g (float[2, 64] x) => (float[2, 128] y) { c = Transpose<perm = [1, 0]>(k) y = MatMul(x, c) }",
        k=floats(rng, 128, 64),
    )
    before = weight_bytes(model)
    apply(FoldConstants(), model, {"x": floats(rng, 2, 64)})
    assert ops(model) == ["MatMul"]
    assert weight_bytes(model) == before


GATES = """g (float[2, 64] x) => (float[2, 64] y) {
    a = Slice(k, zero, half) b = Slice(k, half, whole) c = Concat<axis = 0>(b, a) y = MatMul(x, c) EXTRA }"""


def test_a_group_that_replaces_its_weight_is_stored(build, apply, ops, rng) -> None:
    """As exporters reorder the gates of an LSTM: each Slice alone would grow the file."""
    bounds = {"zero": np.array([0]), "half": np.array([32]), "whole": np.array([64])}
    model = build(GATES.replace("EXTRA", ""), k=floats(rng, 64, 64), **bounds)
    before = weight_bytes(model)
    apply(FoldConstants(), model, {"x": floats(rng, 2, 64)})
    assert ops(model) == ["MatMul"]
    assert weight_bytes(model) <= before


def test_a_group_whose_weight_stays_in_use_is_not(build, ops, rng) -> None:
    bounds = {"zero": np.array([0]), "half": np.array([32]), "whole": np.array([64])}
    text = GATES.replace("EXTRA", "z = MatMul(x, k)").replace("(float[2, 64] y)", "(float[2, 64] y, float[2, 64] z)")
    model = build(text, k=floats(rng, 64, 64), **bounds)
    assert storable_nodes(model.graph, lambda node: True) == set()
    FoldConstants().call(model)
    assert "Concat" in ops(model)


def test_quantized_weights_stay_quantized(build, ops, rng) -> None:
    model = build(
        "g (float[2, 64] x) => (float[2, 64] y) { c = DequantizeLinear(k, s, z) y = MatMul(x, c) }",
        k=rng.integers(-128, 127, (64, 64)).astype(np.int8),
        s=np.float32(0.1),
        z=np.int8(0),
    )
    assert not FoldConstants().call(model).modified
    assert ops(model) == ["DequantizeLinear", "MatMul"]


def test_random_numbers_are_not_frozen(build, ops) -> None:
    model = build(
        "g (float[2, 3] x) => (float[2, 3] y) { c = Bernoulli(k) y = Add(x, c) }", k=np.full((2, 3), 0.5, np.float32)
    )
    result = FoldConstants().call(model)
    assert ops(model) == ["Bernoulli", "Add"]
    assert result.skipped[0].reason == "it is random"


def test_a_default_that_a_caller_may_override_is_no_constant(build, ops, rng) -> None:
    model = build("g (float[2, 3] x, float[3] k) => (float[2, 3] y) { c = Neg(k) y = Add(x, c) }", k=floats(rng, 3))
    assert not FoldConstants().call(model).modified
    assert ops(model) == ["Neg", "Add"]


def test_bytes_of_packed_dtypes(build) -> None:
    model = build("g (int4[3, 3] x) => (int4[3, 3] y) { y = Identity(x) }", opset=21, ir_version=10)
    assert result_bytes(model.graph.inputs[0]) == 5
