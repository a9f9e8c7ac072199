"""Nearest resizing against loops: larger, smaller, any element, slices, tasks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.kernels.errors import KernelError
from edgebig.kernels.resize import NearestResize
from tests.kernels.memory import run_step
from tests.naive import resize as naive

SIZE = st.integers(1, 9)


@settings(max_examples=12, deadline=None)
@given(
    st.tuples(st.integers(1, 2), SIZE, SIZE, st.sampled_from([1, 3, 16, 40, 200])),
    st.tuples(SIZE, SIZE),
    st.sampled_from([np.uint8, np.float32]),
    st.integers(1, 3),
    st.booleans(),
)
def test_nearest(shape, out, kind, tasks, front):
    rng = np.random.default_rng(shape[1])
    x = rng.integers(0, 256, shape).astype(kind)
    step = NearestResize(*shape, *out, np.dtype(kind).itemsize, tasks=tasks)
    found = step.constants(rng.integers(0, shape[1], out[0]), rng.integers(0, shape[2], out[1]))
    expected = naive.nearest(x, found["rows"], found["columns"])
    *_, y = run_step(step, x, *found.values(), np.zeros_like(expected), front=front)
    np.testing.assert_array_equal(y, expected)


def test_channel_slices():
    x = np.random.default_rng(0).integers(0, 256, (1, 3, 4, 20), np.uint8)
    step = NearestResize(1, 3, 4, 12, 6, 8, x_pitch=20, y_pitch=15)
    found = step.constants(np.arange(6) // 2, np.arange(8) // 2)
    y = np.full((1, 6, 8, 15), 7, np.uint8)
    *_, z = run_step(step, x.reshape(-1)[: 11 * 20 + 12], *found.values(), y.reshape(-1)[: 47 * 15 + 12])
    padded = np.concatenate([z, np.full(3, 7, np.uint8)]).reshape(y.shape)
    np.testing.assert_array_equal(padded[..., :12], naive.nearest(x[..., :12], *found.values()))
    assert (padded[..., 12:] == 7).all()


def test_refusals():
    with pytest.raises(KernelError):
        NearestResize(1, 3, 4, 12, 0, 8)
    with pytest.raises(KernelError):
        NearestResize(1, 3, 4, 12, 6, 8, x_pitch=11)
    step = NearestResize(1, 3, 4, 12, 2, 2)
    step.constants(np.array([0, 2]), np.array([0, 3]))
    for rows, columns in (([0, 3], [0, 3]), ([0], [0, 3]), ([0, 2], [-1, 3])):
        with pytest.raises(KernelError):
            step.constants(np.array(rows), np.array(columns))
