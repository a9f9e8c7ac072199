"""Block-sparse convolutions against loops in exact integers."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgebig.kernels import dots
from edgebig.kernels.epilogue import Requantize
from edgebig.kernels.errors import KernelError
from edgebig.kernels.sparse import SparseConv, density, matmul, pays
from tests.kernels.memory import run_step
from tests.naive.conv import conv, requantize
from tests.naive.sparse import kept_blocks, zero_blocks

INTEGER = [dot.name for dot in dots.available() if not dot.real]
EMULATED = [dots.EMULATED + dot.name for dot in dots.DOTS if not dot.real and not dots.runs(dot)]
FULL = Requantize(zero_point=131)
UNTOUCHED = 77

GEOMETRIES: dict[str, dict[str, Any]] = {
    "1x1": {"height": 5, "width": 7, "channels": 32, "filters": 48},
    "1x1 odd": {"height": 5, "width": 5, "channels": 7, "filters": 19},
    "1x1 stride": {"height": 7, "width": 6, "channels": 12, "filters": 9, "strides": (2, 3)},
    "3x3": {"height": 6, "width": 7, "channels": 8, "filters": 32, "kernel": (3, 3), "pads": (1, 1, 1, 1)},
    "stem": {
        "height": 9,
        "width": 9,
        "channels": 3,
        "filters": 32,
        "kernel": (3, 3),
        "strides": (2, 2),
        "pads": (0, 0, 1, 1),
    },
    "5x3 asymmetric": {"height": 8, "width": 6, "channels": 5, "filters": 17, "kernel": (5, 3), "pads": (2, 0, 1, 3)},
    "dilated": {
        "height": 9,
        "width": 9,
        "channels": 6,
        "filters": 10,
        "kernel": (3, 3),
        "dilations": (2, 3),
        "pads": (2, 3, 2, 3),
    },
    "one pixel": {"height": 1, "width": 1, "channels": 72, "filters": 33},
}


def operands(
    spec: SparseConv, kept: float, seed: int = 0, *, extreme: bool = False
) -> tuple[NDArray[np.uint8], NDArray[np.int8], NDArray[np.int32], NDArray[np.float32]]:
    """x, pruned weights, bias and multiplier, over the whole range; `extreme`: only the ends of the ranges."""
    rng = np.random.default_rng(seed)
    low, high = (-64, 64) if dots.get(spec.dot).saturates else (-128, 127)
    kernel = (spec.filters, spec.channels, *spec.kernel)
    shape = (spec.batch, spec.height, spec.width, spec.channels)
    x = rng.choice([0, 255], shape) if extreme else rng.integers(0, 256, shape)
    weights = rng.choice([low, high], kernel) if extreme else rng.integers(low, high + 1, kernel)
    mask = rng.random((-(-spec.filters // 16), -(-spec.channels // 4), *spec.kernel)) < kept
    bias = rng.integers(-1000, 1000, spec.filters).astype(np.int32)
    multiplier = (rng.random(spec.filters) * 0.02 / np.sqrt(np.prod(kernel[1:]))).astype(np.float32)
    return x.astype(np.uint8), zero_blocks(weights.astype(np.int8), mask), bias, multiplier


def check(spec: SparseConv, kept: float = 0.5, seed: int = 0, *, extreme: bool = False) -> None:
    """Every output must be exactly right, and nothing between or behind the outputs touched."""
    x, weights, bias, multiplier = operands(spec, kept, seed, extreme=extreme)
    packed = spec.constants(weights, bias, multiplier)
    kind = np.uint8 if isinstance(spec.output, Requantize) else {"f32": np.float32, "s32": np.int32}[spec.output]
    y_pitch = spec.y_pitch or spec.filters
    y = np.full(((spec.rows - 1) * y_pitch + spec.filters,), UNTOUCHED, kind)
    constants = (packed[name] for name in spec.operands[1:-1])
    y = run_step(spec, _spread(x.reshape(-1, spec.channels), spec.x_pitch or spec.channels), *constants, y)[-1]
    full = np.append(y, np.full(y_pitch - spec.filters, UNTOUCHED, kind)).reshape(spec.rows, y_pitch)
    assert (full[:, spec.filters :] == UNTOUCHED).all()
    options = {"strides": spec.strides, "dilations": spec.dilations, "pads": spec.pads}
    sums = conv(x, weights.astype(np.int64), **options, x_zero_point=spec.x_zero_point).reshape(spec.rows, -1) + bias
    if isinstance(spec.output, Requantize):
        right = requantize(sums, multiplier, spec.output.zero_point, spec.output.low, spec.output.high)
    elif spec.output == "f32":
        right = np.clip(sums.astype(np.float32) * multiplier, spec.low, spec.high)
    else:
        right = sums
    np.testing.assert_array_equal(full[:, : spec.filters], right)


def _spread(rows: NDArray[Any], pitch: int) -> NDArray[Any]:
    wide = np.full((rows.shape[0], pitch), UNTOUCHED, rows.dtype)
    wide[:, : rows.shape[1]] = rows
    return wide.ravel()[: wide.size - (pitch - rows.shape[1])].copy()


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("dot", INTEGER)
def test_geometries(dot: str, name: str) -> None:
    check(SparseConv(dot, batch=2, x_zero_point=7, output=Requantize(zero_point=3, low=3), **GEOMETRIES[name]))


@pytest.mark.parametrize("name", ["1x1 odd", "3x3", "one pixel"])
@pytest.mark.parametrize("dot", EMULATED)
def test_instruction_sets_of_other_processors(dot: str, name: str) -> None:
    check(SparseConv(dot, batch=1, x_zero_point=200, output=FULL, **GEOMETRIES[name]))


@settings(max_examples=10, deadline=None)
@given(
    st.sampled_from(INTEGER), st.integers(1, 40), st.integers(1, 90), st.integers(1, 70), st.floats(0, 1),
    st.integers(1, 4), st.integers(0, 255), st.sampled_from(["s32", "f32", FULL]), st.integers(0, 99),
)  # fmt: skip
def test_products(
    dot: str, rows: int, inner: int, columns: int, kept: float, tasks: int, point: int, output: Any, seed: int
) -> None:
    options = {"low": -0.5, "high": 1.5} if output == "f32" else {}
    check(matmul(dot, rows, inner, columns, x_zero_point=point, output=output, tasks=tasks, **options), kept, seed)


@pytest.mark.parametrize("kept", [0.0, 0.02, 1.0])
def test_all_and_nothing(kept: float) -> None:
    check(matmul(INTEGER[0], 7, 64, 48), kept)


@pytest.mark.parametrize("dot", INTEGER)
def test_extreme_values_neither_saturate_nor_wrap(dot: str) -> None:
    check(matmul(dot, 9, 301, 40), extreme=True)
    check(matmul(dot, 5, 64, 32, output=FULL, x_zero_point=255), extreme=True)


@pytest.mark.parametrize(("rows", "tasks"), [(1, 1), (2, 1), (3, 3), (250, 2), (1, 5)])
def test_any_number_of_rows(rows: int, tasks: int) -> None:
    check(matmul(INTEGER[0], rows, 36, 88, tasks=tasks), 0.3)


def test_tasks_get_even_shares_of_uneven_filters() -> None:
    """All kept blocks in the first filters: nothing is left out or done for nothing."""
    spec = matmul(INTEGER[0], 1, 64, 160, tasks=4)
    x, weights, bias, multiplier = operands(spec, 1.0)
    weights[16:] = 0
    packed = spec.constants(weights, bias, multiplier)
    *_, y = run_step(spec, x, *(packed[name] for name in spec.operands[1:-1]), np.zeros(160, np.int32))
    np.testing.assert_array_equal(y, x.reshape(-1).astype(np.int64) @ weights.reshape(160, 64).T + bias)


def test_channel_slices_of_wider_tensors() -> None:
    check(matmul(INTEGER[0], 9, 32, 20, x_pitch=50, y_pitch=33, output=FULL))
    check(SparseConv(INTEGER[0], batch=1, output=FULL, x_pitch=11, y_pitch=40, **GEOMETRIES["3x3"]))


def test_zero_points_of_weights() -> None:
    spec = matmul("generic", 3, 20, 18)
    x, weights, bias, multiplier = operands(spec, 0.5)
    unsigned = (weights.astype(np.int16) + 128).astype(np.uint8)
    packed = spec.constants(unsigned, bias, multiplier, 128)
    assert len(packed["index"]) == kept_blocks(weights)[0]
    *_, y = run_step(spec, x, *(packed[name] for name in spec.operands[1:-1]), np.zeros((3, 18), np.int32))
    np.testing.assert_array_equal(y, x.reshape(3, 20).astype(np.int64) @ weights.reshape(18, 20).T + bias)


@pytest.mark.parametrize("shape", [(16, 4, 1, 1), (33, 8, 3, 2), (5, 7, 2, 2), (16, 3, 3, 3)])
def test_density(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    weights = (rng.integers(-3, 4, shape) * (rng.random(shape) < 0.02)).astype(np.int8)
    kept, total = kept_blocks(weights)
    assert density(weights) == kept / total


def test_sparse_pays_where_much_is_zero() -> None:
    assert pays(0.3)
    assert not pays(1.0)


def test_the_expression_of_a_step_makes_it_again() -> None:
    spec = matmul(INTEGER[0], 9, 32, 20, output=FULL, tasks=2)
    names = {"SparseConv": SparseConv, "Requantize": Requantize, "inf": float("inf")}
    assert eval(repr(spec), names) == spec


def test_what_it_refuses() -> None:
    with pytest.raises(KernelError, match="one group"):
        SparseConv("generic", batch=1, height=1, width=1, channels=8, filters=8, groups=2)
    with pytest.raises(KernelError, match="no floats"):
        matmul("fma_generic", 1, 4, 4, output="f32")
    if EMULATED:
        with pytest.raises(KernelError, match="this processor has no"):
            matmul(EMULATED[0].removeprefix(dots.EMULATED), 1, 4, 4).build()
