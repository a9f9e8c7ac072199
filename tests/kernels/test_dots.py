"""Which dot product is chosen, where each exists, what it compiles to; other processors run in their own process."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgebig.kernels import dots
from edgebig.kernels.cpu import features_of
from edgebig.kernels.dense import Conv, matmul
from edgebig.kernels.epilogue import Requantize
from edgebig.kernels.errors import KernelError
from tests.kernels.dense_cases import check
from tests.kernels.foreign import X86, compile_body, hottest_block

NATIVE = {
    "vnni512": ("znver4", "vpdpbusd", "zmm"),
    "vnni256": ("alderlake", "vpdpbusd", "ymm"),
    "madd512": ("skylake-avx512", "vpmaddwd", "zmm"),
    "maddubs256": ("haswell", "vpmaddubsw", "ymm"),
    "madd256": ("haswell", "vpmaddwd", "ymm"),
    "madd256_s8": ("haswell", "vpmaddwd", "ymm"),
    "madd128": ("nehalem", "pmaddwd", "xmm"),
    "fma256": ("haswell", r"vfmadd\d+ps", "ymm"),
    "fma512": ("skylake-avx512", r"vfmadd\d+ps", "zmm"),
}


@pytest.mark.parametrize("name", NATIVE)
def test_the_inner_loop_multiplies_and_does_not_spill(name: str) -> None:
    cpu, instruction, register = NATIVE[name]
    spec = matmul(name, 60, 96, 64, output="f32")
    assembly, _ = compile_body(spec.work.emit, 6, X86, cpu)
    loop, tile = hottest_block(assembly, instruction), spec.work.tile
    found = re.findall(rf"\b{instruction}\b.*{register}", loop)
    assert len(found) == tile.rows * tile.vectors * tile.unroll
    assert "(%rsp)" not in loop


@pytest.mark.parametrize(
    ("cpu", "wanted"),
    [
        ("nehalem", {"sse2"}),
        ("haswell", {"sse2", "avx2", "fma256"}),
        ("znver3", {"sse2", "avx2", "fma256"}),
        ("alderlake", {"sse2", "avx2", "fma256", "vnni256"}),
        ("skylake-avx512", {"sse2", "avx2", "fma256", "avx512", "fma512"}),
        ("knl", {"sse2", "avx2", "fma256", "fma512"}),
        ("znver4", {"sse2", "avx2", "fma256", "avx512", "fma512", "vnni256", "vnni512"}),
    ],
)
def test_features_of_processors(cpu: str, wanted: set[str]) -> None:
    assert features_of(X86, cpu) == wanted


def test_flags_switch_features_off() -> None:
    assert features_of(X86, "haswell", "-fma") == {"sse2", "avx2"}


@pytest.mark.parametrize("cpu", ["haswell", "nehalem"])
def test_convolutions_on_an_older_processor(cpu: str, root: Path) -> None:
    """NUMBA_CPU_NAME alone keeps this machine's features, so they are given too; none that this machine lacks."""
    flags = "-avx512f,-avx512vnni,-avxvnni" + (",-avx,-avx2,-fma" if cpu == "nehalem" else "")
    code = (
        "from edgebig.kernels import dots\n"
        "from edgebig.kernels.dense import Conv\n"
        "from edgebig.kernels.epilogue import Requantize\n"
        "from tests.kernels.dense_cases import check\n"
        "print(*(dot.name for dot in dots.available()))\n"
        "for dot in dots.available():\n"
        "    output = 'f32' if dot.real else Requantize(9)\n"
        "    check(Conv(dot.name, 1, 6, 5, 7, 21, (3, 2), pads=(1, 0, 2, 1), output=output))\n"
    )
    older = "madd128 generic fma_generic"
    names = older if cpu == "nehalem" else "maddubs256 madd256_s8 madd256 madd128 generic fma256 fma_generic"
    if cpu == "haswell" and not dots.runs(dots.get("fma256")):
        pytest.skip("this machine has no AVX2")
    environment = {**os.environ, "NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": flags, "PYTHONPATH": str(root)}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == names.split()


def _row(*values: int) -> np.ndarray:
    return np.array([values], np.int8).reshape(1, -1, 1, 1)


def test_saturation_is_foreseen() -> None:
    maddubs = dots.get("maddubs256")
    assert maddubs.exact(_row(64, 64, -64, -64))
    assert maddubs.exact(_row(127, 1, -128, 0))
    assert maddubs.exact(_row(127, -128, 1, 0))
    assert not maddubs.exact(_row(127, 2))
    assert not maddubs.exact(_row(-128, -1))
    assert maddubs.exact(_row(1, 127, 127, 1)[:, :3])
    assert not maddubs.exact(_row(100, 0, 0, 100).reshape(1, 2, 1, 2).astype(np.int32) + 29)


def test_neighbours_are_those_of_the_packed_order() -> None:
    weights = np.zeros((1, 2, 1, 2), np.int8)
    weights[0, 0] = 100  # the same channel at two positions: never neighbours
    assert dots.get("maddubs256").exact(weights)
    weights[0, 1, 0, 0] = 100
    assert not dots.get("maddubs256").exact(weights)


def test_exact_ranges() -> None:
    wide = np.array([[-255, 255]], np.int32)
    assert not dots.get("vnni512").exact(wide)
    assert not dots.get("madd256_s8").exact(wide)
    assert dots.get("madd256").exact(wide)
    assert dots.get("generic").exact(wide)
    assert dots.get("fma256").exact(wide.astype(np.float32))
    assert not dots.get("fma256").exact(wide)


def test_the_best_dot_is_exact_and_available() -> None:
    rng = np.random.default_rng(0)
    for most in (10, 127, 255):
        weights = rng.integers(-most, most + 1, (8, 16, 3, 3))
        best = dots.best(weights)
        assert best in dots.available()
        assert best.exact(weights)
        small = Conv(best.name, 1, 4, 4, 16, 8, (3, 3), output="s32")
        assert set(small.constants(weights, None, 1.0)) == {"weights", "bias", "multiplier"}
    assert dots.best(np.zeros((2, 3), np.float32)).real


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(KernelError, match="there are vnni512, vnni256"):
        dots.get("sse9")


def test_emulation_keeps_shape_and_packing() -> None:
    for dot in dots.DOTS:
        plain = dots.emulated(dot.name)
        assert dots.get(plain.name).name == plain.name
        assert (plain.lanes, plain.group, plain.rows, plain.vectors) == (dot.lanes, dot.group, dot.rows, dot.vectors)
        assert dots.runs(plain)
    check(Conv("emulated_maddubs256", 1, 3, 3, 9, 20, output=Requantize()), extreme=True)
