"""Multiply-accumulates against numbers worked out by hand."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest

from edgebig.errors import UnknownNameError
from edgebig.graph.cost import count_macs, has_macs, mac_counters
from edgebig.graph.shapes import infer_shapes

HEAD = "g (float[2, 4, 8, 8] x) => (float[A, B, C, D] y)"


def last(model: ir.Model) -> ir.Node:
    assert infer_shapes(model) is None
    return model.graph.node(-1)


@pytest.mark.parametrize(
    ("line", "shape", "macs"),
    [
        # outputs * inputs per group * kernel
        ("y = Conv(x, w)", (6, 4, 3, 3), 2 * 6 * 36 * 4 * 9),
        ("y = Conv<pads = [1, 1, 1, 1]>(x, w)", (6, 4, 3, 3), 2 * 6 * 64 * 4 * 9),
        ("y = Conv<group = 2, strides = [2, 2]>(x, w)", (6, 2, 3, 3), 2 * 6 * 9 * 2 * 9),
        ("y = Conv<group = 4>(x, w)", (4, 1, 3, 3), 2 * 4 * 36 * 9),
        # inputs * outputs per group * kernel
        ("y = ConvTranspose<strides = [2, 2]>(x, w)", (4, 6, 3, 3), 2 * 4 * 64 * 6 * 9),
        ("y = ConvTranspose<group = 2>(x, w)", (4, 3, 3, 3), 2 * 4 * 64 * 3 * 9),
        ("y = MatMul(x, w)", (8, 5), 2 * 4 * 8 * 5 * 8),
        ("y = MatMul(w, x)", (5, 8), 2 * 4 * 5 * 8 * 8),
    ],
)
def test_dense_operators(build, line: str, shape, macs: int) -> None:
    assert count_macs(last(build(f"{HEAD} {{ {line} }}", w=np.zeros(shape, np.float32)))) == macs


@pytest.mark.parametrize(("attributes", "x", "w"), [("", (3, 5), (5, 7)), ("<transA = 1, transB = 1>", (5, 3), (7, 5))])
def test_gemm(build, attributes: str, x, w) -> None:
    model = build(
        f"g (float[{x[0]}, {x[1]}] x) => (float[3, 7] y) {{ y = Gemm{attributes}(x, w) }}", w=np.zeros(w, np.float32)
    )
    assert count_macs(last(model)) == 3 * 5 * 7


@pytest.mark.parametrize(("op", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize("directions", [1, 2])
def test_recurrent(build, op: str, gates: int, directions: int) -> None:
    direction = ', direction = "bidirectional"' if directions == 2 else ""
    text = f"g (float[7, 2, 5] x) => (float[T, D, B, H] y) {{ y = {op}<hidden_size = 6{direction}>(x, w, r) }}"
    arrays = {
        "w": np.zeros((directions, gates * 6, 5), np.float32),
        "r": np.zeros((directions, gates * 6, 6), np.float32),
    }
    assert count_macs(last(build(text, **arrays))) == 7 * 2 * directions * gates * 6 * (5 + 6)


def test_attention_of_two_activations(build) -> None:
    text = "g (float[2, 3, 10, 4] q, float[2, 3, 4, 12] k) => (float[A, B, C, D] y) { y = MatMul(q, k) }"
    assert count_macs(last(build(text))) == 2 * 3 * 10 * 12 * 4


def test_the_attention_operator(build) -> None:
    text = """g (float[2, 3, 10, 4] q, float[2, 3, 12, 4] k, float[2, 3, 12, 6] v) => (float[A, B, C, D] y) {
        y = Attention(q, k, v) }"""
    model = build(text, opset=23, ir_version=11)
    node = last(model)
    node.outputs[0].shape = ir.Shape([2, 3, 10, 6])
    assert count_macs(node) == 2 * 3 * 10 * 12 * (4 + 6)


def test_einsum(build) -> None:
    text = 'g (float[2, 3, 4] x, float[4, 5] w) => (float[A, B, C] y) { y = Einsum<equation = "bij, jk -> bik">(x, w) }'
    assert count_macs(last(build(text))) == 2 * 3 * 4 * 5


def test_integer_operators(build) -> None:
    text = """g (uint8[2, 4, 8, 8] x, float s, uint8 z) => (uint8[2, 6, 6, 6] y) {
        y = QLinearConv(x, s, z, w, s, wz, s, z) }"""
    model = build(text, w=np.zeros((6, 4, 3, 3), np.int8), wz=np.int8(0))
    assert count_macs(last(model)) == 2 * 6 * 36 * 4 * 9
    text = "g (uint8[3, 5] x) => (int32[3, 7] y) { y = MatMulInteger(x, w) }"
    assert count_macs(last(build(text, w=np.zeros((5, 7), np.int8)))) == 3 * 5 * 7


def test_packed_weights(build) -> None:
    text = """g (float[3, 64] x, uint8[16, 2, 16] w, float[32] s) => (float[3, 16] y) {
        y = com.microsoft.MatMulNBits<K = 64, N = 16, bits = 4, block_size = 32>(x, w, s) }"""
    node = build(text, domains=', "com.microsoft": 1').graph.node(0)
    assert count_macs(node) == 3 * 16 * 64


def test_unknown_shapes_are_unknown_costs(build) -> None:
    model = build("g (float[N, 4] x) => (float[N, 5] y) { y = MatMul(x, w) }", w=np.zeros((4, 5), np.float32))
    assert count_macs(last(model)) is None


@pytest.mark.parametrize("op", ["Relu", "Softmax", "LayerNormalization"])
def test_other_operators_cost_none(build, op: str) -> None:
    model = build(
        f"g (float[2, 4] x) => (float[2, 4] y) {{ y = {op}(x{', w' if op[0] == 'L' else ''}) }}",
        w=np.zeros(4, np.float32),
    )
    assert count_macs(last(model)) == 0
    assert not has_macs(last(model))


def test_the_registry_names_what_it_knows() -> None:
    with pytest.raises(UnknownNameError, match="Conv, ConvInteger"):
        mac_counters.get("Conf")
    counters: list[Callable[[ir.Node], int | None]] = [mac_counters.get(name) for name in mac_counters]
    assert all(callable(counter) for counter in counters)
