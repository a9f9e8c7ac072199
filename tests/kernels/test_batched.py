"""Batched products against loops: any shape, heads in place, f32 and exact u8, any tasks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.kernels.batched import BatchedMatMul
from edgebig.kernels.batched_tile import Layout, pieces
from edgebig.kernels.epilogue import Requantize
from edgebig.kernels.errors import KernelError
from tests.kernels.memory import run_step
from tests.naive import batched as naive

SHAPES = (st.integers(1, 2), st.integers(1, 20), st.integers(1, 70), st.integers(1, 40))


def contiguous(step, seed=0, extreme=False):
    rng = np.random.default_rng(seed)
    b_shape = (step.columns, step.inner) if step.transpose_b else (step.inner, step.columns)
    shapes = [(step.batch, step.heads, step.rows, step.inner), (step.batch, step.heads, *b_shape)]
    if step.element == "f32":
        return [rng.normal(0, 1, shape).astype(np.float32) for shape in shapes]
    if extreme:
        return [np.full(shape, 255, np.uint8) for shape in shapes]
    return [rng.integers(0, 256, shape, np.uint8) for shape in shapes]


def sums(step, a, b):
    za, zb = step.zero_points if step.element == "u8" else (0, 0)
    y = np.zeros((step.batch, step.heads, step.rows, step.columns))
    for n, head in np.ndindex(step.batch, step.heads):
        right = b[n, head].T if step.transpose_b else b[n, head]
        y[n, head] = naive.product((a[n, head].astype(float) - za).tolist(), (right.astype(float) - zb).tolist())
    return y


def expected_u8(step, exact):
    scaled = exact.astype(np.float32) * np.float32(step.scale)
    out = step.output
    flat = [naive.requantize(float(value), out.zero_point, out.low, out.high) for value in scaled.ravel()]
    return np.array(flat, np.uint8).reshape(exact.shape)


def run(step, a, b, front=False):
    y = np.zeros((step.batch, step.heads, step.rows, step.columns), np.uint8 if step.output else np.float32)
    workspace = [np.zeros(step.workspace_bytes, np.uint8)] if step.workspace_bytes else []
    return run_step(step, a, b, *workspace, y, front=front)[-1]


@settings(max_examples=8, deadline=None)
@given(*SHAPES, st.booleans(), st.sampled_from([0, 4, 8, 16]), st.integers(1, 3), st.booleans())
def test_f32(batch, rows, inner, columns, transpose_b, lanes, tasks, front):
    step = BatchedMatMul(batch, rows, inner, columns, transpose_b, heads=2, scale=0.25, lanes=lanes, tasks=tasks)
    a, b = contiguous(step, inner)
    np.testing.assert_allclose(run(step, a, b, front), 0.25 * sums(step, a, b), rtol=1e-5, atol=1e-5)


@settings(max_examples=8, deadline=None)
@given(*SHAPES, st.booleans(), st.sampled_from([0, 4, 8, 16]), st.integers(1, 3), st.booleans())
def test_u8(batch, rows, inner, columns, transpose_b, lanes, tasks, front):
    step = BatchedMatMul(
        batch,
        rows,
        inner,
        columns,
        transpose_b,
        element="u8",
        zero_points=(131, 17),
        scale=2.0**-9,
        output=Requantize(100, 2, 253),
        lanes=lanes,
        tasks=tasks,
    )
    a, b = contiguous(step, inner)
    np.testing.assert_array_equal(run(step, a, b, front), expected_u8(step, sums(step, a, b)))


@pytest.mark.parametrize("inner", [256, 257, 700])
@pytest.mark.parametrize("transpose_b", [False, True])
def test_u8_sums_are_exact_integers(inner, transpose_b):
    """Sums up to 700 * 255**2, far beyond what float32 counts one by one: their low digits show in the result."""
    step = BatchedMatMul(1, 7, inner, 19, transpose_b, element="u8", scale=1.0)
    for a, b in (contiguous(step, inner), contiguous(step, extreme=True)):
        a[..., 0] = 254
        np.testing.assert_array_equal(run(step, a, b), sums(step, a, b).astype(np.float32))


def test_heads_are_read_and_written_in_place():
    """a [rows, heads * inner], b [columns, heads * inner], y [rows, heads * columns], as in attention."""
    heads, rows, inner, columns = 3, 10, 20, 18
    layouts = {
        name: Layout(heads * width, width, count * heads * width)
        for name, count, width in [("a", rows, inner), ("b", columns, inner), ("y", rows, columns)]
    }
    step = BatchedMatMul(2, rows, inner, columns, True, heads=heads, tasks=2, **layouts)
    a, b = contiguous(step, 5)
    packed = [np.ascontiguousarray(x.transpose(0, 2, 1, 3)) for x in (a, b)]
    y = run_step(step, *packed, np.zeros((2, rows, heads, columns), np.float32))[-1]
    np.testing.assert_allclose(y.transpose(0, 2, 1, 3), sums(step, a, b), rtol=1e-5, atol=1e-5)


def test_tasks_give_identical_results():
    steps = [BatchedMatMul(2, 9, 33, 50, element="u8", scale=0.01, tasks=tasks) for tasks in (1, 7)]
    a, b = contiguous(steps[0])
    np.testing.assert_array_equal(run(steps[0], a, b), run(steps[1], a, b))


@pytest.mark.parametrize("count", range(1, 40))
def test_pieces_cover_every_row_once(count):
    covered = [
        first + i * rows + r for first, rows, times in pieces(count, 6) for i in range(times) for r in range(rows)
    ]
    assert covered == list(range(count))
    assert {rows for _, rows, _ in pieces(count, 6)} <= set(range(1, 7))


def test_repr_rebuilds():
    step = BatchedMatMul(1, 2, 3, 4, a=Layout(1, 2, 3), output=Requantize(9))
    assert eval(repr(step)) == step


@pytest.mark.parametrize("fields", [{"rows": 0}, {"element": "s8"}, {"lanes": 3}, {"inner": 8000}, {"tasks": 0}])
def test_refuses(fields):
    with pytest.raises(KernelError):
        BatchedMatMul(**({"batch": 1, "rows": 2, "inner": 3, "columns": 20} | fields))
