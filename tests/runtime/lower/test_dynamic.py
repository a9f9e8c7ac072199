"""Graphs of `quantize_dynamic`: the scale is found at run time as onnxruntime finds it, so answers are the same."""

from collections import Counter

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType

from edgebig.runtime.cache import Cache
from tests.runtime.nets import dynamically_quantized, feeds_of, left_of, net, ours, steps_of, stock

# Only inputs are quantized here, so no rounding depends on the order of earlier sums.
ONE_LAYER = {
    "bias": """agraph (float[5, 37] x, float[37, 29] w0, float[29] b0) => (float[5, 29] y) {
        a = MatMul (x, w0)
        y = Add (a, b0) }""",
    "bare": """agraph (float[2, 3, 24] x, float[24, 40] w0) => (float[2, 3, 40] y) { y = MatMul (x, w0) }""",
    "relu": """agraph (float[7, 32] x, float[32, 48] w0, float[48] b0) => (float[7, 48] y) {
        a = MatMul (x, w0)
        c = Add (b0, a)
        y = Relu (c) }""",
    "gelu": """agraph (float[7, 32] x, float[32, 48] w0, float[48] b0) => (float[7, 48] y) {
        a = MatMul (x, w0)
        c = Add (a, b0)
        y = Gelu (c) }""",
    "clip": """agraph (float[4, 20] x, float[20, 12] w0, float[12] b0) => (float[4, 12] y) {
        low = Constant <value = float {-0.5}> ()
        high = Constant <value = float {0.5}> ()
        a = MatMul (x, w0)
        c = Add (a, b0)
        y = Clip (c, low, high) }""",
    "gemm": """agraph (float[3, 16] x, float[16, 24] w0, float[24] b0) => (float[3, 24] y) { y = Gemm (x, w0, b0) }""",
    "residual": """agraph (float[6, 32] x, float[32, 32] w0) => (float[6, 32] y) {
        a = MatMul (x, w0)
        y = Add (a, x) }""",
    "shared": """agraph (float[2, 9, 32] x, float[32, 32] w0, float[32] b0, float[32, 48] w1,
          float[32, 16] w2, float[16] b2) => (float[2, 9, 32] q, float[2, 9, 48] k, float[2, 9, 16] v) {
        a = MatMul (x, w0)
        q = Add (a, b0)
        k = MatMul (x, w1)
        c = MatMul (x, w2)
        v = Add (c, b2) }""",
}
DEEP = {
    "perceptron": """agraph (float[8, 37] x, float[37, 64] w0, float[64] b0, float[64, 10] w1, float[10] b1)
          => (float[8, 10] y) {
        a = MatMul (x, w0)
        c = Add (a, b0)
        d = Relu (c)
        e = MatMul (d, w1)
        y = Add (e, b1) }""",
    "encoder": """agraph (float[2, 12, 32] x, float[2, 1, 1, 12] mask, float[32, 32] wq, float[32] bq, float[32, 32] wk,
          float[32] bk, float[32, 32] wv, float[32] bv, float[32, 32] wo, float[32] bo, float[32] wn, float[32] bn,
          float[32, 64] wa, float[64] ba, float[64, 32] wb, float[32] bb, float[32] wm, float[32] bm)
          => (float[2, 12, 32] y) {
        heads = Constant <value = int64[4] {2, 12, 4, 8}> ()
        flat = Constant <value = int64[3] {2, 12, 32}> ()
        root = Constant <value = float {2.828427}> ()
        q0 = MatMul (x, wq)
        q1 = Add (q0, bq)
        q2 = Reshape (q1, heads)
        q = Transpose <perm = [0, 2, 1, 3]> (q2)
        k0 = MatMul (x, wk)
        k1 = Add (k0, bk)
        k2 = Reshape (k1, heads)
        k = Transpose <perm = [0, 2, 3, 1]> (k2)
        v0 = MatMul (x, wv)
        v1 = Add (v0, bv)
        v2 = Reshape (v1, heads)
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
        r = Add (x, o4)
        n = LayerNormalization (r, wn, bn)
        f0 = MatMul (n, wa)
        f1 = Add (f0, ba)
        f2 = Gelu (f1)
        f3 = MatMul (f2, wb)
        f4 = Add (f3, bb)
        t = Add (n, f4)
        y = LayerNormalization (t, wm, bm) }""",
}
CHOICES = {
    "s8": {},
    "s8 per column": {"per_channel": True},
    "u8": {"weight_type": QuantType.QUInt8, "reduce_range": False},
    "u8 per column": {"weight_type": QuantType.QUInt8, "reduce_range": False, "per_channel": True},
}
PRECISION = 1e-5


