"""MatMulNBits against its definition by loops, against onnxruntime's operator, and against itself by other dots."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgebig.kernels import dots
from edgebig.kernels.errors import KernelError
from edgebig.kernels.nbits import MatMulNBits
from tests.kernels.memory import run_step
from tests.naive import nbits as naive

# Relative to the sum of magnitudes |x| |w|: a few roundings of float32.
TOLERANCE = 1e-6
PLAIN = "emulated_neon_usdot"


def tensors(step: MatMulNBits, seed: int = 0, *, whole: bool = False) -> dict[str, NDArray[Any]]:
    """Random operands of a step; `whole`: all numbers are whole, so that float32 holds every sum exactly."""
    rng = np.random.default_rng(seed)
    blob = step.block_size * step.bits // 8
    shape = (step.columns, step.blocks)
    x = rng.normal(size=(step.rows, step.inner)).astype(np.float32)
    if whole:
        x = rng.integers(-127, 128, x.shape).astype(np.float32)
        x[:, :: step.block_size] = 127  # every block's scale is then 1
    given_ = {
        "x": x,
        "weights": rng.integers(0, 256, (*shape, blob), dtype=np.uint8),
        "scales": np.ones(shape, np.float32) if whole else rng.uniform(0.001, 0.1, shape).astype(np.float32),
        "bias": rng.integers(-9, 9, step.columns).astype(np.float32),
    }
    if step.has_zero_points:
        given_["zero_points"] = rng.integers(0, 256, (step.columns, -(-step.blocks * step.bits // 8)), dtype=np.uint8)
    return given_


def run(step: MatMulNBits, given_: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    """What the step makes of the tensors; all memory is guarded, and x and the constants stay as they are."""
    constants = step.constants(given_["weights"], given_["scales"], given_.get("zero_points"), given_.get("bias"))
    y = np.full((step.rows, step.columns), np.nan, np.float32)
    before = (given_["x"], constants["weights"], constants["bias"])
    *after, y = run_step(step, *before, y)
    for left, right in zip(before, after, strict=True):
        np.testing.assert_array_equal(left, right)
    return y


def expected(step: MatMulNBits, given_: dict[str, NDArray[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The true result and the sum of magnitudes behind it."""
    whole = naive.whole_weights(given_["weights"], given_.get("zero_points"), step.bits, step.inner)
    matmul = naive.matmul_float if step.accuracy == "float" else naive.matmul_int8
    sizes = naive.matmul_float(
        np.abs(given_["x"]), np.abs(whole) + 2 ** (step.bits - 1), given_["scales"], np.float32(9)
    )
    return matmul(given_["x"], whole, given_["scales"], given_["bias"]), sizes


def check(step: MatMulNBits, seed: int = 0) -> None:
    given_ = tensors(step, seed)
    true, sizes = expected(step, given_)
    assert (np.abs(run(step, given_) - true) / sizes).max() < TOLERANCE


@settings(max_examples=6, deadline=None)
@given(
    st.integers(1, 9), st.integers(1, 200), st.integers(1, 70), st.sampled_from([4, 8]), st.sampled_from([16, 32, 64]),
    st.booleans(), st.integers(1, 3), st.integers(0, 99),
)  # fmt: skip
def test_float_activations(
    rows: int, inner: int, columns: int, bits: int, size: int, points: bool, tasks: int, seed: int
) -> None:
    check(MatMulNBits(rows, inner, columns, bits, size, points, "float", tasks=tasks), seed)


@settings(max_examples=6, deadline=None)
@given(
    st.integers(1, 9), st.integers(1, 200), st.integers(1, 70), st.sampled_from([4, 8]), st.sampled_from([16, 32, 64]),
    st.booleans(), st.integers(1, 3), st.integers(0, 99),
)  # fmt: skip
def test_int8_activations(
    rows: int, inner: int, columns: int, bits: int, size: int, points: bool, tasks: int, seed: int
) -> None:
    check(MatMulNBits(rows, inner, columns, bits, size, points, "int8", tasks=tasks), seed)


@pytest.mark.parametrize(
    ("dot", "size", "points"),
    [("", 32, False), ("", 128, False), ("", 32, True), ("", 128, True), (PLAIN, 32, True)]
    + [(dot, 16, points) for dot in ("emulated_vnni512", "emulated_neon_sdot") for points in (False, True)],
)
@pytest.mark.parametrize("bits", [4, 8])
def test_integer_sums_are_exact(dot: str, size: int, bits: int, points: bool) -> None:
    step = MatMulNBits(3, 2 * size + 30, 40, bits, size, points, "int8", dot)
    given_ = tensors(step, whole=True)
    np.testing.assert_array_equal(run(step, given_), expected(step, given_)[0])


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize(("size", "point"), [(64, None), (128, None), (64, 0), (128, 255)])
def test_no_sum_overflows(size: int, point: int | None, bits: int) -> None:
    """All weights and activations at either end: the largest sums there are."""
    step = MatMulNBits(2, 2 * size, 4, bits, size, point is not None)
    given_ = tensors(step, whole=True)
    given_["x"][...] = np.array([127, -127])[:, None]
    given_["weights"][...] = np.array([0, 255, 0, 255])[:, None, None]
    if point is not None:
        given_["zero_points"][...] = point
    np.testing.assert_array_equal(run(step, given_), expected(step, given_)[0])


def test_activations_that_alternate_meet_weights_that_alternate() -> None:
    """Each 16-bit lane of pairs at its largest while the block's sum is not."""
    step = MatMulNBits(1, 128, 2, 4, 64, False)
    given_ = tensors(step, whole=True)
    given_["x"][...] = np.tile([127, 127, -127, -127], 32)
    given_["weights"][...] = np.tile(np.array([0x00, 0xFF], np.uint8), 16)
    np.testing.assert_array_equal(run(step, given_), expected(step, given_)[0])


