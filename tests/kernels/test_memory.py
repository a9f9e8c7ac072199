"""The guard must catch what it is there for: one byte too far, at either end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.kernels.memory import guarded

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = """
import ctypes, sys
import numpy as np
from tests.kernels.memory import guarded
array = guarded(np.zeros(10, np.uint8), front=sys.argv[1] == "front")
ctypes.string_at(array.ctypes.data + int(sys.argv[2]), 1)
"""


@pytest.mark.parametrize(
    ("side", "offset", "caught"), [("back", 9, False), ("back", 10, True), ("front", 0, False), ("front", -1, True)]
)
def test_a_byte_too_far_ends_the_process(side, offset, caught):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", PROGRAM, side, str(offset)], env=environment, check=False)
    assert done.returncode == (-signal.SIGSEGV if caught else 0)


@pytest.mark.parametrize("shape", [(0,), (3, 5), (5000,)])
def test_copies_are_equal(shape):
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    np.testing.assert_array_equal(guarded(array), array)
