"""Saturating 16-bit pairs: the kernel against loops, the rows against convolutions, the whole against a processor."""

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgebig.graph.session import Session
from edgebig.lint import lint_model
from edgebig.lint.activation_rows import activation_rows
from edgebig.lint.products import Product, products
from edgebig.lint.saturation_kernel import lost_by_saturation, worst_case
from edgebig.records.lint import LintOptions, Severity
from edgebig.targets.cpu_features import has_vnni, is_x86
from tests.lint.build import S8, build, conv, fixed, lint, of_rule, random_image, repaired

SATURATES = is_x86() and not has_vnni()


def naive_lost(activations: NDArray, weights: NDArray) -> NDArray:
    """Saturated sums minus exact ones, one product at a time."""
    lost = np.zeros((len(activations), len(weights)), np.int64)
    for row, output in np.ndindex(lost.shape):
        exact = saturated = 0
        for index in range(0, activations.shape[1], 2):
            pair = sum(
                int(activations[row, place]) * int(weights[output, place])
                for place in range(index, min(index + 2, activations.shape[1]))
            )
            exact += pair
            saturated += max(-32768, min(32767, pair))
        lost[row, output] = saturated - exact
    return lost


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 9), st.integers(0, 2**31), st.sampled_from([3, 64, 127]))
def test_the_kernel_equals_loops(rows: int, outputs: int, inputs: int, seed: int, limit: int) -> None:
    rng = np.random.default_rng(seed)
    activations = rng.choice(np.array([0, 1, 128, 254, 255], np.uint8), (rows, inputs))
    weights = rng.integers(-limit - 1, limit + 1, (outputs, inputs)).astype(np.int8)
    lost = lost_by_saturation(activations, weights)
    np.testing.assert_array_equal(lost, naive_lost(activations, weights))
    assert (np.abs(lost).max(axis=0) <= worst_case(weights)).all()


def test_the_bound_is_reached() -> None:
    weights = np.array([[127, 127, -1], [-128, -128, 5], [64, 64, 0], [65, 64, 0], [127, -127, 127]], np.int8)
    assert worst_case(weights).tolist() == [255 * 254 - 32767, 255 * 256 - 32768, 0, 255 * 129 - 32767, 0]
    highest = np.array([[255, 255, 0]], np.uint8)
    assert np.abs(lost_by_saturation(highest, weights)).tolist() == [worst_case(weights).tolist()]


GEOMETRIES = {
    "plain": ("", (6, 4, 3, 3)),
    "padded": ("<pads = [1, 0, 2, 1]>", (6, 4, 3, 3)),
    "strided": ("<strides = [2, 3]>", (6, 4, 3, 2)),
    "dilated": ("<dilations = [2, 1], pads = [2, 1, 2, 1]>", (6, 4, 3, 3)),
    "grouped": ("<group = 2>", (6, 2, 3, 3)),
    "same upper": ('<auto_pad = "SAME_UPPER", strides = [2, 2]>', (6, 4, 3, 3)),
    "same lower": ('<auto_pad = "SAME_LOWER">', (6, 4, 2, 2)),
}


def _product(model: ir.Model) -> Product:
    (product,) = products(model.graph)
    return product


@pytest.mark.parametrize("name", GEOMETRIES)
def test_rows_times_weights_are_the_convolution(name: str) -> None:
    attributes, shape = GEOMETRIES[name]
    rng = np.random.default_rng(0)
    weight = rng.integers(-9, 10, shape).astype(np.int8)
    integers = rng.integers(0, 256, (2, 4, 7, 8)).astype(np.uint8)
    zero = 7
    model = build(
        f"""g (uint8[N, 4, 7, 8] x) => (float y) {{
            xd = DequantizeLinear(x, one, xz)
            wd = DequantizeLinear(w, one)
            y = Conv{attributes}(xd, wd)
        }}""",
        one=np.float32(1),
        xz=np.uint8(zero),
        w=weight,
    )
    product = _product(model)
    groups = activation_rows(product, integers, most=10**6)
    rows = product.rows()
    assert rows is not None
    parts = np.split(rows, len(groups))
    sums = [(part.astype(np.int64) - zero) @ w.T for part, w in zip(groups, parts, strict=True)]
    with Session(model, optimize=False) as session:
        expected = session.run({"x": integers})["y"]
    found = np.concatenate(sums, axis=1).reshape(2, *expected.shape[2:], 6).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(found, expected)


