"""Graphs that stock tools ruin come out right at default effort, and mostly in integers."""

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgebig.data.feeds import Feed
from edgebig.quantize import quantize_model
from edgebig.records.quantize import QuantizeOptions, QuantizeRecord
from tests.quantize.build import build, normal, run, sqnr_db

OPTIONS = QuantizeOptions(scheme="int8", threads=1)


def quantized(model: ir.Model, data: Feed | list[Feed]) -> tuple[ir.Model, QuantizeRecord]:
    result, record = quantize_model(model, data=data, options=OPTIONS)
    assert record.loss is not None and np.isfinite(record.loss)
    return result, record


def level(model: ir.Model, result: ir.Model, feed: Feed) -> float:
    return sqnr_db(run(model, feed), run(result, feed))


@pytest.mark.parametrize("masked", [-1e9, float(np.finfo(np.float32).min)], ids=["-1e9", "float minimum"])
def test_an_additive_attention_mask(masked: float) -> None:
    """The mask's range must not become the scores' scale."""
    model = build(
        """g (float[N, T, 32] x, float[N, T] mask) => (float[N, T, 32] y) {
        q = MatMul(x, wq) k = MatMul(x, wk) v = MatMul(x, wv) kt = Transpose<perm = [0, 2, 1]>(k)
        s = MatMul(q, kt) off = Sub(one, mask) big = Mul(off, low) wide = Unsqueeze(big, axis) m = Add(s, wide)
        p = Softmax<axis = -1>(m) o = MatMul(p, v) y = MatMul(o, wo) }""",
        wq=normal(32, 32) / 8, wk=normal(32, 32, seed=1) / 8, wv=normal(32, 32, seed=2), wo=normal(32, 32, seed=3),
        one=np.float32(1), low=np.float32(masked), axis=np.array([1]),
    )  # fmt: skip
    keep = (np.arange(12) < np.random.default_rng(0).integers(4, 13, (64, 1))).astype(np.float32)
    feed = {"x": normal(64, 12, 32), "mask": keep}
    result, record = quantized(model, feed)
    assert level(model, result, feed) > 30
    assert record.weight_share > 0.99


def test_heads_that_span_orders_of_magnitude() -> None:
    """Boxes in hundreds and scores below one, concatenated: one scale for both would round the scores away."""
    model = build(
        """g (float[N, 16, 8, 8] x) => (float[N, 5, 64] y) {
        a = Conv<pads = [1, 1, 1, 1]>(x, w) r = Relu(a) b = Conv(r, wb) c = Conv(r, wc) s = Sigmoid(c)
        j = Concat<axis = 1>(b, s) y = Reshape(j, shape) }""",
        w=normal(16, 16, 3, 3) / 8, wb=normal(4, 16, 1, 1, seed=1) * 300, wc=normal(1, 16, 1, 1, seed=2) / 4,
        shape=np.array([0, 5, 64]),
    )  # fmt: skip
    feed = {"x": normal(64, 16, 8, 8)}
    result, _ = quantized(model, feed)
    expected, found = run(model, feed), run(result, feed)
    assert sqnr_db(expected[:, :4], found[:, :4]) > 28
    assert sqnr_db(expected[:, 4:], found[:, 4:]) > 28


