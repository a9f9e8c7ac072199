"""Scales and zero points of blocks: never worse than the plain range, and near the best there is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgebig.quantize.weight_only.fit_kernel import (
    SHARES,
    fit_half_quadratic,
    fit_least_squares,
    fit_range,
    round_blocks,
)
from tests.naive.weight_only import least_error
from tests.quantize.build import normal


def fitted(blocks: np.ndarray, levels: int, symmetric: bool, method: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Dequantized blocks, scales and zero points."""
    scales, points = np.empty(len(blocks), np.float32), np.empty(len(blocks), np.uint8)
    fit_range(blocks, levels, symmetric, scales, points)
    if method == "least squares":
        fit_least_squares(blocks, levels, symmetric, np.array(SHARES, np.float32), scales, points)
    if method == "half quadratic":
        fit_half_quadratic(blocks, levels, symmetric, scales, points)
    integers = np.empty(blocks.shape, np.uint8)
    error = round_blocks(blocks, scales, points, levels, integers)
    kept = scales[:, None].astype(np.float64) * (integers.astype(np.int64) - points[:, None].astype(np.int64))
    assert error == pytest.approx(np.square(blocks.astype(np.float64) - kept).sum(), rel=1e-6, abs=1e-30)
    assert integers.max(initial=0) <= levels
    return kept, scales, points


def errors(blocks: np.ndarray, kept: np.ndarray) -> np.ndarray:
    return np.square(blocks - kept).sum(axis=1)


@pytest.mark.parametrize("method", ["range", "least squares", "half quadratic"])
@settings(max_examples=25, deadline=None)
@given(
    blocks=hnp.arrays(
        np.float32, st.tuples(st.integers(1, 4), st.integers(1, 33)), elements=st.floats(-1e3, 1e3, width=32)
    ),
    levels=st.sampled_from([15, 255]),
    symmetric=st.booleans(),
)
def test_any_block(method: str, blocks: np.ndarray, levels: int, symmetric: bool) -> None:
    kept, scales, points = fitted(blocks, levels, symmetric, method)
    assert (scales > 0).all()
    assert np.isfinite(kept).all()
    if symmetric:
        assert (points == (levels + 1) // 2).all()
    if method == "range":
        limit = scales[:, None].astype(np.float64) * (0.5 if symmetric else 1.0)
        assert (np.abs(kept - blocks) <= limit * 1.001 + 1e-35).all()


def test_least_squares_is_near_the_best_of_all_scales_and_zero_points() -> None:
    blocks = normal(6, 32)
    blocks[3, 7] = 9  # an outlier, better clipped
    kept, _, _ = fitted(blocks, 15, False, "least squares")
    plain, _, _ = fitted(blocks, 15, False, "range")
    assert (errors(blocks, kept) <= errors(blocks, plain) * (1 + 1e-6)).all()
    for block, error in zip(blocks, errors(blocks, kept), strict=True):
        best = least_error(block, 15, np.linspace(0.3, 1.02, 73) * (block.max() - block.min()) / 15)
        assert error <= 1.25 * best


def test_half_quadratic_forgives_outliers() -> None:
    """It finds a smaller lp norm than the range does, and leaves most weights nearer than least squares do."""
    blocks = normal(40, 64)
    blocks[:, 5] = 6
    norms, medians = {}, {}
    for method in ("range", "least squares", "half quadratic"):
        kept, _, _ = fitted(blocks, 15, True, method)
        norms[method] = np.sqrt(np.abs(kept - blocks)).sum(axis=1)
        medians[method] = float(np.median(np.abs(kept - blocks)))
    assert (norms["half quadratic"] <= norms["range"] * (1 + 1e-4)).all()
    assert norms["half quadratic"].sum() < 0.98 * norms["range"].sum()
    assert medians["half quadratic"] <= medians["range"]


@pytest.mark.parametrize("method", ["range", "least squares", "half quadratic"])
def test_zeros_and_constants_and_huge_and_tiny_weights(method: str) -> None:
    blocks = np.stack(
        [np.zeros(32), np.full(32, 0.3), np.full(32, -7e37), np.linspace(-3e38, 3e38, 32), np.full(32, 1e-44)]
    )
    kept, _, _ = fitted(blocks.astype(np.float32), 15, False, method)
    assert (kept[0] == 0).all()
    np.testing.assert_allclose(kept[1:3], blocks[1:3], rtol=1e-6)
    assert np.abs(kept[3] - blocks[3]).max() <= 3e38 / 15 * 1.01
    assert (kept[4] == 0).all()
