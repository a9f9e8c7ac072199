"""A program as memory that `compute` reads: one record for each kernel that onnxruntime makes."""

import ctypes
from collections.abc import Sequence

from edgebig.runtime.bridge import arenas, compute
from edgebig.runtime.bridge.arenas import Shelf
from edgebig.runtime.bridge.errors import BridgeError
from edgebig.runtime.bridge.program import ELEMENT_TYPES, Program, Tensor

_NO_MEMORY = b"edgebig: no memory is left for a segment's arena"


class _Memory:
    """Words and texts at fixed addresses, alive as long as this object."""

    def __init__(self) -> None:
        self._blocks: list[object] = []

    def words(self, values: Sequence[int]) -> int:
        block = (ctypes.c_int64 * max(len(values), 1))(*values)
        self._blocks.append(block)
        return ctypes.addressof(block)

    def text(self, text: bytes) -> int:
        block = ctypes.create_string_buffer(text)
        self._blocks.append(block)
        return ctypes.addressof(block)


class Instance:
    """What one node of one session runs. `address` is what onnxruntime hands to `compute`.

    Args:
        key: The program's, for messages.
        program: Kept alive by this object.
        api: Address of onnxruntime's function table.
        parallel: Whether calls of several tasks go to onnxruntime's threads.

    Raises:
        BridgeError: A tensor has more dimensions than `compute` handles.
    """

    def __init__(self, key: int, program: Program, api: int, *, parallel: bool) -> None:
        self.program = program
        self._memory = _Memory()
        tensors, calls = self._tensors(key), self._calls()
        # Last, because only a finished instance gives it back.
        self._shelf: Shelf | None = arenas.use(program.arena_bytes) if program.arena_bytes else None
        words = {
            compute.KERNEL_API: api,
            compute.KERNEL_INPUTS: len(program.inputs),
            compute.KERNEL_OUTPUTS: len(program.outputs),
            compute.KERNEL_TENSORS: tensors,
            compute.KERNEL_CALLS: calls,
            compute.KERNEL_CALL_COUNT: len(program.calls),
            compute.KERNEL_BLOCK_BYTES: self._shelf.block_bytes if self._shelf else 0,
            compute.KERNEL_SHELF: self._shelf.address if self._shelf else 0,
            compute.KERNEL_PARALLEL: int(parallel),
            compute.KERNEL_LIBC: self._memory.words(
                [arenas.libc_address(name) for name in ("posix_memalign", "free", "madvise")]
            ),
            compute.KERNEL_TYPE_NAMES: self._texts(),
        }
        self.address = self._memory.words([words[place] for place in range(0, compute.KERNEL_BYTES, 8)])

    def close(self) -> None:
        """Give the scratch memory back; nothing may run this instance any more."""
        shelf, self._shelf = self._shelf, None
        if shelf:
            arenas.leave(shelf)

    def _tensors(self, key: int) -> int:
        words: list[int] = []
        for kind, tensors in (("input", self.program.inputs), ("output", self.program.outputs)):
            for index, tensor in enumerate(tensors):
                words += self._tensor(f"edgebig segment {key}: {kind} {index} is ", tensor)
        return self._memory.words(words)

    def _tensor(self, before: str, tensor: Tensor) -> list[int]:
        if len(tensor.shape) > compute.MAX_RANK:
            raise BridgeError(f"{before}{tensor}. A segment's tensors have at most {compute.MAX_RANK} dimensions.")
        after = f", but the segment was compiled for {tensor}"
        texts = [self._memory.text(before.encode()), self._memory.text(after.encode())]
        return [tensor.element_type, len(tensor.shape), self._memory.words(tensor.shape), *texts]

    def _calls(self) -> int:
        words: list[int] = []
        for call in self.program.calls:
            operands = self._memory.words([word for base, offset in call.operands for word in (8 * base, offset)])
            words += [call.function, call.tasks, operands]
        return self._memory.words(words)

    def _texts(self) -> int:
        """Names of the element types by number, then what to say when memory is short. Number 0 is no type."""
        names = [self._memory.text(ELEMENT_TYPES.get(i, f"element type {i}").encode()) for i in range(1, 24)]
        return self._memory.words([self._memory.text(b"missing"), *names, self._memory.text(_NO_MEMORY)])
