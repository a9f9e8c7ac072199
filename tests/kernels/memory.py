"""Operands whose memory ends at a guard page, so that a kernel that reads or writes past them is caught in the act."""

import ctypes
import mmap
from pathlib import Path
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from edgebig.runtime.bridge.operands import operand
from edgebig.runtime.cache_object import Compiled, compile_object

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_FORBIDDEN = 0  # PROT_NONE
_kept: list[mmap.mmap] = []


def guarded(array: NDArray[Any], *, front: bool = False) -> NDArray[Any]:
    """A copy of `array` that lies in front of a page nobody may touch.

    Args:
        array: What is copied; empty arrays are fine.
        front: Put the forbidden page before the first byte instead of after the last.

    Returns:
        The copy, contiguous. Touching the byte next to it ends the process with a segmentation fault.
    """
    page = mmap.PAGESIZE
    pages = max(1, -(-array.nbytes // page))
    block = mmap.mmap(-1, (pages + 1) * page)
    base = ctypes.addressof(ctypes.c_char.from_buffer(block))
    if _libc.mprotect(base if front else base + pages * page, page, _FORBIDDEN):
        raise OSError(ctypes.get_errno(), "mprotect failed")
    _kept.append(block)
    start = page if front else pages * page - array.nbytes
    copy = np.frombuffer(block, np.uint8, array.nbytes, start).view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def run_step(step: Any, *operands: NDArray[Any], front: bool = False) -> list[NDArray[Any]]:
    """Build a step as a segment does, run all its tasks, last one first, on guarded copies; returns the copies.

    Tasks in the wrong order show a task that relies on another. A segment calls what is built from a function of its
    own, and LLVM optimises both as one: what is right when called alone can be wrong there. The operand "numbers" need
    not be given.
    """
    copies = [guarded(operand, front=front) for operand in operands]
    given = list(copies)
    if "numbers" in step.operands:
        given.insert(step.operands.index("numbers"), guarded(step.numbers(), front=front))
        step = step.without_numbers()
    bases = np.array([copy.ctypes.data for copy in given], np.int64)
    places = np.array([(8 * i, 0) for i in range(len(given))], np.int64)
    call = np.array([bases.ctypes.data, places.ctypes.data], np.int64)
    compiled = _in_a_segment(step.build(), len(given))
    function = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(compiled.address)
    for task in reversed(range(step.tasks)):
        function(call.ctypes.data, task)
    return copies


def _in_a_segment(run: Any, count: int) -> Compiled:
    """A C function of a call's record and a task's index, as generated modules define it, compiled as they are."""
    arguments = ", ".join(f"operand(call, {i})" for i in range(count))
    scope: dict[str, Any] = {"run": run, "operand": operand}
    exec(f"def function(call, task):\n    run({arguments}, task)\n", scope)
    return compile_object(scope["function"], types.void(types.intp, types.intp), Path("/nowhere/function.o"))
