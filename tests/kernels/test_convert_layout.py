"""Transposes and copies against loops: planes narrower than a block, overlapping blocks, any rank, any element."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.kernels.convert_layout import DequantizeTranspose, QuantizeTranspose
from edgebig.kernels.convert_transpose import Copy, Transpose, merged
from edgebig.kernels.errors import KernelError
from tests.kernels.memory import run_step
from tests.naive import convert as naive

few = settings(max_examples=12, deadline=None)
SIDE = st.sampled_from([1, 2, 3, 4, 5, 7, 16, 17, 31, 40])


@few
@given(st.integers(1, 2), SIDE, SIDE, SIDE, st.integers(1, 3), st.booleans())
def test_quantize_transpose(batch, channels, height, width, tasks, front):
    rng = np.random.default_rng(channels)
    x = rng.integers(-300, 300, (batch, channels, height, width)).astype(np.float32) / 4
    step = QuantizeTranspose(*x.shape, 0.5, 100, 3, 220, tasks)
    _, y = run_step(step, x, np.zeros((batch, height, width, channels), np.uint8), front=front)
    np.testing.assert_array_equal(y, naive.transpose(naive.quantize(x, 0.5, 100, 3, 220), (0, 2, 3, 1)))


@few
@given(st.integers(1, 2), SIDE, SIDE, SIDE, st.integers(1, 3), st.booleans())
def test_dequantize_transpose(batch, channels, height, width, tasks, front):
    x = np.random.default_rng(channels).integers(0, 256, (batch, height, width, channels), np.uint8)
    step = DequantizeTranspose(batch, channels, height, width, 0.3, 77, tasks)
    _, y = run_step(step, x, np.zeros((batch, channels, height, width), np.float32), front=front)
    np.testing.assert_array_equal(y, naive.transpose(naive.dequantize(x, 0.3, 77), (0, 3, 1, 2)))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from([1, 2, 3, 4, 9, 16, 19]), min_size=1, max_size=4),
    st.randoms(use_true_random=False),
    st.sampled_from([1, 2, 4, 8]),
    st.integers(1, 3),
    st.booleans(),
)
def test_transpose(shape, random, size, tasks, front):
    order = list(range(len(shape)))
    random.shuffle(order)
    x = np.random.default_rng(size).integers(0, 2 ** (8 * size) - 1, shape, dtype=f"u{size}")
    expected = naive.transpose(x, tuple(order))
    _, y = run_step(Transpose(tuple(shape), tuple(order), size, tasks), x, np.zeros_like(expected), front=front)
    np.testing.assert_array_equal(y, expected)


def test_merged_axes():
    assert merged((2, 3, 4, 5), (0, 2, 3, 1)) == ((2, 3, 20), (0, 2, 1))
    assert merged((1, 3, 1, 5), (0, 1, 2, 3)) == ((15,), (0,))
    assert merged((1, 8, 1, 5), (0, 3, 1, 2)) == ((8, 5), (1, 0))
    assert merged((1, 1), (1, 0)) == ((1,), (0,))


@pytest.mark.parametrize(
    ("rows", "size", "x_pitch", "y_pitch"), [(1, 5, 5, 5), (7, 13, 20, 13), (6, 100, 100, 100), (5, 300, 301, 999)]
)
@pytest.mark.parametrize("tasks", [1, 3])
def test_copy(rows, size, x_pitch, y_pitch, tasks):
    x = np.random.default_rng(rows).integers(0, 256, (rows - 1) * x_pitch + size, np.uint8)
    y = np.full((rows - 1) * y_pitch + size, 9, np.uint8)
    expected = y.copy()
    for row in range(rows):
        expected[row * y_pitch : row * y_pitch + size] = x[row * x_pitch : row * x_pitch + size]
    _, z = run_step(Copy(rows, size, x_pitch, y_pitch, tasks), x, y)
    np.testing.assert_array_equal(z, expected)


def test_refusals():
    for wrong in (
        lambda: Copy(2, 9, 8, 9),
        lambda: Transpose((2, 3), (0, 0), 1),
        lambda: Transpose((2, 3), (1, 0), 3),
        lambda: Transpose((2, 0), (1, 0), 1),
        lambda: QuantizeTranspose(1, 0, 2, 2, 1.0),
        lambda: DequantizeTranspose(1, 1, 2, 2, 0.0),
    ):
        with pytest.raises(KernelError):
            wrong()
