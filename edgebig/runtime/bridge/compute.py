"""What runs when onnxruntime runs a segment: one compiled function for all programs, which reads orders from memory.

`KERNEL`, `TENSOR` and `CALL` say where in a record which word lies; `instances` writes these records. Addresses and
counts are 64-bit integers. Every OrtStatus goes back to onnxruntime, which turns it into an exception.

It is compiled once and kept for as long as this file is the same. `BUILT_FROM` makes sure that it changes when what it
is compiled with does (a test compares).
"""

from typing import Any

from numba import njit, types

from edgebig.runtime.bridge.api import INVALID_ARGUMENT, SLOTS, WORD
from edgebig.runtime.bridge.arenas import ALIGN, HUGE
from edgebig.runtime.bridge.arenas import SLOTS as SHELF_SLOTS
from edgebig.runtime.bridge.words import (
    call1,
    call2,
    call3,
    call5,
    load,
    load_byte,
    load_int,
    put_if_zero,
    stack_dims,
    stack_words,
    store,
    store_byte,
    take,
    text_buffer,
    two_words,
)
from edgebig.runtime.cache import Cache

BUILT_FROM = "ffc1f27f526d9287"  # of words.py

# A kernel's record: where its words lie, in bytes.
KERNEL_API, KERNEL_INPUTS, KERNEL_OUTPUTS, KERNEL_TENSORS, KERNEL_CALLS, KERNEL_CALL_COUNT = 0, 8, 16, 24, 32, 40
KERNEL_BLOCK_BYTES, KERNEL_SHELF, KERNEL_PARALLEL, KERNEL_LIBC, KERNEL_TYPE_NAMES, KERNEL_BYTES = 48, 56, 64, 72, 80, 88
LIBC_ALIGNED, LIBC_FREE, LIBC_ADVISE, LIBC_BYTES = 0, 8, 16, 24  # the C library's functions
TENSOR_TYPE, TENSOR_RANK, TENSOR_DIMS, TENSOR_BEFORE, TENSOR_AFTER, TENSOR_BYTES = 0, 8, 16, 24, 32, 40
CALL_FUNCTION, CALL_TASKS, CALL_OPERANDS, CALL_BYTES = 0, 8, 16, 24

MAX_RANK = 16
_MAX_TEXT = 500  # of `text_buffer`'s 512 bytes
_TYPE_NAMES = 24
_MADV_HUGEPAGE = 14

_CREATE_STATUS = SLOTS["CreateStatus"].place * WORD
_TENSOR_DATA = SLOTS["GetTensorMutableData"].place * WORD
_ELEMENT_TYPE = SLOTS["GetTensorElementType"].place * WORD
_RANK = SLOTS["GetDimensionsCount"].place * WORD
_DIMENSIONS = SLOTS["GetDimensions"].place * WORD
_TYPE_AND_SHAPE = SLOTS["GetTensorTypeAndShape"].place * WORD
_RELEASE_SHAPE = SLOTS["ReleaseTensorTypeAndShapeInfo"].place * WORD
_INPUT = SLOTS["KernelContext_GetInput"].place * WORD
_OUTPUT = SLOTS["KernelContext_GetOutput"].place * WORD
_PARALLEL_FOR = SLOTS["KernelContext_ParallelFor"].place * WORD


@njit
def _append_text(buffer: Any, length: Any, text: Any) -> Any:
    """Append a C string; returns the new length."""
    byte = load_byte(text)
    while byte != 0 and length < _MAX_TEXT:
        store_byte(buffer + length, byte)
        length, text = length + 1, text + 1
        byte = load_byte(text)
    return length


