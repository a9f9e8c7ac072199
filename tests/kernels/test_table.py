"""Lookups against indexing, for every byte, remainder and task."""

import numpy as np
import pytest

from edgebig.kernels.errors import KernelError
from edgebig.kernels.table import Table, TableToFloat
from tests.kernels.memory import run_step


@pytest.mark.parametrize("size", [1, 7, 95, 96, 97, 256, 1031])
@pytest.mark.parametrize("tasks", [1, 3])
@pytest.mark.parametrize("front", [False, True])
def test_table(size, tasks, front):
    rng = np.random.default_rng(size)
    table = rng.permutation(256).astype(np.uint8)
    x = np.resize(rng.permutation(256).astype(np.uint8), size)
    *_, y = run_step(Table(size, tasks), x, table, np.zeros(size, np.uint8), front=front)
    np.testing.assert_array_equal(y, [table[value] for value in x])


@pytest.mark.parametrize(("size", "tasks"), [(1, 1), (300, 1), (513, 4)])
def test_table_to_float(size, tasks):
    rng = np.random.default_rng(size)
    table = rng.standard_normal(256).astype(np.float32)
    x = np.resize(rng.permutation(256).astype(np.uint8), size)
    *_, y = run_step(TableToFloat(size, tasks), x, table, np.zeros(size, np.float32))
    np.testing.assert_array_equal(y, [table[value] for value in x])


def test_table_in_place():
    x = np.arange(256, dtype=np.uint8)
    table = x[::-1].copy()
    Table(256).build()(x.ctypes.data, table.ctypes.data, x.ctypes.data, 0)
    np.testing.assert_array_equal(x, table)


@pytest.mark.parametrize("step", [Table, TableToFloat])
def test_refusals(step):
    with pytest.raises(KernelError):
        step(0)
    with pytest.raises(KernelError):
        step(5, tasks=0)
