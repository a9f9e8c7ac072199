"""The same tests on a processor without AVX: the plain forms of all kernels must give the same answers."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = ("convert", "convert_layout", "elementwise", "table", "pool", "resize", "depthwise")


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names an x86 processor")
@pytest.mark.parametrize("name", FILES)
def test_without_avx(name):
    # Answers next to a half follow onnxruntime's own fused multiplication, which this processor would not have.
    features = "-avx,-avx2,-fma,-f16c,-avx512f,-avx512vnni,-avxvnni"
    environment = {**os.environ, "NUMBA_CPU_NAME": "nehalem", "NUMBA_CPU_FEATURES": features, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-k", "not onnxruntime"]
    done = subprocess.run(
        [*command, str(ROOT / "tests" / "kernels" / f"test_{name}.py")],
        env=environment, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
