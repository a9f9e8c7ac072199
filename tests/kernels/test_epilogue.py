"""Requantisation: every vector length, every way a value can be clamped or rounded, and stores that stop in time."""

import numpy as np
import pytest
from numba import njit

from edgebig.kernels.epilogue import Requantize, quantize, requantize, store_part
from edgebig.kernels.errors import KernelError
from edgebig.kernels.vector import F32, I32, at, intrinsic_of, load, vector_of
from tests.kernels.memory import guarded
from tests.naive.conv import requantize as naive

RANGES = [Requantize(), Requantize(128), Requantize(3, 3, 255), Requantize(200, 10, 240), Requantize(255, 0, 255)]


def _run(body, *arrays):
    work = intrinsic_of(len(arrays), body)
    scope = {"work": work}
    names = ", ".join(f"a{i}" for i in range(len(arrays)))
    exec(f"def call({names}):\n    work({names})\n", scope)
    njit(scope["call"])(*(array.ctypes.data for array in arrays))


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("vectors", [1, 2, 3, 4, 5])
def test_requantize(lanes: int, vectors: int) -> None:
    rng = np.random.default_rng(lanes * vectors)
    count = lanes * vectors
    output = RANGES[vectors % len(RANGES)]
    accumulators = rng.integers(-(2**31), 2**31, count).astype(np.int32)
    accumulators[::2] = rng.integers(-600, 600, accumulators[::2].size)
    multiplier = np.where(rng.random(count) < 0.5, 0.5, rng.random(count)).astype(np.float32)

    def body(b, x, m, y):
        parts = [load(b, at(b, x, 4 * lanes * i), vector_of(I32, lanes)) for i in range(vectors)]
        scales = [load(b, at(b, m, 4 * lanes * i), vector_of(F32, lanes)) for i in range(vectors)]
        store_part(b, requantize(b, parts, scales, output), y, count)

    y = guarded(np.zeros(count, np.uint8))
    _run(body, guarded(accumulators), guarded(multiplier), y)
    np.testing.assert_array_equal(y, naive(accumulators, multiplier, output.zero_point, output.low, output.high))


@pytest.mark.parametrize("output", RANGES)
def test_halves_round_to_even_and_the_ends_hold(output: Requantize) -> None:
    halves = np.arange(-1040, 1040, dtype=np.float32) / 4
    ends = np.array(
        [np.inf, -np.inf, 3e38, -3e38, 2**31, -(2**31), 2**23 + 1, 1e-40, -0.0, np.nan] + [0] * 6, np.float32
    )
    x = np.concatenate([halves, ends])
    y = np.zeros(x.size, np.uint8)
    for i in range(0, x.size, 16):
        _quantize_16(output, x[i : i + 16], y[i : i + 16])
    wide = np.nan_to_num(np.rint(x).astype(np.float64), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    np.testing.assert_array_equal(y, np.clip(wide + output.zero_point, output.low, output.high).astype(np.uint8))


_CALLS = {}


def _quantize_16(output, x, y):
    if output not in _CALLS:
        work = intrinsic_of(
            2, lambda b, x, y: store_part(b, quantize(b, [load(b, x, vector_of(F32, 16))], output), y, 16)
        )
        _CALLS[output] = njit(lambda x, y: work(x, y))
    _CALLS[output](x.ctypes.data, y.ctypes.data)


@pytest.mark.parametrize("element", [1, 4])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 8, 12, 13, 15, 16])
def test_store_part_writes_what_it_says(count: int, element: int) -> None:
    kind = np.uint8 if element == 1 else np.int32
    x = np.arange(1, 17, dtype=kind)

    def body(b, x, y):
        from edgebig.kernels.vector import I8

        store_part(b, load(b, x, vector_of(I8 if element == 1 else I32, 16)), y, count, element)

    y = guarded(np.zeros(count, kind))
    _run(body, x, y)
    np.testing.assert_array_equal(y, x[:count])


def test_refusals() -> None:
    for wrong in ((256, 0, 255), (0, 5, 4), (0, -1, 255), (-1, 0, 255), (0, 0, 256)):
        with pytest.raises(KernelError, match="no range"):
            Requantize(*wrong)