@njit(error_model="numpy")  # no exception where nothing is divided by 0
def _append_number(buffer: Any, length: Any, number: Any) -> Any:
    """Append a number >= 0 in decimal; returns the new length."""
    power = 1
    while number // power >= 10:
        power *= 10
    while power > 0 and length < _MAX_TEXT:
        store_byte(buffer + length, 48 + number // power % 10)
        length, power = length + 1, power // 10
    return length


@njit
def _mismatch(kernel: Any, tensor: Any, kind: Any, rank: Any, dims: Any) -> Any:
    """A status that says what was given, and what the segment takes."""
    buffer = text_buffer()
    length = _append_text(buffer, 0, load(tensor + TENSOR_BEFORE))
    if kind < 0:
        length = _append_text(buffer, length, load(load(kernel + KERNEL_TYPE_NAMES)))
    else:
        name = kind if kind < _TYPE_NAMES else 0
        length = _append_text(buffer, length, load(load(kernel + KERNEL_TYPE_NAMES) + WORD * name))
        store_byte(buffer + length, 91)  # [
        length += 1
        for i in range(rank):
            if i > 0:
                store_byte(buffer + length, 44)  # ,
                length += 1
            length = _append_number(buffer, length, load(dims + WORD * i))
        store_byte(buffer + length, 93)  # ]
        length += 1
    length = _append_text(buffer, length, load(tensor + TENSOR_AFTER))
    store_byte(buffer + length, 0)
    return call2(load(load(kernel + KERNEL_API) + _CREATE_STATUS), INVALID_ARGUMENT, buffer)


@njit
def _check(kernel: Any, tensor: Any, value: Any) -> Any:
    """A status: 0 where the value's type and shape are those of the program's tensor."""
    api = load(kernel + KERNEL_API)
    got, dims = two_words(), stack_dims()
    status = call2(load(api + _TYPE_AND_SHAPE), value, got)
    if status != 0:
        return status
    info = load(got)
    store(got + WORD, 0)
    status = call2(load(api + _ELEMENT_TYPE), info, got + WORD)
    kind = load_int(got + WORD)
    if status == 0:
        status = call2(load(api + _RANK), info, got)
    rank = load(got)
    known = rank if rank < MAX_RANK else MAX_RANK
    if status == 0:
        status = call3(load(api + _DIMENSIONS), info, dims, known)
    call1(load(api + _RELEASE_SHAPE), info)
    if status != 0:
        return status
    same = kind == load(tensor + TENSOR_TYPE) and rank == load(tensor + TENSOR_RANK)
    if same:
        wanted = load(tensor + TENSOR_DIMS)
        for i in range(known):
            same = same and load(dims + WORD * i) == load(wanted + WORD * i)
    return 0 if same else _mismatch(kernel, tensor, kind, known, dims)


@njit
def _bind(kernel: Any, context: Any, bases: Any) -> Any:
    """Write the addresses of inputs and outputs to the bases; returns a status."""
    api = load(kernel + KERNEL_API)
    inputs, outputs = load(kernel + KERNEL_INPUTS), load(kernel + KERNEL_OUTPUTS)
    tensor = load(kernel + KERNEL_TENSORS)
    got = two_words()
    for i in range(inputs + outputs):
        store(got, 0)
        if i < inputs:
            status = call3(load(api + _INPUT), context, i, got)
        else:
            dims, rank = load(tensor + TENSOR_DIMS), load(tensor + TENSOR_RANK)
            status = call5(load(api + _OUTPUT), context, i - inputs, dims, rank, got)
        value = load(got)
        if status != 0:
            return status
        if value == 0:
            return _mismatch(kernel, tensor, -1, 0, 0)
        if i < inputs:
            status = _check(kernel, tensor, value)
            if status != 0:
                return status
        status = call2(load(api + _TENSOR_DATA), value, got)
        if status != 0:
            return status
        store(bases + WORD * (i + 2), load(got))
        tensor += TENSOR_BYTES
    return 0


@njit
def _take_block(kernel: Any) -> Any:
    """A block of scratch memory that is this call's alone; 0 where there is none left in the machine."""
    shelf = load(kernel + KERNEL_SHELF)
    for i in range(SHELF_SLOTS):
        if load(shelf + WORD * i) != 0:
            block = take(shelf + WORD * i)
            if block != 0:
                return block
    libc, size, got = load(kernel + KERNEL_LIBC), load(kernel + KERNEL_BLOCK_BYTES), two_words()
    align = HUGE if size >= HUGE else ALIGN
    store(got, 0)
    if call3(load(libc + LIBC_ALIGNED), got, align, size) & 0xFFFFFFFF != 0:
        return 0
    block = load(got)
    if align == HUGE:
        call3(load(libc + LIBC_ADVISE), block, size, _MADV_HUGEPAGE)
    return block


@njit
def _put_block(kernel: Any, block: Any) -> None:
    """Give a block back."""
    shelf = load(kernel + KERNEL_SHELF)
    for i in range(SHELF_SLOTS):
        if load(shelf + WORD * i) == 0 and put_if_zero(shelf + WORD * i, block) != 0:
            return
    call1(load(load(kernel + KERNEL_LIBC) + LIBC_FREE), block)


@njit
def _run(kernel: Any, context: Any, bases: Any) -> Any:
    """All calls, in order; returns a status."""
    parallel = load(kernel + KERNEL_PARALLEL)
    parallel_for = load(load(kernel + KERNEL_API) + _PARALLEL_FOR)
    entry, orders = load(kernel + KERNEL_CALLS), two_words()
    store(orders, bases)
    for _ in range(load(kernel + KERNEL_CALL_COUNT)):
        function, tasks = load(entry + CALL_FUNCTION), load(entry + CALL_TASKS)
        store(orders + WORD, load(entry + CALL_OPERANDS))
        if tasks == 1 or parallel == 0:
            for task in range(tasks):
                call2(function, orders, task)
        else:
            status = call5(parallel_for, context, function, tasks, 0, orders)
            if status != 0:
                return status
        entry += CALL_BYTES
    return 0


def _compute(kernel: Any, context: Any) -> Any:
    """onnxruntime's KernelComputeV2: run the kernel's program once; gives a status."""
    bases = stack_words(load(kernel + KERNEL_INPUTS) + load(kernel + KERNEL_OUTPUTS) + 2)
    store(bases, 0)
    store(bases + WORD, 0)
    status = _bind(kernel, context, bases)
    if status != 0:
        return status
    if load(kernel + KERNEL_BLOCK_BYTES) == 0:
        return _run(kernel, context, bases)
    block = _take_block(kernel)
    if block == 0:
        message = load(load(kernel + KERNEL_TYPE_NAMES) + WORD * _TYPE_NAMES)
        return call2(load(load(kernel + KERNEL_API) + _CREATE_STATUS), 1, message)
    store(bases + WORD, block)
    status = _run(kernel, context, bases)
    _put_block(kernel, block)
    return status


def _forget(kernel: Any) -> None:
    """onnxruntime's KernelDestroy while the interpreter shuts down: memory is about to go anyway."""


_cache = Cache()
compute = _cache.compile(_compute, types.intp(types.intp, types.intp))
forget = _cache.compile(_forget, types.void(types.intp))
