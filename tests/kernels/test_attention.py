"""Attention against loops: any shape, shared key heads, masks, u8 operands, roundings in between, any tasks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.kernels.attention import Attention
from edgebig.kernels.attention_scores import Rounding
from edgebig.kernels.batched_tile import Layout
from edgebig.kernels.epilogue import Requantize
from edgebig.kernels.errors import KernelError
from tests.kernels.memory import run_step
from tests.naive import attention as naive


def side_by_side(rows, heads, dim):
    """Heads next to each other in [batch, rows, heads * dim]."""
    return Layout(heads * dim, dim, rows * heads * dim)


def attention(batch, heads, queries, keys, dim, value_dim, **fields):
    key_heads = fields.get("key_heads", 0) or heads
    return Attention(
        batch,
        heads,
        queries,
        keys,
        dim,
        value_dim,
        q=side_by_side(queries, heads, dim),
        k=side_by_side(keys, key_heads, dim),
        v=side_by_side(keys, key_heads, value_dim),
        y=side_by_side(queries, heads, value_dim),
        **fields,
    )


def data(step, seed=0):
    rng = np.random.default_rng(seed)
    key_heads = step.key_heads or step.heads
    shapes = {
        "q": (step.batch, step.query_rows, step.heads, step.dim),
        "k": (step.batch, step.key_rows, key_heads, step.dim),
        "v": (step.batch, step.key_rows, key_heads, step.value_dim),
    }
    values = {
        name: rng.normal(0, 1, shape).astype(np.float32)
        if step.element == "f32"
        else rng.integers(0, 256, shape, np.uint8)
        for name, shape in shapes.items()
    }
    if step.mask != "none":
        rows = (step.query_rows,) if step.mask == "full" else ()
        mask = rng.normal(0, 2, (step.batch, *((step.heads,) if step.mask_head else ()), *rows, step.key_rows))
        mask[..., ::5] = -np.inf if step.key_rows > 1 and step.masked is None else 0
        mask[..., 0] = 0
        values["mask"] = mask.astype(np.float32)
    return values


def oracle(step, values):
    def of(name):
        point = step.zero_points["qkv".index(name)] if step.element == "u8" else 0
        return values[name].astype(float) - point

    def rounding(r):
        return naive.rounding(r.multiplier, r.scale, r.zero_point, r.low, r.high) if r else lambda x: x

    def score(x):
        return rounding(step.scaled)(rounding(step.product)(x * np.float32(step.product_scale)) * step.scale)

    q, k, v = of("q"), of("k"), of("v")
    shared = step.heads // k.shape[2]
    y = np.zeros((step.batch, step.query_rows, step.heads, step.value_dim))
    for n, i, head in np.ndindex(*y.shape[:3]):
        mask = None
        if step.mask != "none":
            mask = values["mask"][n]
            mask = mask[head] if step.mask_head else mask
            mask = (mask[i] if step.mask == "full" else mask).tolist()
        keys, rows = k[n, :, head // shared].tolist(), v[n, :, head // shared].tolist()
        masked, probability = rounding(step.masked), rounding(step.probabilities)
        y[n, i, head] = naive.attend(q[n, i, head].tolist(), keys, rows, score, mask, masked, probability)
    return y * step.value_scale


def run(step, values, front=False):
    shape = (step.batch, step.query_rows, step.heads, step.value_dim)
    y = np.zeros(shape, np.uint8 if step.output else np.float32)
    return run_step(step, *(values.get(name, y) for name in step.operands if name != "numbers"), front=front)[-1]


@settings(max_examples=8, deadline=None)
@given(
    st.integers(1, 2),
    st.sampled_from([(1, 0), (3, 0), (4, 2), (3, 1)]),
    st.integers(1, 40),
    st.integers(1, 80),
    st.integers(1, 36),
    st.integers(1, 36),
    st.sampled_from(["none", "keys", "full"]),
    st.sampled_from([0, 4, 8, 16]),
    st.integers(1, 4),
    st.booleans(),
)
def test_f32(batch, heads, queries, keys, dim, value_dim, mask, lanes, tasks, front):
    heads, key_heads = heads
    rows = queries if mask == "full" else 1
    step = attention(
        batch,
        heads,
        queries,
        keys,
        dim,
        value_dim,
        key_heads=key_heads,
        product_scale=0.3,
        mask=mask,
        mask_batch=heads * rows * keys,
        mask_head=rows * keys,
        lanes=lanes,
        tasks=tasks,
    )
    values = data(step, keys)
    np.testing.assert_allclose(run(step, values, front), oracle(step, values), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("keys", "dim", "value_dim", "mask", "lanes"),
    [
        (1, 1, 1, "none", 0),
        (37, 20, 65, "full", 0),
        (64, 64, 64, "keys", 16),
        (7, 32, 3, "keys", 0),
        (50, 9, 40, "full", 4),
    ],
)
@pytest.mark.parametrize("front", [False, True])
def test_one_query(keys, dim, value_dim, mask, lanes, front):
    step = attention(
        2,
        4,
        1,
        keys,
        dim,
        value_dim,
        key_heads=2,
        product_scale=0.3,
        mask=mask,
        mask_batch=4 * keys,
        mask_head=keys,
        lanes=lanes,
        tasks=3,
        value_scale=0.75,
    )
    values = data(step, keys)
    np.testing.assert_allclose(run(step, values, front), oracle(step, values), rtol=1e-5, atol=1e-5)


def test_one_query_of_u8_with_rounded_probabilities():
    step = attention(
        1,
        2,
        1,
        45,
        20,
        36,
        element="u8",
        zero_points=(128, 120, 140),
        product_scale=1e-4,
        product=Rounding(16.0, 1 / 16, 128),
        probabilities=Rounding(255.0, 1.0, 3),
        value_scale=1 / 255,
        output=Requantize(128),
    )
    values = data(step, 4)
    exact = np.clip(oracle(step, values) + 128, 0, 255)
    # A probability at the border of two steps may fall to either: one step times the largest value.
    assert np.abs(run(step, values) - exact).max() <= 0.5 + 140 / 255


@pytest.mark.parametrize(("queries", "keys", "dim"), [(17, 70, 32), (1, 33, 64), (32, 129, 8), (5, 9, 13)])
def test_u8(queries, keys, dim):
    step = attention(
        2,
        2,
        queries,
        keys,
        dim,
        dim,
        element="u8",
        zero_points=(128, 7, 255),
        product_scale=2e-4,
        value_scale=0.01 / 0.02,
        output=Requantize(90, 3, 250),
        mask="keys",
        mask_batch=keys,
        tasks=3,
    )
    values = data(step, keys)
    exact = np.clip(oracle(step, values) + 90, 3, 250)
    assert np.abs(run(step, values) - exact).max() <= 0.5 + 1e-3


def test_rounding_in_between_follows_the_quantized_graph():
    step = attention(
        1,
        2,
        20,
        40,
        16,
        24,
        element="u8",
        zero_points=(120, 130, 140),
        product_scale=1.0,
        product=Rounding(3e-3, 1.0, 128),
        scale=0.11,
        scaled=Rounding(16.0, 1 / 16, 100, 2, 251),
        mask="full",
        masked=Rounding(8.0, 1 / 8, 128),
        probabilities=Rounding(255.0, 1.0),
        value_scale=1 / 255,
        output=None,
    )
    values = data(step, 4)
    got, expected = run(step, values), oracle(step, values)
    # A probability at the border of two steps may fall to either: one step times the largest value.
    far = np.abs(got - expected) > 1e-3
    assert far.mean() < 0.02
    assert np.abs(got - expected).max() <= 1.01 * 140 / 255


def test_probabilities_of_u8_are_summed_exactly():
    step = attention(
        1, 1, 8, 300, 4, 8, element="u8", zero_points=(0, 0, 0), product_scale=0.0, probabilities=Rounding(3000.0, 1.0)
    )
    values = data(step, 1)
    values["v"][...] = 255
    assert (run(step, values) == 10 * 255 * 300).all()


def test_tasks_give_identical_results():
    values = data(attention(1, 2, 50, 33, 12, 12))
    one, five = (run(attention(1, 2, 50, 33, 12, 12, tasks=tasks), values) for tasks in (1, 5))
    np.testing.assert_array_equal(one, five)


def test_keys_and_values_of_a_cache():
    """Keys [batch, heads, rows, dim] of a cache longer than what is used of it."""
    queries, keys, dim, room = 3, 10, 8, 16
    cache = Layout(dim, room * dim, 2 * room * dim)
    plain = side_by_side(queries, 2, dim)
    step = Attention(1, 2, queries, keys, dim, dim, plain, cache, cache, plain)
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(0, 1, shape).astype(np.float32) for shape in [(1, 3, 2, 8), (1, 2, 16, 8), (1, 2, 16, 8)])
    got = run_step(step, q, k, v, np.zeros_like(q))[-1]
    used = {"q": q, "k": k[:, :, :keys].transpose(0, 2, 1, 3), "v": v[:, :, :keys].transpose(0, 2, 1, 3)}
    np.testing.assert_allclose(got, oracle(step, used), rtol=1e-5, atol=1e-6)


def test_repr_rebuilds():
    step = attention(1, 1, 2, 3, 4, 5, masked=Rounding(1.0, 2.0), output=Requantize(3))
    assert eval(repr(step)) == step


@pytest.mark.parametrize(
    "fields", [{"key_heads": 2}, {"mask": "causal"}, {"element": "s8"}, {"lanes": 5}, {"tasks": 0}]
)
def test_refuses(fields):
    with pytest.raises(KernelError):
        attention(1, 3, 4, 4, 4, 4, **fields)


def test_refuses_what_does_not_fit_the_stack():
    with pytest.raises(KernelError, match="stack"):
        attention(1, 1, 16, 4000, 64, 64)


def test_rounding_refuses_a_range_that_is_none():
    with pytest.raises(KernelError):
        Rounding(1.0, 1.0, 0, 9, 8)
