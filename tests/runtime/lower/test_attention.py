"""Attention blocks, float and quantized: one step where the graph allows it, separate ones where it does not."""

from collections import Counter

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx_ir.passes.common import LiftConstantsToInitializersPass
from onnxruntime.quantization import QuantType

from edgebig.runtime.cache import Cache
from tests.runtime.nets import feeds_of, left_of, net, ours, output_scale, quantized, steps_of, stock

PRECISION = 1e-5
BATCH, HEADS, ROWS, KEYS, DIM = 2, 3, 7, 9, 8
WIDTH = HEADS * DIM

HEAD_MASKS = {"keys": "2, 1, 1, 9", "full": "1, 1, 7, 9", "heads": "2, 3, 7, 9", "one": "7, 9"}


def heads(*, mask: str = "", scores: str = "s = Identity (p)", more: str = "", outputs: str = "") -> str:
    """Attention of q, k, v [2, ., 24] with three heads; `scores` takes p to s, which the softmax reads."""
    given = f", float[{HEAD_MASKS[mask]}] mask" if mask else ""
    return f"""agraph (float[2, 7, 24] q, float[2, 9, 24] k, float[2, 9, 24] v{given})
          => (float[2, 7, 24] y{outputs}) {{
        many = Constant <value = int64[4] {{0, -1, 3, 8}}> ()
        one = Constant <value = int64[3] {{0, 0, -1}}> ()
        c = Constant <value = float {{0.35355339}}> ()
        d = Constant <value = float {{2.8284271}}> ()
        q1 = Reshape (q, many)
        k1 = Reshape (k, many)
        v1 = Reshape (v, many)
        q2 = Transpose <perm = [0, 2, 1, 3]> (q1)
        k2 = Transpose <perm = [0, 2, 3, 1]> (k1)
        v2 = Transpose <perm = [0, 2, 1, 3]> (v1)
        p = MatMul (q2, k2)
        {scores}
        t = Softmax <axis = -1> (s)
        o = MatMul (t, v2)
        o1 = Transpose <perm = [0, 2, 1, 3]> (o)
        y = Reshape (o1, one)
        {more} }}"""


FUSED = {
    "bare": heads(),
    "divided": heads(mask="keys", scores="s1 = Div (p, d)\n s = Add (s1, mask)"),
    "multiplied": heads(mask="full", scores="s1 = Mul (p, c)\n s = Add (s1, mask)"),
    "turned round": heads(mask="heads", scores="s1 = Mul (c, p)\n s = Add (mask, s1)"),
    "mask of two axes": heads(mask="one", scores="s = Add (p, mask)"),
    "scaled twice": heads(scores="s1 = Mul (p, d)\n s2 = Div (s1, d)\n s = Div (s2, d)"),
}
SINGLE = """agraph (float[3, 6, 10] q, float[3, 11, 10] k, float[3, 11, 5] v, float[3, 1, 11] mask)
      => (float[3, 6, 5] y) {
    c = Constant <value = float {0.31622777}> ()
    k1 = Transpose <perm = [0, 2, 1]> (k)
    p = MatMul (q, k1)
    s1 = Mul (p, c)
    s = Add (s1, mask)
    t = Softmax <axis = -1> (s)
    y = MatMul (t, v) }"""
# Graphs in which something else needs the scores, and the steps they then take.
SEPARATE = {
    "mask before scale": (
        heads(mask="full", scores="s1 = Add (p, mask)\n s = Mul (s1, c)"),
        {"FloatBinary": 2, "Softmax": 1, "BatchedMatMul": 2},
    ),
    "probabilities given": (
        heads(
            mask="keys", scores="s1 = Div (p, d)\n s = Add (s1, mask)", more="u = Identity (t)", outputs=", float[] u"
        ),
        {"Attention": 1, "FloatBinary": 1, "Softmax": 1, "BatchedMatMul": 1},
    ),
    "scores used twice": (
        heads(scores="s = Div (p, d)", more="u = Exp (s)", outputs=", float[2, 3, 7, 9] u"),
        {"Attention": 1, "BatchedMatMul": 1, "FloatUnary": 1},
    ),
    "scale of every key": (heads(mask="keys", scores="s = Mul (p, mask)"), {"FloatBinary": 1}),
}


