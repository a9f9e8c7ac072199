"""Nets quantized by onnxruntime: our kernels give what its float simulation of the graph gives, to one step."""

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import QuantFormat, QuantType

from edgebig.runtime.cache import Cache
from tests.runtime.nets import feeds_of, left_of, net, ours, output_scale, quantized, steps_of, stock

NETS = {
    "conv": """agraph (float[2, 5, 9, 7] x, float[13, 5, 3, 3] w0, float[13] b0) => (float[2, 13, 5, 4] y) {
        a = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (x, w0, b0)
        y = Relu (a) }""",
    "inverted": """agraph (float[1, 8, 10, 10] x, float[24, 8, 1, 1] w0, float[24] b0, float[24, 1, 5, 5] w1,
          float[24] b1, float[8, 24, 1, 1] w2, float[8] b2) => (float[1, 8, 10, 10] y) {
        zero = Constant <value = float {0.0}> ()
        six = Constant <value = float {6.0}> ()
        a = Conv (x, w0, b0)
        b = Clip (a, zero, six)
        c = Conv <group = 24, pads = [2, 2, 2, 2]> (b, w1, b1)
        d = Clip (c, zero, six)
        e = Conv (d, w2, b2)
        y = Add (e, x) }""",
    "squeeze": """agraph (float[2, 16, 6, 6] x, float[16, 16, 3, 3] w0, float[4, 16, 1, 1] w1, float[16, 4, 1, 1] w2)
          => (float[2, 16, 6, 6] y) {
        a = Conv <pads = [1, 1, 1, 1]> (x, w0)
        b = HardSwish (a)
        g = GlobalAveragePool (b)
        h = Conv (g, w1)
        i = Relu (h)
        j = Conv (i, w2)
        k = HardSigmoid (j)
        y = Mul (b, k) }""",
    "grouped": """agraph (float[1, 12, 8, 8] x, float[18, 4, 3, 3] w0, float[18] b0) => (float[1, 18, 6, 6] y) {
        y = Conv <group = 3, dilations = [1, 1]> (x, w0, b0) }""",
    "pools": """agraph (float[1, 6, 12, 12] x, float[10, 6, 3, 3] w0, float[10, 10, 1, 1] w1)
          => (float[1, 10, 3, 3] y) {
        a = Conv <pads = [1, 1, 1, 1]> (x, w0)
        b = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (a)
        c = Conv (b, w1)
        y = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (c) }""",
    "branches": """agraph (float[1, 8, 6, 6] x, float[5, 8, 1, 1] w0, float[7, 8, 3, 3] w1, float[9, 12, 1, 1] w2)
          => (float[1, 9, 6, 6] y) {
        a = Conv (x, w0)
        b = Conv <pads = [1, 1, 1, 1]> (x, w1)
        c = Concat <axis = 1> (a, b)
        y = Conv (c, w2) }""",
    "resized": """agraph (float[1, 4, 5, 6] x, float[7, 4, 3, 3] w0, float[5, 7, 1, 1] w1) => (float[1, 5, 10, 9] y) {
        a = Conv <pads = [1, 1, 1, 1]> (x, w0)
        sizes = Constant <value = int64[4] {1, 7, 10, 9}> ()
        b = Resize <mode = "nearest", nearest_mode = "floor"> (a, , , sizes)
        y = Conv (b, w1) }""",
    "halves": """agraph (float[1, 8, 5, 5] x, float[12, 8, 1, 1] w0, float[9, 12, 1, 1] w1) => (float[1, 9, 5, 5] y) {
        a = Conv (x, w0)
        b, c = Split <axis = 1, num_outputs = 2> (a)
        d = Concat <axis = 1> (c, b)
        y = Conv (d, w1) }""",
    "head": """agraph (float[3, 4, 5, 5] x, float[6, 4, 3, 3] w0, float[54, 10] w1, float[10] b1) => (float[3, 10] y) {
        a = Conv (x, w0)
        b = Relu (a)
        c = Flatten (b)
        y = Gemm (c, w1, b1) }""",
    "perceptron": """agraph (float[1, 37] x, float[37, 64] w0, float[64] b0, float[64, 10] w1) => (float[1, 10] y) {
        a = MatMul (x, w0)
        b = Add (a, b0)
        c = Relu (b)
        y = MatMul (c, w1) }""",
    "line": """agraph (float[1, 4, 33] x, float[8, 4, 5] w0, float[8, 8, 3] w1) => (float[1, 8, 16] y) {
        a = Conv <pads = [2, 2], strides = [2]> (x, w0)
        b = Relu (a)
        y = Conv <pads = [0, 1]> (b, w1) }""",
}


