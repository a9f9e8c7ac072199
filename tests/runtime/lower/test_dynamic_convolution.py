"""ConvInteger as `quantize_dynamic` writes it: the same answers as onnxruntime's, all of it in kernels."""

import numpy as np
import pytest
from onnxruntime.quantization import QuantType

from edgebig.runtime.cache import Cache
from tests.runtime.nets import dynamically_quantized, feeds_of, left_of, net, ours, steps_of, stock

LAYERS = {
    "bias": """agraph (float[1, 3, 9, 8] x, float[16, 3, 3, 3] w0, float[16] b0) => (float[1, 16, 9, 8] y) {
        y = Conv <pads = [1, 1, 1, 1]> (x, w0, b0) }""",
    "relu": """agraph (float[2, 8, 7, 7] x, float[12, 8, 1, 1] w0, float[12] b0) => (float[2, 12, 7, 7] y) {
        a = Conv (x, w0, b0)
        y = Relu (a) }""",
    "strided": """agraph (float[1, 6, 9, 9] x, float[10, 6, 3, 3] w0) => (float[1, 10, 5, 5] y) {
        y = Conv <strides = [2, 2], pads = [1, 1, 1, 1]> (x, w0) }""",
    "depthwise": """agraph (float[1, 16, 8, 8] x, float[16, 1, 3, 3] w0, float[16] b0) => (float[1, 16, 8, 8] y) {
        y = Conv <group = 16, pads = [1, 1, 1, 1]> (x, w0, b0) }""",
}


@pytest.mark.parametrize("reduce_range", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_onnxruntimes(name: str, reduce_range: bool, cache: Cache) -> None:
    model = net(LAYERS[name])
    graph = dynamically_quantized(model, weight_type=QuantType.QUInt8, reduce_range=reduce_range)
    for seed, shift in ((1, 0.0), (2, 3.0), (3, -5.0)):
        feed = {key: array + np.float32(shift) for key, array in feeds_of(model, seed=seed)[0].items()}
        (got,), session = ours(graph, feed, cache)
        assert not left_of(session), session.explain()
        steps = [step for step in steps_of(session) if step != "Transpose"]
        assert steps == ["DynamicQuantize", "DynamicConv"], session.explain()
        (expected,) = stock(graph, feed)
        assert np.abs(got - expected).max() <= 2e-6 * np.abs(expected).max()


def test_a_net(cache: Cache) -> None:
    model = net("""agraph (float[1, 3, 16, 16] x, float[16, 3, 3, 3] w0, float[16] b0, float[16, 16, 3, 3] w1,
          float[16] b1, float[16, 10] w2, float[10] b2) => (float[1, 10] y) {
        a = Conv <pads = [1, 1, 1, 1]> (x, w0, b0)
        c = Relu (a)
        d = Conv <pads = [1, 1, 1, 1]> (c, w1, b1)
        e = Add (c, d)
        f = GlobalAveragePool (e)
        g = Flatten (f)
        y = Gemm (g, w2, b2) }""")
    graph = dynamically_quantized(model, weight_type=QuantType.QUInt8)
    (feed,) = feeds_of(model, seed=4)
    (got,), session = ours(graph, feed, cache)
    assert not left_of(session), session.explain()
    steps = steps_of(session)
    assert (steps.count("DynamicConv"), steps.count("DynamicMatMul"), steps.count("DynamicQuantize")) == (2, 1, 3)
    (expected,) = stock(graph, feed)
    assert np.abs(got - expected).max() <= 0.02 * np.abs(expected).max()


def test_two_threads_give_the_same(cache: Cache) -> None:
    model = net("""agraph (float[1, 16, 32, 32] x, float[32, 16, 3, 3] w0) => (float[1, 32, 30, 30] y) {
        y = Conv (x, w0) }""")
    graph = dynamically_quantized(model, weight_type=QuantType.QUInt8)
    (feed,) = feeds_of(model, seed=7)
    (one,), _ = ours(graph, feed, cache)
    (two,), _ = ours(graph, feed, cache, threads=2)
    np.testing.assert_array_equal(one, two)
