"""Nodes that do nothing: which go, and which only look like it."""

import numpy as np
import pytest

from edgebig.optimize.eliminate_identities import EliminateIdentities
from edgebig.optimize.eliminate_noops import EliminateNoops


def feed(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {"x": rng.standard_normal((2, 3)).astype(np.float32)}


@pytest.mark.parametrize(
    "line",
    [
        *("y = Add(x, zero)", "y = Add(zero, x)", "y = Sub(x, zero)", "y = Mul(x, one)", "y = Mul(one, x)"),
        *("y = Div(x, one)", "y = Pow(x, one)", "y = Mul(x, ones)", "y = Add(x, zeros)", "y = Pad(x, nothing)"),
        *("y = Concat<axis = 0>(x)", "y = Sum(x)", "y = Max(x)"),
    ],
)
def test_noops_become_identity(build, apply, ops, rng, line: str) -> None:
    constants = {
        "zero": np.float32(0),
        "one": np.float32(1),
        "ones": np.ones((2, 3), np.float32),
        "zeros": np.zeros((1, 3), np.float32),
        "nothing": np.zeros(4, np.int64),
    }
    model = build(f"g (float[2, 3] x) => (float[2, 3] y) {{ {line} }}", **constants)
    assert apply(EliminateNoops(), model, feed(rng), tolerance=0).modified
    assert ops(model) == ["Identity"]


@pytest.mark.parametrize(
    ("line", "constant"),
    [
        ("y = Add(x, k)", np.float32(1e-10)),  # onnxscript's rule takes it for 0
        ("y = Mul(x, k)", np.float32(1 + 1e-6)),  # and this for 1
        ("y = Sub(k, x)", np.float32(0)),
        ("y = Div(k, x)", np.float32(1)),
        ("y = Pow(k, x)", np.float32(1)),
        ("y = Mul(x, k)", np.ones((4, 1, 1), np.float32)),  # widens
    ],
)
def test_what_changes_something_stays(build, ops, line: str, constant: np.ndarray) -> None:
    output = "float[A, B, C]" if constant.ndim == 3 else "float[2, 3]"
    model = build(f"g (float[2, 3] x) => ({output} y) {{ {line} }}", k=constant)
    assert not EliminateNoops().call(model).modified
    assert ops(model) != ["Identity"]


def test_a_constant_that_might_widen_an_unknown_size_stays(build, ops) -> None:
    model = build("g (float[N, M] x) => (float[N, K] y) { y = Mul(x, k) }", k=np.ones((1, 3), np.float32))
    assert not EliminateNoops().call(model).modified


def test_identities_go_and_the_output_keeps_its_name(build, apply, ops, rng) -> None:
    model = build(
        "g (float[2, 3] x) => (float[2, 3] y) { a = Identity(x) b = Relu(a) c = Identity(b) y = Identity(c) }"
    )
    result = apply(EliminateIdentities(), model, feed(rng), tolerance=0)
    assert ops(model) == ["Relu"]
    assert result.counts == {"Identity": 3}
    assert [value.name for value in model.graph.outputs] == ["y"]


def test_identities_that_name_things_stay(build, apply, ops, rng) -> None:
    """An output that is an input, an initializer, or another output needs its Identity."""
    model = build(
        "g (float[2, 3] x) => (float[2, 3] y, float[3] z, float[2, 3] r, float[2, 3] s)"
        "{ y = Identity(x) z = Identity(k) r = Relu(x) s = Identity(r) }",
        k=np.arange(3, dtype=np.float32),
    )
    assert not apply(EliminateIdentities(), model, feed(rng), tolerance=0).modified
    assert ops(model) == ["Identity", "Identity", "Relu", "Identity"]


def test_a_branch_that_hands_out_an_outer_value_keeps_its_identity(build, apply, ops, rng) -> None:
    """onnx_ir's own pass fails on this: the value cannot be an output of two graphs."""
    text = """g (float[2, 3] x, bool q) => (float[2, 3] y) {
        r = Relu(x)
        i = If(q) <
            then_branch = t () => (float[2, 3] p) { p = Identity(r) },
            else_branch = e () => (float[2, 3] n) { m = Neg(r) k = Identity(m) n = Identity(k) }
        >
        y = Identity(i) }"""
    model = build(text)
    result = apply(EliminateIdentities(), model, {**feed(rng), "q": np.array(True)}, tolerance=0)
    assert result.counts == {"Identity": 3}
    assert sorted(node.op_type for node in model.graph.all_nodes()) == ["Identity", "If", "Neg", "Relu"]
