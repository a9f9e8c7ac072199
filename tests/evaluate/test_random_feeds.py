"""Random inputs: sizes and ranges that the model runs on, and a plain answer where there are none."""

import numpy as np
import onnx_ir as ir
import pytest

from edgebig.errors import InvalidDataError
from edgebig.evaluate.random_feeds import random_feeds
from edgebig.graph.interface import input_specs
from edgebig.graph.session import Session


def feeds_of(model, seed: int = 0):
    return random_feeds(Session(model), input_specs(model), seed=seed)


def shapes(feeds, name: str = "x") -> list[tuple[int, ...]]:
    return sorted({feed[name].shape for feed in feeds})


def test_two_sizes_of_a_dynamic_batch(build) -> None:
    feeds = feeds_of(build("g (float[N, 3] x) => (float[N, 3] y) { y = Relu(x) }"))
    assert shapes(feeds) == [(1, 3), (2, 3)]
    assert all(feed["x"].dtype == np.float32 for feed in feeds)
    assert len(feeds) == 4


def test_a_fixed_shape_is_one_size(build) -> None:
    assert shapes(feeds_of(build("g (float[2, 3] x) => (float[2, 3] y) { y = Relu(x) }"))) == [(2, 3)]


def test_the_seed_decides(build) -> None:
    model = build("g (float[N, 3] x) => (float[N, 3] y) { y = Relu(x) }")
    first, again, other = (feeds_of(model, seed)[0]["x"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_one_name_is_one_size(build) -> None:
    text = "g (float[N, T] x, float[T, N] z) => (float[N, N] y) { y = MatMul(x, z) }"
    for feed in feeds_of(build(text)):
        assert feed["x"].shape == feed["z"].shape[::-1]


def test_sizes_that_the_model_needs_are_found(build) -> None:
    model = build(
        "g (float[N, C, H, W] x) => (float[N, K, A, B] y) { y = Conv<strides = [8, 8]>(x, w) }",
        w=np.ones((2, 32, 24, 24), np.float32),
    )
    assert shapes(feeds_of(model)) == [(3, 32, 32, 32)]


def test_a_state_whose_batch_has_no_name(build) -> None:
    """As silero's: input [?, ?], state [2, ?, 4] with the batch on axis 1."""
    text = """g (float[N, C] x, float[2, M, 4] s) => (float[A, B] y) {
        m = ReduceMean<axes = [0, 2], keepdims = 0>(s) u = Unsqueeze(m, one) y = Add(x, u) }"""
    model = build(text, opset=13, one=np.array([1]))
    for value in model.graph.inputs:
        value.shape = ir.Shape([size if isinstance(size, int) else None for size in value.shape])
    first = feeds_of(model)[0]
    assert (first["x"].shape, first["s"].shape) == ((2, 8), (2, 2, 4))


def test_integers_stay_small_enough_for_tables(build) -> None:
    model = build("g (int64[N] x) => (float[N, 2] y) { y = Gather(k, x) }", k=np.ones((2, 2), np.float32))
    assert max(int(feed["x"].max()) for feed in feeds_of(model)) <= 1


def test_models_that_no_random_input_fits(build) -> None:
    model = build("g (float[N, M] x) => (float[N, 5] y) { y = MatMul(x, k) }", k=np.ones((7, 5), np.float32))
    with pytest.raises(InvalidDataError, match=r"runs on none of the random inputs tried.*--data"):
        feeds_of(model)


def test_models_that_give_nothing_finite(build) -> None:
    model = build("g (float[N, 3] x) => (float[N, 3] y) { y = Mul(x, k) }", k=np.float32(np.nan))
    with pytest.raises(InvalidDataError, match="NaN or infinite throughout"):
        feeds_of(model)


def test_strings_cannot_be_made_up(build) -> None:
    model = build("g (string[N] x) => (string[N] y) { y = Identity(x) }")
    with pytest.raises(InvalidDataError, match="--data"):
        feeds_of(model)


@pytest.mark.parametrize("dtype", ["float16", "double", "int32", "uint8", "bool"])
def test_dtypes(build, dtype: str) -> None:
    model = build(f"g ({dtype}[2, 3] x) => ({dtype}[2, 3] y) {{ y = Identity(x) }}")
    wanted = np.dtype("float64" if dtype == "double" else dtype)
    assert all(feed["x"].dtype == wanted for feed in feeds_of(model))
