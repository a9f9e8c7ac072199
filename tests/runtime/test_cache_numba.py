"""Compiling with Numba as a front end: the same results, nothing left behind, and another way where it has changed."""

import ctypes
import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
from numba import types
from numba.core.codegen import JITCodeLibrary
from numba.core.registry import cpu_target

from edgebig.kernels.table import Table
from edgebig.runtime import cache_numba
from edgebig.runtime.bridge.operands import operand
from edgebig.runtime.cache_object import compile_object

SIGNATURE = types.void(types.intp, types.intp)


def lookup(size: int):
    kernel = Table(size).build()

    def function(call, task):
        kernel(operand(call, 0), operand(call, 1), operand(call, 2), task)

    return function


def run(address: int, size: int) -> None:
    rng = np.random.default_rng(size)
    x, table, y = rng.integers(0, 256, size, np.uint8), rng.integers(0, 256, 256, np.uint8), np.zeros(size, np.uint8)
    bases = np.array([array.ctypes.data for array in (x, table, y)], np.int64)
    places = np.array([(8 * i, 0) for i in range(3)], np.int64)
    call = np.array([bases.ctypes.data, places.ctypes.data], np.int64)
    ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(address)(call.ctypes.data, 0)
    np.testing.assert_array_equal(y, table[x])


def test_nothing_of_numba_stays(tmp_path: Path) -> None:
    compile_object(lookup(300), SIGNATURE, tmp_path / "first.o")  # Numba loads what it needs itself
    gc.collect()
    before = sum(issubclass(type(thing), JITCodeLibrary) for thing in gc.get_objects())
    function = lookup(301)
    gone = weakref.ref(function)
    made = compile_object(function, SIGNATURE, tmp_path / "f.o")
    del function
    gc.collect()
    assert gone() is None
    assert sum(issubclass(type(thing), JITCodeLibrary) for thing in gc.get_objects()) == before
    run(made.address, 301)
    assert (tmp_path / "f.o").stat().st_size > 500


def test_numbas_own_generator_is_back_afterwards(tmp_path: Path) -> None:
    context = cpu_target.target_context
    before = context.codegen()
    compile_object(lookup(302), SIGNATURE, tmp_path / "f.o")
    assert context.codegen() is before

    def wrong(call, task):
        return call.missing

    with pytest.raises(Exception, match="missing"):
        compile_object(wrong, SIGNATURE, tmp_path / "g.o")
    assert context.codegen() is before


def test_another_numba(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(*_: object) -> None:
        raise AttributeError("no such thing in this version")

    monkeypatch.setattr(cache_numba, "_optimised_once", changed)
    made = compile_object(lookup(303), SIGNATURE, tmp_path / "f.o")
    run(made.address, 303)
    assert (tmp_path / "f.o").is_file()