def stft_basis(size: int = 64) -> NDArray:
    phase = 2 * np.pi * np.outer(np.arange(size // 2), np.arange(size)) / size
    window = np.hanning(size)
    return np.concatenate([np.cos(phase), -np.sin(phase)])[:, None].astype(np.float32) * window.astype(np.float32)


def test_an_stft_written_as_a_convolution() -> None:
    """Spectra of speech-like signals fall by orders of magnitude, and their logarithm shows every step of the low."""
    model = build(
        """g (float[N, 1, 512] x) => (float[N, 16, 15] y) {
        f = Conv<strides = [32]>(x, basis) re, im = Split<axis = 1, num_outputs = 2>(f)
        a = Mul(re, re) b = Mul(im, im) p = Add(a, b) e = Add(p, tiny) l = Log(e) y = Conv(l, w) }""",
        basis=stft_basis(), tiny=np.float32(1e-5), w=normal(16, 32, 1) / 6,
    )  # fmt: skip
    noise = np.cumsum(normal(64, 1, 512), axis=-1)  # its power falls with the square of the frequency
    feed = {"x": (noise / np.abs(noise).max()).astype(np.float32)}
    result, _ = quantized(model, feed)
    assert level(model, result, feed) > 28


def test_a_batch_norm_behind_a_relu() -> None:
    model = build(
        """g (float[N, 8, 10, 10] x) => (float[N, 8, 10, 10] y) {
        a = Conv<pads = [1, 1, 1, 1]>(x, w1) r = Relu(a) b = BatchNormalization(r, g, h, m, v)
        y = Conv<pads = [1, 1, 1, 1]>(b, w2) }""",
        w1=normal(8, 8, 3, 3) / 6, w2=normal(8, 8, 3, 3, seed=1) / 6, g=np.abs(normal(8)) + 0.1, h=normal(8, seed=2),
        m=np.abs(normal(8, seed=3)), v=np.abs(normal(8, seed=4)) + 0.1,
    )  # fmt: skip
    feed = {"x": normal(64, 8, 10, 10)}
    result, record = quantized(model, feed)
    assert level(model, result, feed) > 30
    assert record.weight_share > 0.9


def test_depthwise_channels_with_ranges_a_thousand_apart() -> None:
    sizes = np.logspace(-1.5, 1.5, 16).astype(np.float32)
    model = build(
        """g (float[N, 16, 10, 10] x) => (float[N, 16, 10, 10] y) {
        a = Conv(x, w1) r = Relu(a) d = Conv<group = 16, pads = [1, 1, 1, 1]>(r, wd) s = Relu(d) y = Conv(s, w2) }""",
        w1=normal(16, 16, 1, 1) * sizes[:, None, None, None] / 4, wd=normal(16, 1, 3, 3, seed=1) / 3,
        w2=normal(16, 16, 1, 1, seed=2) / sizes[:, None, None] / 4,
    )  # fmt: skip
    feed = {"x": normal(64, 16, 10, 10)}
    result, record = quantized(model, feed)
    assert level(model, result, feed) > 28
    assert any(row.algorithm == "equalize" and row.kept for row in record.algorithms)


def test_float16_weights_behind_casts() -> None:
    model = build(
        """g (float[N, 32] x) => (float[N, 16] y) {
        w = Cast<to = 1>(w16) a = MatMul(x, w) b = Relu(a) v = Cast<to = 1>(v16) y = MatMul(b, v) }""",
        w16=normal(32, 64).astype(np.float16), v16=normal(64, 16, seed=1).astype(np.float16),
    )  # fmt: skip
    feed = {"x": normal(128, 32)}
    result, record = quantized(model, feed)
    assert level(model, result, feed) > 30
    assert {row.op_type for row in record.nodes if row.quantized} >= {"MatMul"}


def test_inputs_that_grow_as_a_cache_does() -> None:
    model = build(
        """g (float[N, 1, 32] x, float[N, P, 32] past) => (float[N, 1, 32] y, float[N, T, 32] present) {
        k = MatMul(x, wk) present = Concat<axis = 1>(past, k) t = Transpose<perm = [0, 2, 1]>(present)
        q = MatMul(x, wq) a = MatMul(q, t) s = Mul(a, scale) p = Softmax<axis = -1>(s)
        o = MatMul(p, present) y = MatMul(o, wo) }""",
        wk=normal(32, 32) / 6, scale=np.float32(0.18), wq=normal(32, 32, seed=1) / 6, wo=normal(32, 32, seed=2) / 6,
    )  # fmt: skip
    # The first cache is empty.
    feeds = [{"x": normal(32, 1, 32, seed=n), "past": normal(32, n, 32, seed=n + 9)} for n in range(12)]
    result, _ = quantized(model, feeds)
    assert min(level(model, result, feed) for feed in feeds) > 24
    assert run(result, feeds[0]).shape == (32, 1, 32)


def test_scalars_and_tensors_without_elements() -> None:
    model = build(
        """g (float[N, 16] x, float gain, float[E, 16] extra) => (float[M, 8] y) {
        j = Concat<axis = 0>(x, extra) s = Mul(j, gain) y = MatMul(s, w) }""",
        w=normal(16, 8),
    )  # fmt: skip
    feeds = [
        {"x": normal(8, 16, seed=n), "gain": np.array(1 + n, np.float32), "extra": np.zeros((0, 16), np.float32)}
        for n in range(8)
    ]
    result, _ = quantized(model, feeds)
    assert level(model, result, feeds[-1]) > 25


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_a_decoder_of_transposed_convolutions_and_resizes(mode: str) -> None:
    model = build(
        f"""g (float[N, 16, 6, 6] x) => (float[N, 8, 24, 24] y) {{
        a = ConvTranspose<strides = [2, 2]>(x, w1, b1) r = Relu(a)
        u = Resize<mode = "{mode}", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor">(r, , two)
        y = Conv<pads = [1, 1, 1, 1]>(u, w2) }}""",
        w1=normal(16, 16, 2, 2) / 6, b1=normal(16), w2=normal(8, 16, 3, 3, seed=1) / 8,
        two=np.array([1, 1, 2, 2], np.float32),
    )  # fmt: skip
    feed = {"x": normal(64, 16, 6, 6)}
    result, record = quantized(model, feed)
    assert level(model, result, feed) > 30
    assert any(row.op_type == "Conv" and row.quantized for row in record.nodes)


def test_channels_last_graphs_full_of_transposes() -> None:
    model = build(
        """g (float[N, 10, 10, 8] x) => (float[N, 10, 10, 8] y) {
        a = Transpose<perm = [0, 3, 1, 2]>(x) b = Conv<pads = [1, 1, 1, 1]>(a, w1)
        c = Transpose<perm = [0, 2, 3, 1]>(b) d = Relu(c)
        e = Transpose<perm = [0, 3, 1, 2]>(d) f = Conv<pads = [1, 1, 1, 1]>(e, w2)
        g1 = Transpose<perm = [0, 2, 3, 1]>(f) y = Add(g1, x) }""",
        w1=normal(16, 8, 3, 3) / 6, w2=normal(8, 16, 3, 3, seed=1) / 8,
    )  # fmt: skip
    feed = {"x": normal(64, 10, 10, 8)}
    result, record = quantized(model, feed)
    assert level(model, result, feed) > 30
    assert record.weight_share == 1.0