def distance(got: NDArray, expected: NDArray) -> float:
    """The largest, relative to the largest number expected."""
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def exported(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its constants as initializers, which is where the quantizer looks for them."""
    copy = ir.from_proto(model)
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(copy)
    return ir.to_proto(copy)


def kernels(session: object) -> Counter[str]:
    """The steps that compute, without those that move numbers."""
    return Counter(step for step in steps_of(session) if step not in ("Transpose", "Copy"))  # type: ignore[arg-type]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", FUSED)
def test_heads_are_one_step(name: str, threads: int, cache: Cache) -> None:
    model = net(FUSED[name])
    (feed,) = feeds_of(model, seed=2)
    got, session = ours(model.SerializeToString(), feed, cache, threads=threads)
    assert kernels(session) == {"Attention": 1}, session.explain()
    assert not left_of(session)
    assert distance(got[0], stock(model.SerializeToString(), feed)[0]) < PRECISION


def test_infinite_mask(cache: Cache) -> None:
    model = net(FUSED["divided"])
    (feed,) = feeds_of(model, seed=3)
    feed["mask"] = np.where(feed["mask"] > 0.5, np.float32(-np.inf), np.float32(0))
    feed["mask"][..., 0] = 0
    got, _ = ours(model.SerializeToString(), feed, cache)
    assert distance(got[0], stock(model.SerializeToString(), feed)[0]) < PRECISION


def test_without_heads(cache: Cache) -> None:
    model = net(SINGLE)
    (feed,) = feeds_of(model, seed=4)
    got, session = ours(model.SerializeToString(), feed, cache)
    assert kernels(session) == {"Attention": 1}, session.explain()
    assert distance(got[0], stock(model.SerializeToString(), feed)[0]) < PRECISION


@pytest.mark.parametrize("scale", ["Mul", "Div"])
def test_scale_before_the_product(scale: str, cache: Cache) -> None:
    constant = "c" if scale == "Mul" else "d"
    text = heads().replace("p = MatMul (q2, k2)", f"q3 = {scale} (q2, {constant})\n p = MatMul (q3, k2)")
    model = net(text)
    (feed,) = feeds_of(model, seed=5)
    got, session = ours(model.SerializeToString(), feed, cache)
    assert kernels(session) == {"FloatBinary": 1, "Attention": 1}, session.explain()
    assert distance(got[0], stock(model.SerializeToString(), feed)[0]) < PRECISION


@pytest.mark.parametrize("name", SEPARATE)
def test_scores_that_something_else_needs(name: str, cache: Cache) -> None:
    text, expected = SEPARATE[name]
    model = net(text.replace("float[] u", "float[2, 3, 7, 9] u"))
    (feed,) = feeds_of(model, seed=6)
    got, session = ours(model.SerializeToString(), feed, cache)
    assert not left_of(session), session.explain()
    for kernel, count in expected.items():
        assert kernels(session)[kernel] == count, session.explain()
    for answer, wanted in zip(got, stock(model.SerializeToString(), feed), strict=True):
        assert distance(answer, wanted) < PRECISION


def test_softmax_over_another_axis_is_left(cache: Cache) -> None:
    model = net(heads().replace("axis = -1", "axis = 2"))
    (feed,) = feeds_of(model, seed=7)
    got, session = ours(model.SerializeToString(), feed, cache)
    assert left_of(session) == {"Softmax": "it is not over the last axis"}
    assert distance(got[0], stock(model.SerializeToString(), feed)[0]) < PRECISION


# -- whole layers

LAYER = """agraph (float[2, 12, 32] x, float[2, 1, 1, 12] mask, float[32, 32] wq, float[32] bq, float[32, 32] wk,
      float[32] bk, float[32, 32] wv, float[32] bv, float[32, 32] wo, float[32] bo, float[32] wn, float[32] bn,
      float[32, 64] wa, float[64] ba, float[64, 32] wb, float[32] bb, float[32] wm, float[32] bm)
      => (float[2, 12, 32] y) {
    many = Constant <value = int64[4] {2, 12, 4, 8}> ()
    flat = Constant <value = int64[3] {2, 12, 32}> ()
    root = Constant <value = float {2.828427}> ()
    q0 = MatMul (x, wq)
    q1 = Add (q0, bq)
    q2 = Reshape (q1, many)
    q = Transpose <perm = [0, 2, 1, 3]> (q2)
    k0 = MatMul (x, wk)
    k1 = Add (k0, bk)
    k2 = Reshape (k1, many)
    k = Transpose <perm = [0, 2, 3, 1]> (k2)
    v0 = MatMul (x, wv)
    v1 = Add (v0, bv)
    v2 = Reshape (v1, many)
    v = Transpose <perm = [0, 2, 1, 3]> (v2)
    s0 = MatMul (q, k)
    s1 = Div (s0, root)
    s2 = Add (s1, mask)
    s = Softmax <axis = -1> (s2)
    o0 = MatMul (s, v)
    o1 = Transpose <perm = [0, 2, 1, 3]> (o0)
    o2 = Reshape (o1, flat)
    o3 = MatMul (o2, wo)
    o4 = Add (o3, bo)
    NORMALISED
    f2 = Gelu (f1)
    f3 = MatMul (f2, wb)
    f4 = Add (f3, bb)
    RESULT }"""
POST = LAYER.replace(
    "NORMALISED", "r = Add (x, o4)\n n = LayerNormalization (r, wn, bn)\n f0 = MatMul (n, wa)\n f1 = Add (f0, ba)"
).replace("RESULT", "t = Add (n, f4)\n y = LayerNormalization (t, wm, bm)")
# The sum goes on beside the normalisation, so it has to be computed.
PRE = (
    LAYER.replace(
        "NORMALISED", "r = Add (x, o4)\n n = LayerNormalization (r, wn, bn)\n f0 = MatMul (n, wa)\n f1 = Add (f0, ba)"
    )
    .replace("RESULT", "y = Add (r, f4)")
    .replace("wb, float[32] bb, float[32] wm, float[32] bm", "wb, float[32] bb")
)


@pytest.mark.parametrize(("text", "sums"), [(POST, 0), (PRE, 2)], ids=["post", "pre"])
def test_layer_in_float(text: str, sums: int, cache: Cache) -> None:
    model = net(text, opset=20)
    (feed,) = feeds_of(model, seed=8)
    got, session = ours(model.SerializeToString(), feed, cache)
    assert not left_of(session), session.explain()
    steps = kernels(session)
    assert (steps["Attention"], steps["Conv"], steps["LayerNormalization"]) == (1, 6, 2 - sums // 2)
    assert steps["FloatBinary"] == sums, session.explain()
    assert distance(got[0], stock(model.SerializeToString(), feed)[0]) < PRECISION


@pytest.mark.parametrize("text", [POST, PRE], ids=["post", "pre"])
def test_layer_with_quantized_weights(text: str, cache: Cache) -> None:
    model = net(text, opset=20)
    weights = []
    for node in model.graph.node:
        node.name = node.output[0]
        weights += [node.name] * (node.op_type == "MatMul" and node.input[1].startswith("w"))
    graph = quantized(model, nodes_to_quantize=weights)
    (feed,) = feeds_of(model, seed=9)
    got, session = ours(graph, feed, cache)
    assert not left_of(session), session.explain()
    steps = kernels(session)
    assert steps["Attention"] == 1, session.explain()
    assert steps["DynamicMatMul"] + steps["Conv"] == 6, session.explain()
    assert distance(got[0], stock(graph, feed, rewrite=False)[0]) < 0.02


@pytest.mark.parametrize(
    ("text", "activation"),
    [
        pytest.param(POST, QuantType.QUInt8, id="post-u8"),
        pytest.param(POST, QuantType.QInt8, id="post-s8", marks=pytest.mark.slow),
        pytest.param(PRE, QuantType.QUInt8, id="pre-u8", marks=pytest.mark.slow),
        pytest.param(PRE, QuantType.QInt8, id="pre-s8", marks=pytest.mark.slow),
    ],
)
def test_layer_quantized_everywhere(text: str, activation: QuantType, cache: Cache) -> None:
    model = net(text, opset=20)
    graph = quantized(exported(model), activation_type=activation)
    (feed,) = feeds_of(model, seed=10)
    got, session = ours(graph, feed, cache)
    assert not left_of(session), session.explain()
    steps = kernels(session)
    assert (steps["Attention"], steps["Conv"], steps["BatchedMatMul"], steps["Softmax"]) == (1, 6, 0, 0)
    assert steps["Add"] == 8, session.explain()  # six biases, two residual sums: none of them in float
    assert not steps["FloatBinary"]
    expected = stock(graph, feed, rewrite=False)[0]
    apart = np.abs(got[0] - expected) / output_scale(graph)
    assert apart.max() < 4.01, session.explain()  # a step in the middle of the layer may be some at its end
    assert np.mean(apart > 0.5) < 0.1


QUANTIZED = {
    "products alone": ("divided", ["MatMul"]),
    "mask of two axes": ("mask of two axes", ["MatMul"]),
    "all of it": ("multiplied", ["MatMul", "Mul", "Div", "Add", "Softmax"]),
    "all but the softmax": ("divided", ["MatMul", "Div", "Add"]),
    "without a mask": ("scaled twice", ["MatMul", "Div", "Softmax"]),
}


@pytest.mark.parametrize("name", QUANTIZED)
def test_quantized_heads(name: str, cache: Cache) -> None:
    which, kinds = QUANTIZED[name]
    text = FUSED[which] if which != "scaled twice" else heads(scores="s = Div (p, d)")
    model = net(text)
    graph = quantized(exported(model), op_types_to_quantize=kinds)
    (feed,) = feeds_of(model, seed=11)
    got, session = ours(graph, feed, cache)
    assert not left_of(session), session.explain()
    assert kernels(session)["Attention"] == 1, session.explain()
    assert not kernels(session)["BatchedMatMul"]
    expected = stock(graph, feed, rewrite=False)[0]
    apart = np.abs(got[0] - expected) / output_scale(graph)
    assert apart.max() < 2.01, session.explain()
    assert np.mean(apart > 0.5) < 0.05


ROUNDED = {
    "probabilities given": heads(
        mask="keys", scores="s1 = Div (p, d)\n s = Add (s1, mask)", more="u = Exp (t)", outputs=", float[2, 3, 7, 9] u"
    ),
    "scores given": heads(scores="s = Div (p, d)", more="u = Exp (s)", outputs=", float[2, 3, 7, 9] u"),
    "no values": heads(mask="full", scores="s1 = Mul (p, c)\n s = Add (s1, mask)")
    .replace("o = MatMul (t, v2)", "o = Exp (t)")
    .replace("float[2, 7, 24] y", "float[2, 7, 27] y"),
}


@pytest.mark.parametrize("name", ROUNDED)
def test_rounded_scores_that_something_else_needs(name: str, cache: Cache) -> None:
    model = net(ROUNDED[name])
    graph = quantized(exported(model), op_types_to_quantize=["MatMul", "Mul", "Div", "Add", "Softmax"])
    (feed,) = feeds_of(model, seed=12)
    got, session = ours(graph, feed, cache)
    assert kernels(session)["BatchedMatMul"] >= 1, session.explain()
    for answer, wanted in zip(got, stock(graph, feed, rewrite=False), strict=True):
        assert distance(answer, wanted) < 0.02
        assert np.mean(np.abs(answer - wanted) > PRECISION * np.abs(wanted).max()) < 0.05


@pytest.mark.parametrize("shape", ["24", "1, 24", "2, 6, 24", "6, 24"])
@pytest.mark.parametrize("activation", [QuantType.QUInt8, QuantType.QInt8])
def test_sum_with_a_quantized_constant(shape: str, activation: QuantType, cache: Cache) -> None:
    text = f"""agraph (float[2, 6, 16] x, float[16, 24] w0, float[{shape}] b0) => (float[2, 6, 24] y) {{
        a = MatMul (x, w0)
        y = Add (b0, a) }}"""
    model = net(text)
    graph = quantized(exported(model), activation_type=activation)
    (feed,) = feeds_of(model, seed=13)
    got, session = ours(graph, feed, cache)
    assert not left_of(session), session.explain()
    assert kernels(session)["Add"] == 1, session.explain()
    assert not kernels(session)["FloatBinary"]
    expected = stock(graph, feed, rewrite=False)[0]
    apart = np.abs(got[0] - expected) / output_scale(graph)
    assert apart.max() < 1.01
    assert np.mean(apart > 0.5) < 0.02
