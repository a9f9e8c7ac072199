"""Each detector finds the defect that was planted, and says nothing of the model without it."""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgebig.diagnose.causes import DETECTORS, Context, causes_of, detect_inputs
from edgebig.diagnose.causes.saturation import saturation_of
from edgebig.graph.edit import set_array
from tests.diagnose.build import context, layer, net, net_samples, qdq
from tests.quantize.build import build, normal

SOUND = {"x": (-4.0, 4.0), "b": (0.0, 5.0), "d": (0.0, 5.0), "y": (-5.0, 5.0)}
WEIGHTS = {"wa": 1, "wb": 1, "wc": 1}


def kinds(found: Context, name: str) -> list[str]:
    return [cause.kind for cause in causes_of(found, layer(found, name))]


def text(found: Context, name: str, kind: str) -> str:
    return next(cause.text for cause in causes_of(found, layer(found, name)) if cause.kind == kind)


def changed(tensors: Mapping[str, tuple[float, float]], **weights: int | None) -> Context:
    return context(net(), qdq(net(), SOUND | dict(tensors), WEIGHTS | weights), net_samples())


def test_a_sound_model_has_no_causes() -> None:
    found = changed({})
    assert [cause for item in found.inspected.layers for cause in causes_of(found, item)] == []
    assert detect_inputs(found) == []


def test_dead_range() -> None:
    found = changed({"b": (0.0, 500.0)})
    assert kinds(found, "b") == ["dead range"]
    assert "b is quantized for 0 to 500, on these samples it lies in 0 to" in text(found, "b", "dead range")


def test_clipped_range() -> None:
    found = changed({"b": (0.0, 0.4)})
    assert kinds(found, "b") == ["clipped range"]
    assert "% of b lie outside of 0 to 0.4" in text(found, "b", "clipped range")


@pytest.mark.parametrize("scale", [0.0, float("nan"), -0.1])
def test_bad_scale(scale: float) -> None:
    quantized = qdq(net(), SOUND, WEIGHTS)
    set_array(quantized.graph.initializers["q/b/scale"], np.asarray(scale, np.float32))
    found = context(net(), quantized, net_samples())
    assert kinds(found, "b")[0] == "bad scale"
    assert text(found, "b", "bad scale").startswith(f"scale q/b/scale is {scale:g}")


def test_per_tensor_weights() -> None:
    model = net()
    weight = model.graph.initializers["wb"]
    array = weight.const_value.numpy().copy()  # type: ignore[union-attr]
    array[:, 0] *= 100
    set_array(weight, array)
    bad = context(model, qdq(model, {"x": (-4.0, 4.0)}, {"wb": None}), net_samples())
    assert kinds(bad, "c") == ["per-tensor weights"]
    assert "one scale for 32 channels, the largest 86 times the median one" in text(bad, "c", "per-tensor weights")
    good = context(model, qdq(model, {"x": (-4.0, 4.0)}, {"wb": 1}), net_samples())
    assert kinds(good, "c") == []


def test_weight_axis() -> None:
    found = changed({}, wb=0)
    assert kinds(found, "c") == ["weight axis"]
    assert "32 scales along axis 0 of the weight [32, 32]; its 32 output channels are axis 1" in text(
        found, "c", "weight axis"
    )


def test_other_weights() -> None:
    quantized = qdq(net(), SOUND, WEIGHTS)
    stored = quantized.graph.initializers["q/wb/quantized"]
    set_array(stored, np.ascontiguousarray(stored.const_value.numpy()[::-1]))  # type: ignore[union-attr]
    assert "other weights" in kinds(context(net(), quantized, net_samples()), "c")


def test_outlier_channel() -> None:
    model = net()
    weight = model.graph.initializers["wa"]
    array = weight.const_value.numpy().copy()  # type: ignore[union-attr]
    array[:, 5] *= 200
    set_array(weight, array)
    found = context(model, qdq(model, SOUND | {"b": (0.0, 800.0)}, WEIGHTS), net_samples())
    assert "outlier channel" in kinds(found, "b")
    assert text(found, "b", "outlier channel").startswith("channel 5 of b reaches")


def test_mask_in_range() -> None:
    model = build(
        "g (float[n, 8] x, float[n, 8] mask) => (float[n, 8] y) { s = Add (x, mask) y = Softmax <axis = -1> (s) }"
    )
    mask = np.zeros((16, 8), np.float32)
    mask[:, 5:] = -10000
    data = {"x": normal(16, 8), "mask": mask}
    found = context(model, qdq(model, {"s": (-10004.0, 4.0), "y": (0.0, 1.0)}), data)
    assert kinds(found, "s") == ["mask in range"]
    assert kinds(found, "y")[0] == "mask in range"
    assert "its step is 39.2, the numbers that count lie in" in text(found, "s", "mask in range")


def test_mixed_concat_and_wide_head() -> None:
    text_ = (
        "g (float[n, 8] x) => (float[n, 8] y) { a = MatMul (x, wa) b = MatMul (x, wb) y = Concat <axis = 1> (a, b) }"
    )
    model = build(text_, wa=normal(8, 4, scale=1000, seed=1), wb=normal(8, 4, seed=2))
    data = {"x": normal(64, 8)}
    found = context(model, qdq(model, {"y": (-12000.0, 12000.0)}), data)
    assert kinds(found, "y")[:2] == ["mixed-scale concat", "wide output head"]
    assert "a spans" in text(found, "y", "mixed-scale concat")
    near = build(text_, wa=normal(8, 4, seed=1), wb=normal(8, 4, seed=2))
    assert kinds(context(near, qdq(near, {"y": (-12.0, 12.0)}), data), "y") == []


