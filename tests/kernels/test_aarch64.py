"""Kernels for Arm processors: the right instructions, nothing spilled in the inner loop, right answers under qemu."""

import re
from pathlib import Path

import numpy as np
import pytest

from edgebig.kernels.cpu import features_of
from edgebig.kernels.dense import Conv
from edgebig.kernels.epilogue import Requantize
from tests.kernels.dense_cases import random_case, wanted
from tests.kernels.foreign import ARM, compile_body, hottest_block, run_on_arm

DOTS = {
    "neon_sdot": ("cortex-a76", "sdot"),
    "neon_usdot": ("neoverse-n2", "usdot"),
    "fma_generic": ("cortex-a72", "fmla"),
}


def _spec(dot: str, output: Requantize | str, *, size: int = 6) -> Conv:
    x_zero_point = 0 if dot.startswith("fma") else 9
    shape = {"height": size, "width": size + 1, "channels": 12, "filters": 37, "kernel": (3, 3), "pads": (1, 0, 1, 1)}
    return Conv(dot, batch=1, x_zero_point=x_zero_point, output=output, tasks=2, **shape)


@pytest.mark.parametrize("dot", [*DOTS, "generic"])
@pytest.mark.parametrize("output", [Requantize(120), "f32"])
def test_answers_under_qemu(dot: str, output: Requantize | str, tmp_path: Path) -> None:
    spec = _spec(dot, output)
    case = random_case(spec)
    constants = spec.constants(case.weights, case.bias, case.multiplier)
    right = wanted(spec, case)
    _, code = compile_body(spec.work.emit, 6, ARM, DOTS.get(dot, ("generic", ""))[0])
    y = run_on_arm(code, [case.x, *constants.values(), np.zeros_like(right)], spec.tasks, tmp_path)
    if dot == "fma_generic" and output == "f32":
        np.testing.assert_allclose(y, right, rtol=2e-5, atol=2e-5)
    elif dot == "fma_generic":
        assert np.abs(y.astype(int) - right).max() <= 1
    else:
        np.testing.assert_array_equal(y, right)


@pytest.mark.parametrize("dot", DOTS)
def test_the_inner_loop_multiplies_and_does_not_spill(dot: str) -> None:
    cpu, instruction = DOTS[dot]
    spec = _spec(dot, Requantize(120), size=24)
    assembly, _ = compile_body(spec.work.emit, 6, ARM, cpu)
    loop = hottest_block(assembly, instruction)
    tile = spec.work.tile
    assert len(re.findall(rf"\b{instruction}\b", loop)) == tile.rows * tile.vectors * tile.unroll
    assert "[sp" not in loop


@pytest.mark.parametrize(
    ("cpu", "wanted_features"),
    [("cortex-a72", set()), ("cortex-a76", {"sdot"}), ("neoverse-n2", {"sdot", "usdot"}), ("apple-m1", {"sdot"})],
)
def test_features(cpu: str, wanted_features: set[str]) -> None:
    assert features_of(ARM, cpu) == wanted_features
