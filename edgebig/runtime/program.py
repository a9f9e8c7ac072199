"""From a plan to a program: functions compiled (or taken from the cache), buffers given addresses."""

import numpy as np
import onnx
from numpy.typing import NDArray

from edgebig.progress import track
from edgebig.runtime.arena import Arena, plan_arena
from edgebig.runtime.bridge import Call, Program, Tensor
from edgebig.runtime.bridge.program import ABSOLUTE, ARENA, FIRST_TENSOR
from edgebig.runtime.cache import Cache
from edgebig.runtime.codegen import generate
from edgebig.runtime.plan import Buffer, Place, Plan, Port

ALIGN = 64


def build_program(plan: Plan, cache: Cache, title: str) -> Program:
    """Compile a plan.

    Args:
        plan: The steps.
        cache: Where compiled functions lie.
        title: What the segment is.

    Returns:
        A program for the bridge; it keeps its constants and functions alive.
    """
    generated = generate(plan, title)
    module = cache.module(generated.name, generated.source)
    compiled = {}
    for name in track(dict.fromkeys(generated.functions), "compiling kernels"):
        compiled[name] = cache.compile(getattr(module, name), text=generated.texts[name])
    constants = _Constants()
    arena = plan_arena(plan.steps)
    first_output = FIRST_TENSOR + len(plan.inputs)

    def place(buffer: Buffer, offset: int) -> tuple[int, int]:
        if buffer.place is Place.CONSTANT:
            return ABSOLUTE, constants.address(buffer) + offset
        if buffer.place is Place.ARENA:
            return ARENA, arena.offsets[buffer] + offset
        return (FIRST_TENSOR if buffer.place is Place.INPUT else first_output) + buffer.index, offset

    calls = tuple(
        Call(compiled[name].address, planned.step.tasks, tuple(map(place, planned.operands, planned.offsets)))
        for planned, name in zip(plan.steps, generated.functions, strict=True)
    )
    keep = (constants, compiled)
    return Program(_tensors(plan.inputs), _tensors(plan.outputs), _bytes(arena), calls, keep)


class _Constants:
    """Packed weights, aligned; arrays that are equal by identity are kept once."""

    def __init__(self) -> None:
        self._arrays: dict[Buffer, NDArray] = {}

    def address(self, buffer: Buffer) -> int:
        if buffer not in self._arrays:
            array = buffer.array() if callable(buffer.array) else buffer.array
            self._arrays[buffer] = aligned(np.zeros(1) if array is None else array)
        return int(self._arrays[buffer].ctypes.data)


def aligned(array: NDArray) -> NDArray:
    """The array, contiguous, beginning at a multiple of 64 bytes."""
    array = np.ascontiguousarray(array)
    if array.ctypes.data % ALIGN == 0:
        return array
    room = np.empty(array.nbytes + ALIGN, np.uint8)
    start = -room.ctypes.data % ALIGN
    copy = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def _tensors(ports: tuple[Port, ...]) -> tuple[Tensor, ...]:
    return tuple(Tensor(onnx.helper.np_dtype_to_tensor_dtype(port.dtype), port.shape) for port in ports)


def _bytes(arena: Arena) -> int:
    return max(arena.bytes, ALIGN)