def test_softmax_underflow() -> None:
    model = build("g (float[n, 512] x) => (float[n, 512] y) { y = Softmax <axis = -1> (x) }")
    found = context(model, qdq(model, {"y": (0.0, 1.0)}), {"x": normal(8, 512)})
    assert "softmax underflow" in kinds(found, "y")


def test_mean_shift() -> None:
    quantized = qdq(net(), {"x": (-4.0, 4.0)}, WEIGHTS)
    stored = quantized.graph.initializers["q/wb/quantized"]
    # Rounded down to multiples of 8: together with inputs that are never negative that shifts all results.
    set_array(stored, (stored.const_value.numpy() // 8 * 8).astype(np.int8))  # type: ignore[union-attr]
    found = context(net(), quantized, net_samples())
    assert kinds(found, "c") == ["mean shift"]
    assert "is a constant shift of its channels" in text(found, "c", "mean shift")


def bias_model(factor: float, bias: float = 1.0) -> Context:
    model = build(
        "g (float[n, 8] x) => (float[n, 4] y) { y = Gemm (x, w, b) }", w=normal(8, 4), b=np.full(4, bias, np.float32)
    )
    quantized = qdq(model, {"x": (-4.0, 4.0)}, {"w": None})
    scale = quantized.graph.initializers["q/w/scale"].const_value.numpy()  # type: ignore[union-attr]
    expected = float(scale) * 8 / 255
    node = next(node for node in quantized.graph if node.op_type == "Gemm")
    stored = np.full(4, np.clip(round(bias / expected), -(2**31), 2**31 - 1)).astype(np.int32)
    values = [ir.Value(name=name) for name in ("b/quantized", "b/scale")]
    arrays = (stored, np.asarray(expected * factor, np.float32))
    for value, array in zip(values, arrays, strict=True):
        value.const_value = ir.tensor(array, name=value.name)
        value.shape, value.type = ir.Shape(array.shape), ir.TensorType(ir.DataType.from_numpy(array.dtype))
        quantized.graph.register_initializer(value)
    dequantize = ir.node("DequantizeLinear", inputs=values)
    dequantize.outputs[0].name = "b/dequantized"
    quantized.graph.insert_before(node, dequantize)
    node.replace_input_with(2, dequantize.outputs[0])
    return context(model, quantized, {"x": normal(16, 8, seed=4)})


def test_bias_scale() -> None:
    assert "bias scale" not in kinds(bias_model(1.0), "y")
    assert "3 times the scale that input and weight give" in text(bias_model(3.0), "y", "bias scale")
    assert "4 of 4 biases are clipped to int32" in text(bias_model(1.0, bias=1e9), "y", "bias scale")


def test_saturation_is_found_on_real_activations() -> None:
    model = build("g (float[n, 16] x) => (float[n, 8] y) { y = MatMul (x, w) }", w=np.full((16, 8), 0.5, np.float32))
    data = {"x": np.full((4, 16), 3.9, np.float32)}
    found = context(model, qdq(model, {"x": (0.0, 4.0)}, {"w": None}), data)
    assert kinds(found, "y") == ["U8S8 saturation"]
    assert "100.00% of the pairs" in text(found, "y", "U8S8 saturation")
    data = {"x": np.full((4, 16), 1.9, np.float32)}
    assert kinds(context(model, qdq(model, {"x": (0.0, 4.0)}, {"w": None}), data), "y") == []


def naive_saturation(rows: NDArray, weights: NDArray) -> tuple[int, float]:
    saturated, error, signal = 0, 0.0, 0.0
    for row in rows.tolist():
        for weight in weights.tolist():
            total, limited = 0, 0
            for k in range(0, len(row), 2):
                pair = row[k] * weight[k] + (row[k + 1] * weight[k + 1] if k + 1 < len(row) else 0)
                kept = max(-32768, min(32767, pair))
                saturated += kept != pair
                total, limited = total + pair, limited + kept
            error, signal = error + (limited - total) ** 2, signal + total**2
    return saturated, (error / signal) ** 0.5


@pytest.mark.parametrize("width", [1, 2, 7, 32])
def test_saturation_against_the_naive_sum(width: int) -> None:
    rng = np.random.default_rng(width)
    rows, weights = rng.integers(120, 256, (5, width)), rng.integers(-127, 128, (3, width))
    weights[0] = 127
    pairs, saturated, error = saturation_of(rows.astype(np.int32), weights.astype(np.int32))
    assert pairs == 15 * -(-width // 2)
    assert (saturated, error) == pytest.approx(naive_saturation(rows, weights))


@pytest.mark.parametrize(
    ("factor", "grid", "words"),
    [
        (255.0, (0.0, 1.0), "are cut off; whole numbers up to 255 look like pixels that were not scaled"),
        (1.0, (0.0, 255.0), "these samples are scaled differently"),
        (0.0, (0.0, 1.0), "input x is 0 everywhere in these samples"),
    ],
)
def test_preprocessing(factor: float, grid: tuple[float, float], words: str) -> None:
    x = np.rint(np.random.default_rng(0).uniform(0, 1, (64, 16)) * 255) / 255 * factor
    data = {"x": np.rint(x).astype(np.float32) if factor == 255 else x.astype(np.float32)}
    found = detect_inputs(context(net(), qdq(net(), SOUND | {"x": grid}, WEIGHTS), data))
    assert [cause.kind for cause in found] == ["preprocessing"]
    assert words in found[0].text


def test_detectors_are_listed_under_their_kind() -> None:
    assert len(DETECTORS) == 14
    assert all(kind == kind.strip() and kind for kind in DETECTORS)
