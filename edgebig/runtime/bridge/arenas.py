"""Scratch memory for segments: blocks that go from call to call, shared by all sessions of the process.

A fresh block of some megabytes costs a page fault every 4 KB, on each call anew; so blocks are kept. They are kept by
size (powers of two; what is never touched is never backed by memory), on a shelf of slots that hold an address or 0.
A running segment takes a block with one atomic exchange and puts it back with another; nobody waits for anybody, and a
process forked in between loses at most a block. `compute` does both; here is what happens outside of a run.
"""

import ctypes
import os
import threading

SLOTS = 64  # of a shelf: as many calls at once find a kept block
ALIGN = 64
HUGE = 1 << 21  # from here on, blocks begin at a multiple of this, so that Linux may back them with huge pages

_libc = ctypes.CDLL(None)
_libc.free.argtypes = [ctypes.c_void_p]
_libc.free.restype = None


def libc_address(name: str) -> int:
    """The address of a function of the C library."""
    return ctypes.cast(getattr(_libc, name), ctypes.c_void_p).value or 0


class Shelf:
    """The kept blocks of one size."""

    def __init__(self, block_bytes: int) -> None:
        self.block_bytes = block_bytes
        self.users = 0
        self._slots = (ctypes.c_uint64 * SLOTS)()
        self.address = ctypes.addressof(self._slots)

    def clear(self) -> None:
        """Free the blocks. Only while no segment that uses this shelf runs."""
        for index in range(SLOTS):
            block, self._slots[index] = self._slots[index], 0
            if block:
                _libc.free(block)

    def kept(self) -> int:
        """How many blocks lie on it."""
        return sum(bool(slot) for slot in self._slots)


_shelves: dict[int, Shelf] = {}
_lock = threading.RLock()  # again and again by one thread: the garbage collector may end a session in the middle


def _new_lock() -> None:
    global _lock
    _lock = threading.RLock()  # whoever held the old one is not in the child


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)


def block_size(arena_bytes: int) -> int:
    """The size of the blocks that serve an arena: the next power of two, 4 KB at least."""
    return 1 << max(arena_bytes - 1, 4095).bit_length()


def use(arena_bytes: int) -> Shelf:
    """The shelf for an arena of this size. Give it back with `leave`."""
    with _lock:
        size = block_size(arena_bytes)
        shelf = _shelves.setdefault(size, Shelf(size))
        shelf.users += 1
        return shelf


def leave(shelf: Shelf) -> None:
    """A user of the shelf is gone; the last one takes the blocks along."""
    with _lock:
        shelf.users -= 1
        if shelf.users == 0:
            shelf.clear()
            _shelves.pop(shelf.block_bytes, None)


def kept_bytes() -> int:
    """Bytes of address space in all kept blocks."""
    with _lock:
        return sum(shelf.kept() * shelf.block_bytes for shelf in _shelves.values())
