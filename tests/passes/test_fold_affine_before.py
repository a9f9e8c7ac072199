"""Scales and shifts before a layer: folded where exact, refused with padding, fan-out and normalisations."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest

from edgebig.passes.base import PassResult
from edgebig.passes.fold_affine_before import FoldAffineBefore

Ops = Callable[[ir.Model], list[str]]
Apply = Callable[..., PassResult]
BN = "BatchNormalization<epsilon = 0.01>"


def floats(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def batch_norm(rng: np.random.Generator, channels: int, *, shift: bool = True) -> dict[str, np.ndarray]:
    return {
        "gamma": rng.uniform(-2.0, 2.0, channels).astype(np.float32),
        "beta": floats(rng, channels) * shift,
        "mean": floats(rng, channels) * shift,
        "var": rng.uniform(0.1, 3.0, channels).astype(np.float32),
    }


@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize("bias", [False, True])
def test_batch_norm_into_unpadded_conv(build, apply: Apply, ops: Ops, rng, group: int, bias: bool) -> None:
    text = f"""g (float[2, 4, 7, 7] x) => (float[2, 8, H, W] y) {{
        c = {BN}(x, gamma, beta, mean, var)
        y = Conv<group = {group}, strides = [2, 2], dilations = [1, 2]>(c, w{", b" if bias else ""}) }}"""
    arrays = {"w": floats(rng, 8, 4 // group, 3, 3), **batch_norm(rng, 4)}
    if bias:
        arrays["b"] = floats(rng, 8)
    model = build(text, **arrays)
    result = apply(FoldAffineBefore(), model, {"x": floats(rng, 2, 4, 7, 7)})
    assert ops(model) == ["Conv"]
    assert result.counts == {"BatchNormalization into Conv": 1}


@pytest.mark.parametrize("padding", ["pads = [1, 1, 1, 1]", 'auto_pad = "SAME_UPPER"'])
def test_only_a_pure_scale_passes_padding(build, apply: Apply, ops: Ops, rng, padding: str) -> None:
    text = f"""g (float[2, 4, 7, 7] x) => (float[2, 8, H, W] y) {{
        c = {BN}(x, gamma, beta, mean, var) y = Conv<{padding}>(c, w) }}"""
    x = {"x": floats(rng, 2, 4, 7, 7)}
    scaled = build(text, w=floats(rng, 8, 4, 3, 3), **batch_norm(rng, 4, shift=False))
    assert apply(FoldAffineBefore(), scaled, x).modified
    assert ops(scaled) == ["Conv"]
    shifted = build(text, w=floats(rng, 8, 4, 3, 3), **batch_norm(rng, 4))
    result = apply(FoldAffineBefore(), shifted, x)
    assert not result.modified
    assert "pads with zeros" in result.skipped[0].reason


@pytest.mark.parametrize("group", [1, 2])
def test_scale_into_conv_transpose_and_never_a_shift(build, apply: Apply, ops: Ops, rng, group: int) -> None:
    text = f"""g (float[2, 4, 5, 5] x) => (float[2, 6, H, W] y) {{
        c = {BN}(x, gamma, beta, mean, var) y = ConvTranspose<group = {group}, strides = [2, 2]>(c, w, b) }}"""
    arrays = {"w": floats(rng, 4, 6 // group, 3, 3), "b": floats(rng, 6)}
    x = {"x": floats(rng, 2, 4, 5, 5)}
    scaled = build(text, **arrays, **batch_norm(rng, 4, shift=False))
    assert apply(FoldAffineBefore(), scaled, x).modified
    assert ops(scaled) == ["ConvTranspose"]
    result = apply(FoldAffineBefore(), build(text, **arrays, **batch_norm(rng, 4)), x)
    assert "borders" in result.skipped[0].reason


@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize("bias_shape", [None, (6,), (1, 6), (1,)])
def test_batch_norm_into_gemm(build, apply: Apply, ops: Ops, rng, trans_b: int, bias_shape) -> None:
    text = f"""g (float[3, 5] x) => (float[3, 6] y) {{
        c = {BN}(x, gamma, beta, mean, var)
        y = Gemm<transB = {trans_b}, alpha = 0.5, beta = 3.0>(c, w{"" if bias_shape is None else ", b"}) }}"""
    arrays = {"w": floats(rng, *((6, 5) if trans_b else (5, 6))), **batch_norm(rng, 5)}
    if bias_shape is not None:
        arrays["b"] = floats(rng, *bias_shape)
    model = build(text, **arrays)
    apply(FoldAffineBefore(), model, {"x": floats(rng, 3, 5)})
    assert ops(model) == ["Gemm"]


@pytest.mark.parametrize("last", [True, False])
def test_batch_norm_into_matmul_leaves_a_bias(build, apply: Apply, ops: Ops, rng, last: bool) -> None:
    tail = "y = MatMul(c, w)" if last else "m = MatMul(c, w) y = Relu(m)"
    text = f"g (float[3, 5] x) => (float[3, 6] y) {{ c = {BN}(x, gamma, beta, mean, var) {tail} }}"
    model = build(text, w=floats(rng, 5, 6), **batch_norm(rng, 5))
    apply(FoldAffineBefore(), model, {"x": floats(rng, 3, 5)})
    assert ops(model) == ["MatMul", "Add"] + ([] if last else ["Relu"])
    assert model.graph.outputs[0].name == "y"


def test_input_normalisation_goes_into_the_first_conv(build, apply: Apply, ops: Ops, rng) -> None:
    """(x - mean) / deviation, as preprocessing is written."""
    text = """g (float[N, 3, 8, 8] x) => (float[N, 8, H, W] y) {
        s = Sub(x, mean) d = Div(s, deviation) y = Conv(d, w, b) }"""
    model = build(
        text,
        mean=floats(rng, 1, 3, 1, 1),
        deviation=floats(rng, 1, 3, 1, 1) + 2,
        w=floats(rng, 8, 3, 3, 3),
        b=floats(rng, 8),
    )
    apply(FoldAffineBefore(), model, {"x": floats(rng, 2, 3, 8, 8)})
    assert ops(model) == ["Conv"]


def test_a_written_out_layer_norm_stays_whole(build, apply: Apply, ops: Ops, rng) -> None:
    """onnxruntime fuses it to LayerNormalization only with its scale and shift in place."""
    text = """g (float[2, 3, 8] x) => (float[2, 3, 4] y) {
        mean = ReduceMean<axes = [-1]>(x) s = Sub(x, mean) q = Pow(s, two) v = ReduceMean<axes = [-1]>(q)
        e = Add(v, eps) r = Sqrt(e) d = Div(s, r) m = Mul(d, gain) a = Add(m, shift) y = MatMul(a, w) }"""
    model = build(
        text,
        opset=17,
        two=np.float32(2),
        eps=np.float32(1e-5),
        gain=floats(rng, 8),
        shift=floats(rng, 8),
        w=floats(rng, 8, 4),
    )
    before = ops(model)
    assert not apply(FoldAffineBefore(), model, {"x": floats(rng, 2, 3, 8)}).modified
    assert ops(model) == before


REFUSED = {
    "several readers": (f"c = {BN}(x, gamma, beta, mean, var) y = Conv(c, w) z = Relu(c)", "several nodes"),
    "an activation between": (
        f"c = {BN}(x, gamma, beta, mean, var) r = Relu(c) y = Conv(r, w) z = Relu(r)",
        "goes to Relu",
    ),
    "shared weights": (f"c = {BN}(x, gamma, beta, mean, var) y = Conv(c, w) z = Conv(x, w)", "serve several nodes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_say_why(build, apply: Apply, rng, case: str) -> None:
    body, reason = REFUSED[case]
    head = "g (float[1, 4, 5, 5] x) => (float[A, B, C, D] y, float[E, F, G, H] z)"
    model = build(f"{head} {{ {body} }}", w=floats(rng, 8, 4, 3, 3), **batch_norm(rng, 4))
    result = apply(FoldAffineBefore(), model, {"x": floats(rng, 1, 4, 5, 5)})
    assert not result.modified
    assert [skipped for skipped in result.skipped if reason in skipped.reason], result.skipped


def test_a_constant_that_makes_the_channels_stays(build, apply: Apply, ops: Ops, rng) -> None:
    text = "g (float[2, 1, 7, 7] x) => (float[2, 8, H, W] y) { c = Mul(x, k) y = Conv(c, w) }"
    model = build(text, w=floats(rng, 8, 4, 3, 3), k=floats(rng, 1, 4, 1, 1))
    assert not apply(FoldAffineBefore(), model, {"x": floats(rng, 2, 1, 7, 7)}).modified


def test_transposed_gemm_data_and_weights_on_the_left_stay(build, apply: Apply, rng) -> None:
    gemm = build(
        "g (float[5, 3] x) => (float[3, 6] y) { c = Mul(x, k) y = Gemm<transA = 1>(c, w) }",
        w=floats(rng, 5, 6),
        k=floats(rng, 3),
    )
    assert not apply(FoldAffineBefore(), gemm, {"x": floats(rng, 5, 3)}).modified
    left = build(
        "g (float[5, 3] x) => (float[6, 3] y) { c = Mul(x, k) y = MatMul(w, c) }", w=floats(rng, 6, 5), k=floats(rng, 3)
    )
    assert not apply(FoldAffineBefore(), left, {"x": floats(rng, 5, 3)}).modified
