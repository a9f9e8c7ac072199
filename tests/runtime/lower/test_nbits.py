"""Products with weights of 4 and 8 bits in blocks, as onnxruntime's quantizer writes them and put together by hand."""

from collections import Counter

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

from edgebig.runtime.cache import Cache
from tests.runtime.nets import feeds_of, left_of, net, ours, steps_of, stock

PERCEPTRON = """agraph (float[5, 96] x, float[96, 64] w0, float[64] b0, float[64, 24] w1) => (float[5, 24] y) {
    a = MatMul (x, w0)
    c = Add (a, b0)
    d = Gelu (c)
    y = MatMul (d, w1) }"""
# Sums of floats in another order; of activations rounded to int8 by block, as onnxruntime does at this level.
FLOAT_PRECISION, INT8_PRECISION = 1e-5, 2e-2


def distance(got: NDArray, expected: NDArray) -> float:
    """The largest, relative to the largest number expected."""
    return float(np.abs(got - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("accuracy", [0, 4])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [4, 8])
def test_nets_of_the_quantizer(bits: int, symmetric: bool, accuracy: int, cache: Cache) -> None:
    model = net(PERCEPTRON, opset=21)
    quantizer = MatMulNBitsQuantizer(model, bits, 32, symmetric, accuracy)
    quantizer.process()
    graph = quantizer.model.model.SerializeToString()
    assert [node.op_type for node in quantizer.model.model.graph.node].count("MatMulNBits") == 2
    (feed,) = feeds_of(model, seed=2)
    (got,), session = ours(graph, feed, cache)
    assert not left_of(session), session.explain()
    assert Counter(steps_of(session))["MatMulNBits"] == 2, session.explain()
    precision = INT8_PRECISION if accuracy == 4 else FLOAT_PRECISION
    assert distance(got, stock(graph, feed)[0]) < precision


def node_of(
    bits: int, block: int, inner: int, columns: int, *, points: bool, bias: bool, **attributes: int
) -> tuple[bytes, NDArray]:
    """A model of one MatMulNBits of x [2, 3, inner], and the weights [inner, columns] that its bytes stand for."""
    rng = np.random.default_rng(bits + block)
    blocks = -(-inner // block)
    values = rng.integers(0, 1 << bits, (columns, blocks, block))
    zero_points = rng.integers(0, 1 << bits, (columns, blocks)) if points else np.full((columns, blocks), 1 << bits - 1)
    scales = rng.uniform(0.01, 0.02, (columns, blocks)).astype(np.float32)
    constants = {"w": _packed(values, bits), "scales": scales.reshape(-1)}
    constants |= {"points": _packed(zero_points, bits).reshape(-1)} if points else {}
    constants |= {"bias": rng.normal(size=columns).astype(np.float32)} if bias else {}
    names = ["x", "w", "scales", "points" if points else "", "", "bias" if bias else ""]
    while not names[-1]:
        names.pop()
    node = helper.make_node(
        "MatMulNBits",
        names,
        ["y"],
        domain="com.microsoft",
        K=inner,
        N=columns,
        bits=bits,
        block_size=block,
        **attributes,
    )
    graph = helper.make_graph(
        [node],
        "agraph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3, inner])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3, columns])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    real = ((values - zero_points[..., None]) * scales[..., None]).reshape(columns, -1)[:, :inner].T
    return model.SerializeToString(), real


def _packed(values: NDArray, bits: int) -> NDArray:
    """Along the last axis, the first of two values of 4 bits in the lower half of a byte."""
    if bits == 8:
        return values.astype(np.uint8)
    if values.shape[-1] % 2:
        values = np.concatenate([values, np.zeros_like(values[..., :1])], axis=-1)
    return (values[..., 0::2] | values[..., 1::2] << 4).astype(np.uint8)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("points", [True, False])
@pytest.mark.parametrize("bits", [4, 8])
def test_what_the_bytes_stand_for(bits: int, points: bool, bias: bool, cache: Cache) -> None:
    graph, real = node_of(bits, 32, 72, 20, points=points, bias=bias)
    x = np.random.default_rng(3).normal(size=(2, 3, 72)).astype(np.float32)
    (got,), session = ours(graph, {"x": x}, cache)
    assert steps_of(session) == ["MatMulNBits"], session.explain()
    arrays = {t.name: numpy_helper.to_array(t) for t in onnx.ModelProto.FromString(graph).graph.initializer}
    expected = x.astype(np.float64) @ real + arrays.get("bias", 0)
    assert distance(got, expected) < FLOAT_PRECISION
    assert distance(got, stock(graph, {"x": x})[0]) < FLOAT_PRECISION


@pytest.mark.parametrize("block", [16, 64, 128])
def test_sizes_of_blocks(block: int, cache: Cache) -> None:
    graph, real = node_of(4, block, 160, 12, points=True, bias=False, accuracy_level=4)
    x = np.random.default_rng(4).normal(size=(2, 3, 160)).astype(np.float32)
    (got,), session = ours(graph, {"x": x}, cache)
    assert steps_of(session) == ["MatMulNBits"], session.explain()
    assert distance(got, x.astype(np.float64) @ real) < INT8_PRECISION


def test_two_threads_give_the_same(cache: Cache) -> None:
    graph, _ = node_of(4, 32, 256, 96, points=False, bias=True, accuracy_level=4)
    x = np.random.default_rng(5).normal(size=(2, 3, 256)).astype(np.float32)
    (one,), _ = ours(graph, {"x": x}, cache)
    (two,), _ = ours(graph, {"x": x}, cache, threads=2)
    np.testing.assert_array_equal(one, two)


def test_blocks_that_no_kernel_has_are_left(cache: Cache) -> None:
    graph, _ = node_of(4, 256, 512, 8, points=False, bias=False)
    x = np.random.default_rng(6).normal(size=(2, 3, 512)).astype(np.float32)
    (got,), session = ours(graph, {"x": x}, cache)
    assert "blocks (16, 32, 64, 128)" in left_of(session)["MatMulNBits"]
    np.testing.assert_array_equal(got, stock(graph, {"x": x})[0])
