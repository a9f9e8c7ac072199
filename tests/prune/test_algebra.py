"""Blocks, rows, moments and least squares against naive oracles."""

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.graph.unfold import choose_positions, source_rows, target_rows
from edgebig.graph.weights import as_weighted
from edgebig.prune.least_squares import error, fit, ridge_of
from edgebig.prune.moments import Moments
from edgebig.prune.patterns import patterns
from tests.naive import prune as naive


@given(outputs=st.integers(1, 40), inputs=st.integers(1, 20), seed=st.integers(0, 99))
@pytest.mark.parametrize("name", ["block16x4", "unstructured"])
def test_masks_of_blocks(name: str, outputs: int, inputs: int, seed: int) -> None:
    pattern = patterns.get(name)
    shape = (pattern.bands(outputs), pattern.blocks(inputs))
    kept = np.random.default_rng(seed).random(shape) < 0.5
    mask = pattern.expand(kept, outputs, inputs)
    assert (mask == naive.block_mask(kept, pattern.rows, pattern.columns, outputs, inputs)).all()
    assert pattern.sizes(outputs, inputs)[kept].sum() == mask.sum()


@settings(max_examples=40, deadline=None)
@given(
    groups=st.integers(1, 3),
    per=st.integers(1, 3),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 2),
    pad=st.integers(0, 2),
    dilation=st.integers(1, 2),
    seed=st.integers(0, 99),
)
def test_rows_of_a_convolution(
    groups: int, per: int, kernel: tuple[int, int], stride: int, pad: int, dilation: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, groups * per, 6, 7)).astype(np.float32)
    weight = ir.Value(name="w", const_value=ir.tensor(rng.normal(size=(2 * groups, per, *kernel)).astype(np.float32)))
    attributes = {"strides": [stride] * 2, "pads": [pad] * 4, "dilations": [dilation] * 2, "group": groups}
    node = ir.node("Conv", [ir.Value(name="x"), weight], attributes)
    layer = as_weighted(node)
    assert layer is not None
    oracle = naive.conv_rows(x, kernel, stride, pad, dilation, groups)
    sizes = [(s + 2 * pad - dilation * (k - 1) - 1) // stride + 1 for s, k in zip((6, 7), kernel, strict=True)]
    shape = (2, 2 * groups, *sizes)
    chosen = choose_positions(layer, shape, limit=10**6, rng=rng)
    assert (source_rows(layer, x, shape, chosen) == oracle).all()
    matrix = layer.to_matrix(layer.array()).reshape(groups, 2, -1)
    y = np.einsum("gnk,gok->gno", oracle.astype(np.float64), matrix)
    image = y.reshape(groups, 2, *sizes, 2).transpose(1, 0, 4, 2, 3).reshape(2, 2 * groups, *sizes)
    np.testing.assert_allclose(target_rows(layer, image.astype(np.float32), chosen), y, rtol=1e-5, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(inputs=st.integers(1, 12), outputs=st.integers(1, 6), density=st.floats(0, 1), seed=st.integers(0, 99))
def test_least_squares_on_a_support(inputs: int, outputs: int, density: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, inputs)) @ rng.normal(size=(inputs, inputs))
    weights = rng.normal(size=(outputs, inputs))
    t = x @ weights.T + 0.1 * rng.normal(size=(60, outputs))
    mask = rng.random((outputs, inputs)) < density
    moments = Moments(centred=False)
    for start in range(0, 60, 25):
        moments.add(x[None, start : start + 25], t[None, start : start + 25], fold=start % 2)
    problem = moments.problem()
    fitted = fit(problem, weights, mask, 1e-2)
    oracle = naive.ridge_fit(x, t, weights, mask, ridge_of(problem.inner[0], 1e-2))
    np.testing.assert_allclose(fitted, oracle, rtol=1e-5, atol=1e-6)
    assert (fitted[~mask] == 0).all()
    np.testing.assert_allclose(error(problem, fitted), np.square(t - x @ fitted.T).mean(0).sum(), rtol=1e-6, atol=1e-9)
    assert error(problem, fitted) <= error(problem, weights * mask) * (1 + 1e-9) + 1e-12


def test_a_bias_takes_up_the_means() -> None:
    rng = np.random.default_rng(3)
    x, weights = rng.normal(5.0, 1.0, size=(400, 4)), rng.normal(size=(3, 4))
    t = x @ weights.T + np.array([1.0, -2.0, 30.0])
    moments = Moments(centred=True)
    moments.add(x[None, :150], t[None, :150], fold=0)
    moments.add(x[None, 150:], t[None, 150:], fold=1)
    half = weights * (np.arange(4) < 2)
    np.testing.assert_allclose((x @ half.T + moments.bias(half)).mean(0), t.mean(0), rtol=1e-9)
    np.testing.assert_allclose(moments.bias(weights), [1.0, -2.0, 30.0], rtol=1e-6)