def distance(got: NDArray, expected: NDArray) -> NDArray:
    """Of every number, relative to the largest expected."""
    return np.abs(got - expected) / np.abs(expected).max()


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("name", ONE_LAYER)
def test_products_of_the_input_are_onnxruntimes(name: str, choice: str, cache: Cache) -> None:
    model = net(ONE_LAYER[name], opset=20)
    graph = dynamically_quantized(model, **CHOICES[choice])
    (feed,) = feeds_of(model, seed=3)
    got, session = ours(graph, feed, cache)
    assert not left_of(session), session.explain()
    products = 3 if name == "shared" else 1
    steps = Counter(steps_of(session))
    assert (steps["DynamicQuantize"], steps["DynamicMatMul"]) == (1, products), session.explain()
    assert sum(steps.values()) == 1 + products + (name in ("clip", "residual")), session.explain()
    for answer, expected in zip(got, stock(graph, feed), strict=True):
        assert distance(answer, expected).max() < PRECISION


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("name", DEEP)
def test_layers(name: str, choice: str, cache: Cache) -> None:
    model = net(DEEP[name], opset=20)
    graph = dynamically_quantized(model, **CHOICES[choice])
    (feed,) = feeds_of(model, seed=4)
    (got,), session = ours(graph, feed, cache)
    assert not left_of(session), session.explain()
    steps = Counter(steps_of(session))
    assert steps["DynamicMatMul"] == (2 if name == "perceptron" else 6)
    assert steps["DynamicQuantize"] == (2 if name == "perceptron" else 4)
    if name == "encoder":
        assert steps == {"DynamicMatMul": 6, "DynamicQuantize": 4, "Attention": 1, "LayerNormalization": 2}
    apart = distance(got, stock(graph, feed)[0])
    assert np.median(apart) < PRECISION
    assert apart.max() < 0.02  # sums in another order may round a hidden number to its neighbour


def test_all_equal_and_one_sided_inputs(cache: Cache) -> None:
    model = net(ONE_LAYER["bias"])
    graph = dynamically_quantized(model)
    random = feeds_of(model, seed=5)[0]["x"]
    for x in (np.zeros_like(random), np.full_like(random, 3.5), np.abs(random), -np.abs(random), random * 1e-20):
        (got,), _ = ours(graph, {"x": x}, cache)
        assert distance(got, stock(graph, {"x": x})[0]).max() < PRECISION


def test_weights_of_8_bits_do_not_saturate(cache: Cache) -> None:
    model = net(ONE_LAYER["bias"])
    graph = dynamically_quantized(model, reduce_range=False)
    x = np.abs(feeds_of(model, seed=6)[0]["x"])
    (got,), _ = ours(graph, {"x": x}, cache)
    assert distance(got, simulated(graph, x)).max() < PRECISION


def test_two_threads_give_the_same(cache: Cache) -> None:
    model = net("agraph (float[256, 96] x, float[96, 64] w0) => (float[256, 64] y) { y = MatMul (x, w0) }")
    graph = dynamically_quantized(model)
    (feed,) = feeds_of(model, seed=7)
    (one,), _ = ours(graph, feed, cache)
    (two,), _ = ours(graph, feed, cache, threads=2)
    np.testing.assert_array_equal(one, two)
    assert distance(one, stock(graph, feed)[0]).max() < PRECISION


def simulated(graph: bytes, x: NDArray) -> NDArray:
    """What the graph of one product and a bias means, in numpy."""
    tensors = {t.name: numpy_helper.to_array(t) for t in onnx.ModelProto.FromString(graph).graph.initializer}
    scale = np.float32((max(x.max(), 0) - min(x.min(), 0)) / 255)
    q = np.clip(np.rint(x / scale) + np.rint(-min(x.min(), 0) / scale), 0, 255).astype(np.int64)
    sums = (q - int(np.rint(-min(x.min(), 0) / scale))) @ tensors["w0_quantized"].astype(np.int64)
    return sums * (scale * tensors["w0_scale"]) + tensors["b0"]


# -- nodes put together by hand


def made(
    nodes: list[onnx.NodeProto], outputs: dict[str, int], constants: dict[str, NDArray], kind: int = TensorProto.FLOAT
) -> bytes:
    """A model of x [6, 16] and these nodes."""
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "agraph",
        [helper.make_tensor_value_info("x", kind, [6, 16])],
        [helper.make_tensor_value_info(name, output, None) for name, output in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in constants.items() if name in used],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


def constants(seed: int = 0, columns: int = 20) -> dict[str, NDArray]:
    """Weights, their scales (one per column and one for all), zero points and a bias."""
    rng = np.random.default_rng(seed)
    return {
        "w": rng.integers(0, 128, (16, columns)).astype(np.uint8),
        "w_scales": rng.uniform(0.01, 0.03, columns).astype(np.float32),
        "w_scale": np.array(0.02, np.float32),
        "w_points": rng.integers(50, 70, columns).astype(np.uint8),
        "w_point": np.array(60, np.uint8),
        "bias": rng.normal(size=columns).astype(np.float32),
        "x_scale": np.array(0.017, np.float32),
        "x_point": np.array(131, np.uint8),
        "x_signed": np.array(-7, np.int8),
    }


QUANTIZE = helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"])
CAST = helper.make_node("Cast", ["sums"], ["reals"], to=TensorProto.FLOAT)
X = {"x": np.random.default_rng(8).normal(size=(6, 16)).astype(np.float32)}


