"""Affine parameters: error bounds, rounding, zero, degenerate ranges; gates that read other values than they write."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgebig.quantize.clipping import gate_params
from edgebig.quantize.qparams import QParams, dequantize, qparams_for_range, quantize
from tests.naive.quantize_affine import quantize_one

finite = st.floats(-1e6, 1e6, width=32)
EPS = float(np.finfo(np.float32).eps)


@given(hnp.arrays(np.float32, st.integers(1, 50), elements=finite), st.sampled_from(["uint8", "int8"]))
def test_inside_the_range_the_error_is_at_most_half_a_step(values: np.ndarray, dtype: str) -> None:
    params = qparams_for_range(float(values.min()), float(values.max()), dtype)
    error = np.abs(dequantize(quantize(values, params), params).astype(np.float64) - values)
    # The zero point is rounded: the ends of the range may lie up to half a step outside what integers span.
    inside = (values >= params.low) & (values <= params.high)
    bound = params.scale / 2 + 4 * EPS * np.abs(values).max()
    assert (error[inside] <= bound).all()
    assert (error <= params.scale + 4 * EPS * np.abs(values).max()).all()


@given(finite, finite, st.sampled_from(["uint8", "int8"]))
def test_zero_is_exact_and_the_scale_a_positive_float32(low: float, high: float, dtype: str) -> None:
    params = qparams_for_range(min(low, high), max(low, high), dtype)
    assert dequantize(quantize(np.zeros(1, np.float32), params), params)[0] == 0.0
    assert params.scale > 0
    assert params.scale == float(np.float32(params.scale))
    assert np.iinfo(dtype).min <= params.zero_point <= np.iinfo(dtype).max


@given(hnp.arrays(np.float32, 40, elements=st.integers(-600, 600).map(lambda i: i / 2)))
def test_halves_go_to_even_and_the_rest_saturates(values: np.ndarray) -> None:
    params = QParams(1.0, 128)
    expected = [quantize_one(float(value), 1.0, 128, 0, 255) for value in values]
    assert quantize(values, params).tolist() == expected


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.0), (1e-30, 1e-30), (-1e-40, 0.0)])
def test_a_range_without_width_still_has_a_usable_scale(low: float, high: float) -> None:
    params = qparams_for_range(low, high)
    assert 1e-4 < params.scale < 1.0


def test_a_one_sided_range_wastes_no_integer() -> None:
    assert qparams_for_range(0.5, 2.0).zero_point == 0
    assert qparams_for_range(-2.0, -0.5).zero_point == 255


@pytest.mark.parametrize(("alpha", "beta", "highest"), [(1 / 6, 0.5, 1.0), (0.2, 0.5, 1.0), (0.25, 0.3, 0.7)])
def test_a_gates_integers_read_as_the_hard_sigmoid(alpha: float, beta: float, highest: float) -> None:
    written, read = gate_params(alpha, beta, highest, "uint8")
    x = np.linspace(-10, 10, 4001, dtype=np.float32)
    x = x[alpha * x + beta <= highest]
    gates = dequantize(quantize(x, written), read)
    assert np.abs(gates - np.clip(alpha * x + beta, 0, 1)).max() <= read.scale * 0.5001