@pytest.mark.parametrize("accuracy", ["float", "int8"])
def test_more_rows_than_fit_on_the_stack(accuracy: str) -> None:
    inner = 12_000 if accuracy == "float" else 40_000
    check(MatMulNBits(6, inner, 5, 4, 16, True, accuracy))


@pytest.mark.parametrize("accuracy", ["float", "int8"])
def test_tasks_do_not_change_the_result(accuracy: str) -> None:
    results = []
    for tasks in (1, 2, 5):
        step = MatMulNBits(3, 48, 150, 4, 16, False, accuracy, tasks=tasks)
        results.append(run(step, tensors(step)))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_blocks_of_zeros_and_of_tiny_numbers() -> None:
    step = MatMulNBits(2, 64, 8, 4, 32, False)
    given_ = tensors(step)
    given_["x"][0], given_["x"][1, :32] = 0, 1e-31
    y = run(step, given_)
    np.testing.assert_array_equal(y[0], given_["bias"])
    np.testing.assert_allclose(y[1], expected(step, given_)[0][1], rtol=1e-5)


def test_half_precision_scales_and_flat_tensors() -> None:
    step = MatMulNBits(2, 96, 8, 4, 32, True, "float")
    given_ = tensors(step)
    given_["scales"] = given_["scales"].astype(np.float16)
    y = run(step, given_)
    given_["scales"] = given_["scales"].astype(np.float32)
    np.testing.assert_array_equal(
        y, run(step, given_ | {name: given_[name].ravel() for name in ("scales", "zero_points")})
    )


def test_the_expression_of_a_step_makes_it_again() -> None:
    step = MatMulNBits(2, 96, 8, 4, 32, True, "float")
    assert eval(repr(step)) == step
    assert step.dot


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"bits": 3}, "bits are 4 or 8"),
        ({"block_size": 48}, "blocks"),
        ({"accuracy": "half"}, "accuracy"),
        ({"rows": 0}, "at least 1"),
        ({"dot": "fma256"}, "does not serve"),
        ({"dot": "madd256"}, "does not serve"),
        ({"dot": "none"}, "no dot product"),
        ({"inner": 10**6}, "at most"),
    ],
)
def test_what_it_refuses(changed: dict[str, Any], said: str) -> None:
    fields: dict[str, Any] = {
        "rows": 1,
        "inner": 64,
        "columns": 8,
        "bits": 4,
        "block_size": 32,
        "has_zero_points": False,
    }
    with pytest.raises(KernelError, match=said):
        MatMulNBits(**fields | changed)


@pytest.mark.skipif(dots.runs(dots.get("neon_sdot")), reason="this processor has it")
def test_instructions_the_processor_lacks_are_refused_before_they_end_the_process() -> None:
    with pytest.raises(KernelError, match="this processor has no neon_sdot"):
        MatMulNBits(1, 64, 8, 4, 32, False, dot="neon_sdot").build()


def test_tensors_it_refuses() -> None:
    step = MatMulNBits(1, 64, 8, 4, 32, True)
    given_ = tensors(step)
    good = [given_["weights"], given_["scales"], given_["zero_points"], given_["bias"]]
    bad = [given_["weights"][1:], given_["scales"].astype(int), given_["zero_points"].astype(np.float32), given_["x"]]
    for index, tensor in enumerate(bad):
        with pytest.raises(KernelError, match="are needed"):
            step.constants(*good[:index], tensor, *good[index + 1 :])
    with pytest.raises(KernelError, match="not given"):
        step.constants(given_["weights"], given_["scales"])


def onnxruntime_result(step: MatMulNBits, given_: dict[str, NDArray[Any]], level: int) -> NDArray[np.float32]:
    """What onnxruntime's operator makes of the same tensors."""
    names = ["weights", "scales", "zero_points", "", "bias"]
    constants = [onnx.numpy_helper.from_array(given_[name], name) for name in names if name in given_]
    node = onnx.helper.make_node(
        "MatMulNBits", ["x", *(name if name in given_ else "" for name in names)], ["y"], domain="com.microsoft",
        K=step.inner, N=step.columns, bits=step.bits, block_size=step.block_size, accuracy_level=level,
    )  # fmt: skip
    kinds = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [step.rows, width])
        for name, width in (("x", step.inner), ("y", step.columns))
    ]
    graph = onnx.helper.make_graph([node], "one", kinds[:1], kinds[1:], constants)
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("com.microsoft", 1)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": given_["x"]})[0]


@pytest.mark.parametrize("accuracy", ["float", "int8"])
@pytest.mark.parametrize(
    ("rows", "inner", "columns", "bits", "size", "points"),
    [
        (1, 384, 1536, 4, 32, False),
        (3, 1536, 384, 4, 64, True),
        (2, 200, 30, 8, 32, True),
        (1, 576, 192, 8, 128, False),
    ],
)
def test_like_onnxruntime(
    accuracy: str, rows: int, inner: int, columns: int, bits: int, size: int, points: bool
) -> None:
    step = MatMulNBits(rows, inner, columns, bits, size, points, accuracy)
    given_ = tensors(step)
    theirs = onnxruntime_result(step, given_, 4 if accuracy == "int8" else 0)
    true, sizes = expected(step, given_)
    assert (np.abs(run(step, given_) - theirs) / sizes).max() < 2 * TOLERANCE
    assert (np.abs(theirs - true) / sizes).max() < 2 * TOLERANCE