def test_only_so_many_rows_are_taken_evenly() -> None:
    model = conv()
    (rows,) = activation_rows(_product(model), np.zeros((5, 4, 6, 6), np.uint8), most=17)
    assert rows.shape == (17, 36)


def test_held_weights_cannot_saturate_and_loud_ones_can() -> None:
    assert not of_rule(lint(conv(limit=64), "ort-cpu-avx2"), "saturation")
    (found,) = of_rule(lint(conv(limit=127), "ort-cpu-avx2"), "saturation")
    assert found.severity is Severity.LOSES_ACCURACY
    assert "of 8 output channels, at worst" in found.detail
    assert not of_rule(lint(conv(limit=127), "ort-cpu-vnni"), "saturation")
    assert not of_rule(lint(conv(limit=127, weight_dtype=np.uint8), "ort-cpu-avx2"), "saturation")


def test_samples_tell_whether_it_happens() -> None:
    model = conv(limit=127)
    options = LintOptions(target="ort-cpu-avx2")
    (loud,) = of_rule(
        lint_model(model, data={"x": np.ones((3, 4, 6, 6), np.float32)}, options=options)[1], "saturation"
    )
    assert loud.severity is Severity.LOSES_ACCURACY and loud.fixable
    assert "of outputs change, the worst by" in loud.detail
    quiet_data = {"x": np.full((3, 4, 6, 6), 0.1, np.float32)}
    (quiet,) = of_rule(lint_model(model, data=quiet_data, options=options)[1], "saturation")
    assert quiet.severity is Severity.NOTE and not quiet.fixable


def test_the_repair_stores_uint8_of_the_same_numbers() -> None:
    model = conv(limit=127)
    result, record = fixed(model, "ort-cpu-avx2")
    assert repaired(record) == {"saturation": 1}
    assert not record.findings
    assert _product(result).weight.const_value.dtype.name == "UINT8"  # type: ignore[union-attr]
    feed = random_image()
    before, after = (Session(m, optimize=False).run(feed)["y"] for m in (model, result))
    np.testing.assert_array_equal(before, after)


def test_a_depthwise_convolution_multiplies_in_32_bits() -> None:
    rng = np.random.default_rng(0)
    model = build(
        """g (float[N, 8, 6, 6] x) => (float y) {
            xq = QuantizeLinear(x, s, z) xd = DequantizeLinear(xq, s, z) wd = DequantizeLinear(w, s)
            c = Conv<group = 8>(xd, wd) cq = QuantizeLinear(c, s, z) y = DequantizeLinear(cq, s, z)
        }""",
        s=np.float32(0.1),
        z=np.uint8(0),
        w=rng.choice(np.array([-127, 127], np.int8), (8, 1, 3, 3)),
    )
    assert not of_rule(lint(model, "ort-cpu-avx2"), "saturation")


MATMUL = """g (float[M, K] x) => (float[M, N] y) {
    xq = QuantizeLinear(x, s, z) xd = DequantizeLinear(xq, s, z) wd = DequantizeLinear(w, ws)
    y = MatMul(xd, wd)
}"""


@pytest.mark.skipif(not SATURATES, reason="this processor does not saturate")
@pytest.mark.parametrize("inputs", [20, 63, 64])
@pytest.mark.parametrize("dtype", [np.uint8, S8])
def test_the_emulation_is_what_this_processor_computes(inputs: int, dtype: type) -> None:
    rng = np.random.default_rng(inputs)
    weight = rng.integers(-127, 128, (inputs, 16)).astype(np.int8)
    x = np.where(rng.random((5, inputs)) < 0.6, 1.0, rng.random((5, inputs))).astype(np.float32)
    scale = np.float32(1 / np.iinfo(dtype).max)
    model = build(MATMUL, s=scale, z=dtype(0), w=weight, ws=np.float32(0.01))
    exact, found = (Session(model, optimize=optimize).run({"x": x})["y"] for optimize in (False, True))
    integers = np.clip(np.rint(x / scale), 0, np.iinfo(dtype).max).astype(dtype)
    (rows,) = activation_rows(_product(model), integers, most=100)
    lost = lost_by_saturation(rows, np.ascontiguousarray(weight.T))
    assert np.count_nonzero(lost) > 0
    np.testing.assert_allclose(found, exact + lost * scale * 0.01, atol=1e-3)
