"""Softmax against loops: every remainder, masks, scales, infinities, u8 results, any number of tasks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.kernels import softmax as module
from edgebig.kernels.epilogue import Requantize
from edgebig.kernels.errors import KernelError
from edgebig.kernels.softmax import Softmax
from tests.kernels.memory import run_step
from tests.naive import softmax as naive


def oracle(x, step, mask=None):
    function = naive.log_softmax if step.log else naive.softmax
    rows = []
    for r, row in enumerate(x.tolist()):
        added = mask[(r // step.mask_repeat) % step.mask_rows].tolist() if mask is not None else None
        rows.append(function(row, added, float(np.float32(step.scale))))
    return np.array(rows)


def check(step, x, mask=None, front=False, rtol=5e-6):
    y = np.zeros(x.shape, np.uint8 if step.output else np.float32)
    got = run_step(step, *([x] if mask is None else [x, mask]), y, front=front)[-1]
    expected = oracle(x, step, mask)
    if step.output is None:
        np.testing.assert_allclose(got, expected, rtol=rtol, atol=2e-6 if step.log else 2e-38)
        return got
    steps = np.clip(expected / step.out_scale + step.output.zero_point, step.output.low, step.output.high)
    # Within the error of the probabilities, a half may be rounded up or down.
    assert np.abs(got - steps).max() <= 0.5 + 1e-3
    return got


@settings(max_examples=15, deadline=None)
@given(
    rows=st.integers(1, 7),
    columns=st.integers(1, 70),
    tasks=st.integers(1, 3),
    log=st.booleans(),
    masked=st.booleans(),
    front=st.booleans(),
    seed=st.integers(0, 99),
)
def test_shapes(rows, columns, tasks, log, masked, front, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 5, (rows, columns)).astype(np.float32)
    mask = rng.normal(0, 2, (2, columns)).astype(np.float32) if masked else None
    step = Softmax(rows, columns, log, 0.37, mask_rows=2 * masked, mask_repeat=2, tasks=tasks)
    check(step, x, mask, front)


@pytest.mark.parametrize("columns", [5, 16, 50, 128])
@pytest.mark.parametrize("output", [Requantize(), Requantize(128, 128, 255)])
def test_u8(columns, output):
    x = np.random.default_rng(columns).normal(0, 4, (6, columns)).astype(np.float32)
    check(Softmax(6, columns, scale=0.5, output=output, out_scale=1 / 255, tasks=2), x)


def test_u8_of_rows_too_long_to_keep(monkeypatch):
    x = np.random.default_rng(3).normal(0, 4, (3, 90)).astype(np.float32)
    step = Softmax(3, 90, output=Requantize(), out_scale=1 / 255)
    kept = check(step, x)
    monkeypatch.setattr(module, "KEPT_COLUMNS", 80)
    np.testing.assert_array_equal(check(step, x), kept)


def test_long_row():
    x = np.random.default_rng(3).normal(0, 4, (2, 50_001)).astype(np.float32)
    check(Softmax(2, 50_001), x, rtol=2e-5)


def test_infinities_as_onnxruntime():
    inf, nan = np.inf, np.nan
    x = np.zeros((6, 9), np.float32)
    x[0], x[1, 3], x[2, 8], x[3, 0], x[4, 1:8] = -inf, -inf, inf, nan, -inf
    got = check(Softmax(6, 9), x)
    assert got[1, 3] == 0 and np.isnan(got[[0, 2, 3]]).all() and (got[4, [0, 8]] == 0.5).all()
    got = run_step(Softmax(6, 9, log=True), x, x)[1]
    assert got[1, 3] == -inf and np.isnan(got[[0, 2, 3]]).all()


def test_causal_mask_and_far_entries():
    x = np.random.default_rng(0).normal(0, 1, (24, 12)).astype(np.float32)
    mask = np.triu(np.full((12, 12), np.finfo(np.float32).min), 1).astype(np.float32)
    got = check(Softmax(24, 12, mask_rows=12), x, mask)
    assert (got[np.tile(np.triu(np.ones((12, 12), bool), 1), (2, 1))] == 0).all()
    far = np.array([[0, -80, -87, -88, -104, -1000]], np.float32)
    check(Softmax(1, 6), far)


def test_in_place_and_repr():
    x = np.random.default_rng(0).normal(0, 1, (3, 21)).astype(np.float32)
    step = Softmax(3, 21, output=None, mask_repeat=4)
    assert eval(repr(step)) == step
    expected, y = oracle(x, step), x.copy()
    step.build()(y.ctypes.data, y.ctypes.data, 0)
    np.testing.assert_allclose(y, expected, rtol=3e-6)


def test_tasks_give_identical_results():
    x = np.random.default_rng(0).normal(0, 3, (11, 45)).astype(np.float32)
    one, three = (run_step(Softmax(11, 45, tasks=tasks), x, x)[1] for tasks in (1, 3))
    np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize("fields", [{"rows": 0}, {"columns": 0}, {"mask_rows": -1}, {"out_scale": 0.0}, {"tasks": 0}])
def test_refuses(fields):
    with pytest.raises(KernelError):
        Softmax(**({"rows": 2, "columns": 2} | fields))