@pytest.mark.parametrize("bias", [True, False])
def test_dynamic_quantize_matmul(bias: bool, cache: Cache) -> None:
    inputs = ["x", "w", "w_scale", "w_point", *(["bias"] if bias else [])]
    node = helper.make_node("DynamicQuantizeMatMul", inputs, ["y"], domain="com.microsoft")
    graph = made([node], {"y": TensorProto.FLOAT}, constants())
    (got,), session = ours(graph, X, cache)
    assert steps_of(session) == ["DynamicQuantize", "DynamicMatMul"], session.explain()
    assert distance(got, stock(graph, X)[0]).max() < PRECISION


@pytest.mark.parametrize("bias", [True, False])
def test_matmul_integer_to_float(bias: bool, cache: Cache) -> None:
    inputs = ["q", "w", "s", "w_scale", "z", "w_point", *(["bias"] if bias else [])]
    node = helper.make_node("MatMulIntegerToFloat", inputs, ["y"], domain="com.microsoft")
    graph = made([QUANTIZE, node], {"y": TensorProto.FLOAT}, constants())
    (got,), session = ours(graph, X, cache)
    assert steps_of(session) == ["DynamicQuantize", "DynamicMatMul"], session.explain()
    assert distance(got, stock(graph, X)[0]).max() < PRECISION


@pytest.mark.parametrize("point", ["x_point", "x_signed", ""])
@pytest.mark.parametrize("scale", ["w_scale", "w_scales"])
def test_products_with_constant_scales(point: str, scale: str, cache: Cache) -> None:
    nodes = [
        helper.make_node("MatMulInteger", ["x", "w", point, "w_points"], ["sums"]),
        CAST,
        helper.make_node("Mul", [scale, "reals"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["y"]),
    ]
    signed = point == "x_signed"
    given = constants()
    if signed:  # onnxruntime multiplies int8 with int8 only
        given |= {"w": (given["w"] ^ 0x80).view(np.int8), "w_points": (given["w_points"] ^ 0x80).view(np.int8)}
    kind = TensorProto.INT8 if signed else TensorProto.UINT8
    graph = made(nodes, {"y": TensorProto.FLOAT}, given, kind)
    low = -128 if signed else 0
    x = np.random.default_rng(9).integers(low, low + 256, (6, 16)).astype(np.int8 if signed else np.uint8)
    (got,), session = ours(graph, {"x": x}, cache)
    assert steps_of(session)[-1] == "DynamicMatMul", session.explain()
    held, points = given["w"].astype(np.int64), given["w_points"].astype(np.int64)
    sums = (x.astype(np.int64) - int(given[point] if point else 0)) @ (held - points)
    assert distance(got, sums * given[scale] + given["bias"]).max() < PRECISION


def test_scale_and_zero_point_may_be_used_elsewhere(cache: Cache) -> None:
    nodes = [
        QUANTIZE,
        helper.make_node("Mul", ["s", "w_scale"], ["scale"]),
        helper.make_node("MatMulInteger", ["q", "w", "z", "w_point"], ["sums"]),
        CAST,
        helper.make_node("Mul", ["reals", "scale"], ["y"]),
    ]
    outputs = {"y": TensorProto.FLOAT, "q": TensorProto.UINT8, "s": TensorProto.FLOAT, "z": TensorProto.UINT8}
    graph = made(nodes, outputs, constants())
    got, session = ours(graph, X, cache)
    assert "DynamicMatMul" in steps_of(session), session.explain()
    y, *others = stock(graph, X)
    assert distance(got[0], y).max() < PRECISION
    for answer, expected in zip(got[1:], others, strict=True):
        np.testing.assert_array_equal(answer, expected)


LEFT = {
    "sums are an output": ([], {"sums": TensorProto.INT32}, "its sums are not cast to float32 next"),
    "no scale": (
        [CAST, helper.make_node("Sub", ["reals", "w_scale"], ["y"])],
        {"y": TensorProto.FLOAT},
        "its sums are not multiplied with a scale next",
    ),
    "another scale": (
        [CAST, helper.make_node("Mul", ["reals", "w_scale"], ["y"])],
        {"y": TensorProto.FLOAT},
        "its scale or zero point is neither constant nor that of its first input",
    ),
    "sums used twice": (
        [
            CAST,
            helper.make_node("Mul", ["s", "w_scale"], ["scale"]),
            helper.make_node("Mul", ["reals", "scale"], ["a"]),
            helper.make_node("Mul", ["reals", "w_scale"], ["y"]),
        ],
        {"a": TensorProto.FLOAT, "y": TensorProto.FLOAT},
        "its sums are not multiplied with a scale next",
    ),
}


@pytest.mark.parametrize("name", LEFT)
def test_other_chains_are_left_to_onnxruntime(name: str, cache: Cache) -> None:
    nodes, outputs, reason = LEFT[name]
    product = helper.make_node("MatMulInteger", ["q", "w", "z", "w_point"], ["sums"])
    graph = made([QUANTIZE, product, *nodes], outputs, constants())
    got, session = ours(graph, X, cache)
    assert left_of(session)["MatMulInteger"] == reason
    for answer, expected in zip(got, stock(graph, X), strict=True):
        np.testing.assert_array_equal(answer, expected)
