"""Random operands for a convolution spec, and what it must give."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebig.kernels import dots
from edgebig.kernels.dense import Conv
from edgebig.kernels.epilogue import Requantize
from tests.kernels.memory import run_step
from tests.naive.conv import conv, requantize

UNTOUCHED = 77


@dataclass
class Case:
    """Operands as a model has them: weights [filters, channels / groups, height, width]."""

    x: NDArray[Any]
    weights: NDArray[Any]
    bias: NDArray[Any]
    multiplier: NDArray[np.float32]
    weight_zero_point: Any = 0


def random_case(spec: Conv, seed: int = 0, *, extreme: bool = False) -> Case:
    """Operands over the whole range of their types; `extreme`: only the ends of the ranges."""
    rng = np.random.default_rng(seed)
    dot = dots.get(spec.dot)
    shape = (spec.batch, spec.height, spec.width, spec.channels)
    kernel = (spec.filters, spec.channels // spec.groups, *spec.kernel)
    multiplier = (rng.random(spec.filters) * 0.02 / np.sqrt(np.prod(kernel[1:]))).astype(np.float32)
    if dot.real:
        x, weights = (rng.standard_normal(size).astype(np.float32) for size in (shape, kernel))
        return Case(x, weights, rng.standard_normal(spec.filters).astype(np.float32), multiplier * 1000)
    low, high = (-64, 64) if dot.saturates else (-128, 127)
    x = rng.choice([0, 255], shape) if extreme else rng.integers(0, 256, shape)
    weights = rng.choice([low, high], kernel) if extreme else rng.integers(low, high + 1, kernel)
    bias = rng.integers(-1000, 1000, spec.filters).astype(np.int32)
    return Case(x.astype(np.uint8), weights.astype(np.int8), bias, multiplier)


def wanted(spec: Conv, case: Case) -> NDArray[Any]:
    """The right output [batch, height, width, filters]."""
    zero_point = np.reshape(case.weight_zero_point, (-1, 1, 1, 1))
    weights = case.weights if case.weights.dtype == np.float32 else case.weights.astype(np.int64) - zero_point
    options = {"strides": spec.strides, "dilations": spec.dilations, "pads": spec.pads, "groups": spec.groups}
    accumulators = conv(case.x, weights, **options, x_zero_point=spec.x_zero_point) + case.bias
    output = spec.output
    if isinstance(output, Requantize):
        return requantize(accumulators, case.multiplier, output.zero_point, output.low, output.high)
    if output == "s32":
        return accumulators.astype(np.int32)
    scale = 1 if case.x.dtype == np.float32 else case.multiplier
    return np.clip(accumulators.astype(np.float32) * scale, spec.low, spec.high).astype(np.float32)


def run(spec: Conv, case: Case, *, front: bool = False) -> NDArray[Any]:
    """What the kernel gives, all tasks, on operands that end (or begin) at guard pages."""
    constants = spec.constants(case.weights, case.bias, case.multiplier, case.weight_zero_point)
    kind = np.uint8 if isinstance(spec.output, Requantize) else {"f32": np.float32, "s32": np.int32}[spec.output]
    pixels, x_pitch, y_pitch = spec.rows, spec.x_pitch or spec.channels, spec.y_pitch or spec.filters
    x = _spread(case.x.reshape(-1, spec.channels), x_pitch)
    y = _spread(np.full((pixels, spec.filters), UNTOUCHED, kind), y_pitch)
    y = run_step(spec, x, *(constants[name] for name in ("weights", "bias", "multiplier")), y, front=front)[-1]
    full = np.append(y, np.full(y_pitch - spec.filters, UNTOUCHED, kind)).reshape(pixels, y_pitch)
    assert (full[:, spec.filters :] == UNTOUCHED).all(), "wrote between the pixels of the output"
    return full[:, : spec.filters].reshape(spec.batch, spec.out_height, spec.out_width, spec.filters)


def check(spec: Conv, seed: int = 0, *, extreme: bool = False, front: bool = False) -> None:
    """Integers must agree exactly; floats as far as sums in another order can."""
    case = random_case(spec, seed, extreme=extreme)
    y, right = run(spec, case, front=front), wanted(spec, case)
    if not dots.get(spec.dot).real:
        np.testing.assert_array_equal(y, right)
    elif isinstance(spec.output, Requantize):
        assert np.abs(y.astype(int) - right).max() <= 1
        assert (y != right).mean() < 0.05
    else:
        np.testing.assert_allclose(y, right, rtol=2e-5, atol=5e-6 * np.abs(right).max())


def _spread(rows: NDArray[Any], pitch: int) -> NDArray[Any]:
    """Rows `pitch` values apart, without the gap behind the last one."""
    wide = np.full((rows.shape[0], pitch), UNTOUCHED, rows.dtype)
    wide[:, : rows.shape[1]] = rows
    return wide.ravel()[: wide.size - (pitch - rows.shape[1])].copy()
