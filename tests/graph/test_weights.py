"""Where weights lie, and their matrix view."""

import numpy as np
import pytest

from edgebig.graph.weights import as_weighted, output_axis, weighted_nodes


@pytest.mark.parametrize(
    ("line", "shape", "axis", "groups", "matrix"),
    [
        ("y = Conv(x, w)", (8, 4, 3, 3), 0, 1, (8, 36)),
        ("y = Conv<group = 2>(x, w)", (8, 2, 3, 3), 0, 2, (8, 18)),
        ("y = Conv<group = 4>(x, w)", (4, 1, 3, 3), 0, 4, (4, 9)),
        ("y = ConvTranspose(x, w)", (4, 6, 3, 3), 1, 1, (6, 36)),
        ("y = ConvTranspose<group = 2>(x, w)", (4, 3, 3, 3), 1, 2, (3, 36)),
    ],
)
def test_convolutions(build, line: str, shape, axis: int, groups: int, matrix) -> None:
    weight = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    model = build(f"g (float[N, 4, H, W] x) => (float[N, C, P, Q] y) {{ {line} }}", w=weight)
    (site,) = weighted_nodes(model.graph)
    assert (site.output_axis, site.groups, site.weight_index) == (axis, groups, 1)
    assert site.is_depthwise == (groups == 4)
    assert site.activation.name == "x"
    assert site.bias is None
    assert site.to_matrix(weight).shape == matrix
    np.testing.assert_array_equal(site.from_matrix(site.to_matrix(weight)), weight)


def test_the_input_channel_runs_fastest(build) -> None:
    weight = np.zeros((8, 4, 3, 3), np.float32)
    weight[5, 2, 1, 0] = 1
    model = build(
        "g (float[N, 4, H, W] x) => (float[N, 8, P, Q] y) { y = Conv(x, w, b) }", w=weight, b=np.zeros(8, np.float32)
    )
    (site,) = weighted_nodes(model.graph)
    row, column = np.argwhere(site.to_matrix(weight))[0]
    assert (row, column) == (5, (1 * 3 + 0) * 4 + 2)
    assert site.bias.name == "b"


@pytest.mark.parametrize(
    ("line", "shape", "index", "axis", "matrix"),
    [
        ("y = Gemm(x, w)", (5, 7), 1, 1, (7, 5)),
        ("y = Gemm<transB = 1>(x, w)", (7, 5), 1, 0, (7, 5)),
        ("y = MatMul(x, w)", (5, 7), 1, 1, (7, 5)),
        ("y = MatMul(w, x)", (7, 5), 0, 0, (7, 5)),
        ("y = MatMul(x, w)", (3, 5, 7), 1, 2, (7, 15)),
    ],
)
def test_matrices(build, rng, line: str, shape, index: int, axis: int, matrix) -> None:
    weight = rng.standard_normal(shape).astype(np.float32)
    model = build(f"g (float[A, B] x) => (float[C, D] y) {{ {line} }}", w=weight)
    (site,) = weighted_nodes(model.graph)
    assert (site.weight_index, site.output_axis) == (index, axis)
    assert site.to_matrix(weight).shape == matrix
    np.testing.assert_array_equal(site.from_matrix(site.to_matrix(weight)), weight)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    "line",
    [
        "y = MatMul(x, x)",
        "y = MatMul(w, v)",  # constant folding's business
        "y = Add(x, w)",
        "y = MatMul(x, i)",  # integers
        "y = MatMul(x, d)",  # a default that a caller may override
        "y = com.microsoft.Gelu(x)",
    ],
)
def test_what_holds_no_weight(build, line: str) -> None:
    arrays = {"w": np.zeros((4, 4), np.float32), "v": np.zeros((4, 4), np.float32), "i": np.zeros((4, 4), np.int32)}
    text = f"g (float[4, 4] x, float[4, 4] d) => (float[4, 4] y) {{ {line} }}"
    model = build(text, domains=', "com.microsoft": 1', d=np.zeros((4, 4), np.float32), **arrays)
    assert as_weighted(model.graph.node(0)) is None


def test_output_axes() -> None:
    assert output_axis("MatMul", 3, index=0, transposed=False) == 1
    assert output_axis("Gemm", 2, index=1, transposed=True) == 0