@pytest.mark.parametrize("name", NETS)
def test_qdq_net_is_run_by_kernels_to_one_step(name: str, cache: Cache) -> None:
    model = net(NETS[name])
    graph = quantized(model)
    for feed in feeds_of(model, 2, seed=3):
        (expected,) = stock(graph, feed, rewrite=False)
        (got,), session = ours(graph, feed, cache)
        assert steps_of(session), session.explain()
        assert not left_of(session), session.explain()
        np.testing.assert_allclose(got, expected, rtol=0, atol=1.01 * output_scale(graph))
        assert np.mean(got != expected) < 0.1  # sums in another order, next to a half


@pytest.mark.parametrize("name", ["conv", "inverted", "perceptron"])
@pytest.mark.parametrize(
    ("activation", "weight"), [(QuantType.QInt8, QuantType.QInt8), (QuantType.QUInt8, QuantType.QUInt8)]
)
def test_other_signs(name: str, activation: QuantType, weight: QuantType, cache: Cache) -> None:
    model = net(NETS[name])
    graph = quantized(model, activation_type=activation, weight_type=weight, per_channel=False, reduce_range=False)
    (feed,) = feeds_of(model, 1, seed=4)
    (expected,) = stock(graph, feed, rewrite=False)
    (got,), session = ours(graph, feed, cache)
    assert not left_of(session), session.explain()
    np.testing.assert_allclose(got, expected, rtol=0, atol=1.01 * output_scale(graph))


@pytest.mark.parametrize("name", ["conv", "inverted", "squeeze", "head", "pools"])
def test_qoperator_net(name: str, cache: Cache) -> None:
    model = net(NETS[name])
    graph = quantized(model, quant_format=QuantFormat.QOperator)
    (feed,) = feeds_of(model, 1, seed=5)
    (expected,) = stock(graph, feed)
    (got,), session = ours(graph, feed, cache)
    assert steps_of(session), session.explain()
    # onnxruntime has integer kernels for these: sums are the same, roundings may differ by a step.
    np.testing.assert_allclose(got, expected, rtol=0, atol=1.01 * output_scale_of_operators(graph))


@pytest.mark.parametrize("name", ["inverted", "conv", "perceptron"])
def test_zero_blocks_are_skipped(name: str, cache: Cache) -> None:
    model = net(NETS[name], seed=7)
    rng = np.random.default_rng(8)
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor).copy()
        if array.ndim == 4 and array.shape[1] > 1:
            blocks = np.zeros((-(-array.shape[0] // 16), -(-array.shape[1] // 4)), np.float32)
            blocks[:, rng.integers(blocks.shape[1])] = 1
            mask = blocks.repeat(16, 0).repeat(4, 1)[: array.shape[0], : array.shape[1]]
            tensor.CopyFrom(onnx.numpy_helper.from_array(array * mask[..., None, None], tensor.name))
        elif array.ndim == 2:
            array[8:] = 0  # inputs come first: whole blocks of 4 inputs x 16 outputs
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    graph = quantized(model)
    (feed,) = feeds_of(model, 1, seed=9)
    (expected,) = stock(graph, feed, rewrite=False)
    (got,), session = ours(graph, feed, cache)
    assert "SparseConv" in steps_of(session), session.explain()
    np.testing.assert_allclose(got, expected, rtol=0, atol=1.01 * output_scale(graph))


def test_full_8_bit_weights_do_not_saturate(cache: Cache) -> None:
    model = net(NETS["conv"])
    graph = quantized(model, reduce_range=False)
    feed = {name: np.abs(array) * 4 for name, array in feeds_of(model)[0].items()}
    (expected,) = stock(graph, feed, rewrite=False)
    (got,), _ = ours(graph, feed, cache)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1.01 * output_scale(graph))


def test_two_threads_give_the_same(cache: Cache) -> None:
    model = net(NETS["inverted"].replace("10, 10", "40, 40"))
    graph = quantized(model)
    (feed,) = feeds_of(model, 1, seed=6)
    (one,), _ = ours(graph, feed, cache)
    (two,), _ = ours(graph, feed, cache, threads=2)
    np.testing.assert_array_equal(one, two)


def output_scale_of_operators(graph: bytes) -> float:
    """One step of the last DequantizeLinear."""
    proto = onnx.ModelProto.FromString(graph).graph
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.initializer}
    last = [node for node in proto.node if node.op_type == "DequantizeLinear"][-1]
    return float(arrays[last.input[1]].reshape(-1)[0])
