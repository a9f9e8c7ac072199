"""Operands whose memory ends at a guard page, so that a kernel that reads or writes past them is caught in the act."""

import ctypes
import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    """Build a step, run all its tasks, last one first, on guarded copies of its operands; returns the copies.

    Tasks in the wrong order show a task that relies on another.
    """
    copies = [guarded(operand, front=front) for operand in operands]
    run = step.build()
    for task in reversed(range(step.tasks)):
        run(*(copy.ctypes.data for copy in copies), task)
    return copies
