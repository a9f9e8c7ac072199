"""Scales and shifts after a layer: every layer and order that is exact, and every refusal."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest

from edgebig.passes.base import PassResult
from edgebig.passes.fold_affine_after import FoldAffineAfter

Ops = Callable[[ir.Model], list[str]]
Apply = Callable[..., PassResult]


def floats(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def batch_norm(rng: np.random.Generator, channels: int, prefix: str = "") -> dict[str, np.ndarray]:
    """Parameters far from the trivial ones, the scale of one channel zero and of one negative."""
    gamma = rng.uniform(0.5, 2.0, channels).astype(np.float32)
    gamma[0], gamma[-1] = 0.0, -1.5
    return {
        f"{prefix}gamma": gamma,
        f"{prefix}beta": floats(rng, channels),
        f"{prefix}mean": floats(rng, channels),
        f"{prefix}var": rng.uniform(0.1, 3.0, channels).astype(np.float32),
    }


BN = "BatchNormalization<epsilon = 0.01>"


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize("bias", [False, True])
def test_batch_norm_into_conv(build, apply: Apply, ops: Ops, rng, dims: int, group: int, bias: bool) -> None:
    size = ", 7" * dims
    text = f"""g (float[2, 4{size}] x) => (float[N, 8{", M" * dims}] y) {{
        c = Conv<group = {group}, pads = [{", ".join(["1"] * 2 * dims)}]>(x, w{", b" if bias else ""})
        y = {BN}(c, gamma, beta, mean, var) }}"""
    arrays = {"w": floats(rng, 8, 4 // group, *[3] * dims), **batch_norm(rng, 8)}
    if bias:
        arrays["b"] = floats(rng, 8)
    model = build(text, **arrays)
    result = apply(FoldAffineAfter(), model, {"x": floats(rng, 2, 4, *[7] * dims)})
    assert ops(model) == ["Conv"]
    assert result.counts == {"BatchNormalization into Conv": 1}
    assert model.graph.outputs[0].name == "y"


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("bias", [False, True])
def test_batch_norm_into_conv_transpose(build, apply: Apply, ops: Ops, rng, group: int, bias: bool) -> None:
    text = f"""g (float[2, 4, 5, 5] x) => (float[N, 6, H, W] y) {{
        c = ConvTranspose<group = {group}, strides = [2, 2]>(x, w{", b" if bias else ""})
        y = {BN}(c, gamma, beta, mean, var) }}"""
    arrays = {"w": floats(rng, 4, 6 // group, 3, 3), **batch_norm(rng, 6)}
    if bias:
        arrays["b"] = floats(rng, 6)
    model = build(text, **arrays)
    apply(FoldAffineAfter(), model, {"x": floats(rng, 2, 4, 5, 5)})
    assert ops(model) == ["ConvTranspose"]


@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize("bias_shape", [None, (6,), (1, 6), (1,), ()])
def test_batch_norm_into_gemm(build, apply: Apply, ops: Ops, rng, trans_b: int, bias_shape) -> None:
    third = "" if bias_shape is None else ", b"
    text = f"""g (float[3, 5] x) => (float[N, 6] y) {{
        c = Gemm<transB = {trans_b}, alpha = 0.5, beta = 3.0>(x, w{third})
        y = {BN}(c, gamma, beta, mean, var) }}"""
    arrays = {"w": floats(rng, *((6, 5) if trans_b else (5, 6))), **batch_norm(rng, 6)}
    if bias_shape is not None:
        arrays["b"] = floats(rng, *bias_shape)
    model = build(text, **arrays)
    apply(FoldAffineAfter(), model, {"x": floats(rng, 3, 5)})
    assert ops(model) == ["Gemm"]


def test_batch_norm_into_matmul_becomes_its_bias(build, apply: Apply, ops: Ops, rng) -> None:
    text = f"g (float[3, 5] x) => (float[3, 6] y) {{ c = MatMul(x, w) y = {BN}(c, gamma, beta, mean, var) }}"
    model = build(text, w=floats(rng, 5, 6), **batch_norm(rng, 6))
    apply(FoldAffineAfter(), model, {"x": floats(rng, 3, 5)})
    assert ops(model) == ["MatMul", "Add"]
    assert model.graph.outputs[0].name == "y"


@pytest.mark.parametrize("bias_shape", [(6,), (1, 6), (1,)])
def test_batch_norm_into_matmul_and_its_add(build, apply: Apply, ops: Ops, rng, bias_shape) -> None:
    text = f"""g (float[3, 5] x) => (float[3, 6] y) {{
        c = MatMul(x, w) a = Add(b, c) y = {BN}(a, gamma, beta, mean, var) }}"""
    model = build(text, w=floats(rng, 5, 6), b=floats(rng, *bias_shape), **batch_norm(rng, 6))
    apply(FoldAffineAfter(), model, {"x": floats(rng, 3, 5)})
    assert ops(model) == ["MatMul", "Add"]


@pytest.mark.parametrize(
    ("line", "shape"),
    [
        ("y = Mul(c, k)", (1, 8, 1, 1)),
        ("y = Mul(k, c)", (8, 1, 1)),
        ("y = Div(c, k)", (1,)),
        ("y = Add(c, k)", (1, 8, 1, 1)),
        ("y = Add(k, c)", ()),
        ("y = Sub(c, k)", (8, 1, 1)),
        ("y = Sub(k, c)", (1, 8, 1, 1)),
    ],
)
def test_constants_per_channel_into_conv(build, apply: Apply, ops: Ops, rng, line: str, shape) -> None:
    text = f"g (float[2, 4, 7, 7] x) => (float[2, 8, H, W] y) {{ c = Conv(x, w, b) {line} }}"
    model = build(text, w=floats(rng, 8, 4, 3, 3), b=floats(rng, 8), k=floats(rng, *shape) + 3)
    result = apply(FoldAffineAfter(), model, {"x": floats(rng, 2, 4, 7, 7)})
    assert ops(model) == ["Conv"]
    assert sum(result.counts.values()) == 1


def test_a_chain_ends_in_one_conv(build, apply: Apply, ops: Ops, rng) -> None:
    text = f"""g (float[2, 4, 7, 7] x) => (float[2, 8, H, W] y) {{
        c = Conv(x, w) s = Mul(c, k) t = Add(s, d) u = {BN}(t, gamma, beta, mean, var) y = Relu(u) }}"""
    arrays = {"w": floats(rng, 8, 4, 3, 3), "k": floats(rng, 8, 1, 1), "d": floats(rng, 8, 1, 1), **batch_norm(rng, 8)}
    model = build(text, **arrays)
    result = apply(FoldAffineAfter(), model, {"x": floats(rng, 2, 4, 7, 7)})
    assert ops(model) == ["Conv", "Relu"]
    assert sum(result.counts.values()) == 3


def test_scale_into_matmul_of_any_rank(build, apply: Apply, ops: Ops, rng) -> None:
    text = "g (float[B, T, 5] x) => (float[B, T, 6] y) { c = MatMul(x, w) a = Add(c, b) y = Mul(a, k) }"
    model = build(text, w=floats(rng, 5, 6), b=floats(rng, 6), k=floats(rng, 6))
    apply(FoldAffineAfter(), model, {"x": floats(rng, 2, 3, 5)})
    assert ops(model) == ["MatMul", "Add"]


def test_float16_weights_with_float32_statistics_stay_float16(build, apply: Apply, ops: Ops, rng) -> None:
    text = f"""g (float16[2, 4, 7, 7] x) => (float16[2, 8, H, W] y) {{
        c = Conv(x, w) y = {BN}(c, gamma, beta, mean, var) }}"""
    arrays = batch_norm(rng, 8)
    arrays |= {name: arrays[name].astype(np.float16) for name in ("gamma", "beta")}
    model = build(text, w=floats(rng, 8, 4, 3, 3).astype(np.float16), **arrays)
    apply(FoldAffineAfter(), model, {"x": floats(rng, 2, 4, 7, 7).astype(np.float16)}, tolerance=4e-3)
    assert ops(model) == ["Conv"]
    assert {value.dtype for value in model.graph.initializers.values() if value.uses()} == {ir.DataType.FLOAT16}


def test_a_small_variance_in_float16_keeps_its_digits(build, rng) -> None:
    """1e-7 + 1e-5 in float16 is off by percents; the fold computes in float64 and rounds once."""
    text = (
        "g (float16[1, 1, 2, 2] x) => (float16[1, 1, 2, 2] y) { c = Conv(x, w) y = BatchNormalization(c, g, b, m, v) }"
    )
    one = np.ones(1, np.float16)
    model = build(text, w=np.ones((1, 1, 1, 1), np.float16), g=one, b=0 * one, m=0 * one, v=np.float16(1e-7) * one)
    FoldAffineAfter().call(model)
    weight = model.graph.initializers["w"].const_value.numpy().item()
    expected = 1 / np.sqrt(float(np.float16(1e-7)) + float(np.float32(1e-5)))
    assert abs(weight / expected - 1) < 2**-11


def test_a_shared_bias_gets_a_copy(build, apply: Apply, ops: Ops, rng) -> None:
    text = f"""g (float[2, 4, 7, 7] x) => (float[2, 8, H, W] y, float[2, 8, H, W] z) {{
        c = Conv(x, w, b) y = {BN}(c, gamma, beta, mean, var) z = Conv(x, v, b) }}"""
    arrays = {"w": floats(rng, 8, 4, 3, 3), "v": floats(rng, 8, 4, 3, 3), "b": floats(rng, 8), **batch_norm(rng, 8)}
    model = build(text, **arrays)
    apply(FoldAffineAfter(), model, {"x": floats(rng, 2, 4, 7, 7)})
    assert ops(model) == ["Conv", "Conv"]
    np.testing.assert_array_equal(model.graph.initializers["b"].const_value.numpy(), arrays["b"])


def test_inside_a_branch_with_weights_from_outside(build, apply: Apply, rng) -> None:
    text = f"""g (float[2, 4, 5, 5] x, bool q) => (float[N, 8, H, W] y) {{
        y = If(q) <
            then_branch = t () => (float[N, 8, H, W] p) {{ c = Conv(x, w) p = {BN}(c, gamma, beta, mean, var) }},
            else_branch = e () => (float[N, 8, H, W] r) {{ r = Conv(x, v) }}
        > }}"""
    model = build(text, w=floats(rng, 8, 4, 3, 3), v=floats(rng, 8, 4, 3, 3), **batch_norm(rng, 8))
    x = floats(rng, 2, 4, 5, 5)
    for choice in (True, False):
        apply(FoldAffineAfter(), model.clone(), {"x": x, "q": np.array(choice)})
    result = FoldAffineAfter().call(model)
    assert result.counts == {"BatchNormalization into Conv": 1}
    assert sorted(node.op_type for node in model.graph.all_nodes()) == ["Conv", "Conv", "If"]


REFUSED = {
    "several readers": (
        "g (float[1, 4, 5, 5] x) => (float[1, 8, H, W] y, float[1, 8, H, W] z)",
        f"c = Conv(x, w) y = {BN}(c, gamma, beta, mean, var) z = Relu(c)",
        "used elsewhere too",
    ),
    "output of the model": (
        "g (float[1, 4, 5, 5] x) => (float[1, 8, H, W] y, float[1, 8, H, W] c)",
        f"c = Conv(x, w) y = {BN}(c, gamma, beta, mean, var)",
        "used elsewhere too",
    ),
    "shared weights": (
        "g (float[1, 4, 5, 5] x) => (float[1, 8, H, W] y, float[1, 8, H, W] z)",
        f"c = Conv(x, w) y = {BN}(c, gamma, beta, mean, var) z = Conv(x, w)",
        "serve several nodes",
    ),
    "an activation between": (
        "g (float[1, 4, 5, 5] x) => (float[1, 8, H, W] y)",
        f"c = Conv(x, w) r = Relu(c) y = {BN}(r, gamma, beta, mean, var)",
        "come from Relu",
    ),
    "computed weights": (
        "g (float[1, 4, 5, 5] x, float[8, 4, 3, 3] k) => (float[1, 8, H, W] y)",
        f"c = Conv(x, k) y = {BN}(c, gamma, beta, mean, var)",
        "not from a layer with constant weights",
    ),
    "computed bias": (
        "g (float[1, 4, 5, 5] x, float[8] k) => (float[1, 8, H, W] y)",
        f"c = Conv(x, w, k) y = {BN}(c, gamma, beta, mean, var)",
        "is not constant",
    ),
    "computed parameters": (
        "g (float[1, 4, 5, 5] x, float[8] k) => (float[1, 8, H, W] y)",
        f"c = Conv(x, w) y = {BN}(c, gamma, beta, k, var)",
        "parameters are not constant",
    ),
    "the input itself": (
        "g (float[1, 8, 5, 5] x) => (float[1, 8, 5, 5] y)",
        f"y = {BN}(x, gamma, beta, mean, var)",
        "come from no node",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_say_why_and_change_nothing(build, apply: Apply, ops: Ops, rng, case: str) -> None:
    head, body, reason = REFUSED[case]
    model = build(f"{head} {{ {body} }}", w=floats(rng, 8, 4, 3, 3), **batch_norm(rng, 8))
    before = ops(model)
    shapes = {
        value.name: [int(size) for size in value.shape] for value in model.graph.inputs if not value.is_initializer()
    }
    result = apply(FoldAffineAfter(), model, {name: floats(rng, *shape) for name, shape in shapes.items()})
    assert not result.modified
    assert ops(model) == before
    assert [skipped for skipped in result.skipped if reason in skipped.reason], result.skipped


def test_weights_that_a_caller_may_override_stay(build, rng) -> None:
    text = f"""g (float[1, 4, 5, 5] x, float[8, 4, 3, 3] w) => (float[1, 8, H, W] y) {{
        c = Conv(x, w) y = {BN}(c, gamma, beta, mean, var) }}"""
    model = build(text, w=floats(rng, 8, 4, 3, 3), **batch_norm(rng, 8))
    assert model.graph.inputs[1].is_initializer()
    result = FoldAffineAfter().call(model)
    assert not result.modified
    assert "constant weights" in result.skipped[0].reason


def test_training_mode_is_refused(build, rng) -> None:
    text = """g (float[1, 4, 5, 5] x) => (float[1, 8, H, W] y) {
        c = Conv(x, w) y, m2, v2 = BatchNormalization<training_mode = 1>(c, gamma, beta, mean, var) }"""
    model = build(text, w=floats(rng, 8, 4, 3, 3), **batch_norm(rng, 8))
    result = FoldAffineAfter().call(model)
    assert not result.modified
    assert "training mode" in result.skipped[0].reason


def test_a_negative_variance_is_refused(build, rng) -> None:
    arrays = batch_norm(rng, 8)
    arrays["var"][3] = -1.0
    text = f"g (float[1, 4, 5, 5] x) => (float[1, 8, H, W] y) {{ c = Conv(x, w) y = {BN}(c, gamma, beta, mean, var) }}"
    result = FoldAffineAfter().call(build(text, w=floats(rng, 8, 4, 3, 3), **arrays))
    assert not result.modified
    assert "not positive" in result.skipped[0].reason


def test_overflow_of_float16_is_refused(build, rng) -> None:
    half = {name: array.astype(np.float16) for name, array in batch_norm(rng, 8).items()}
    half["gamma"][:] = 60000
    text = f"""g (float16[1, 4, 5, 5] x) => (float16[1, 8, H, W] y) {{
        c = Conv(x, w) y = {BN}(c, gamma, beta, mean, var) }}"""
    result = FoldAffineAfter().call(build(text, w=10 * np.ones((8, 4, 3, 3), np.float16), **half))
    assert not result.modified
    assert "overflow float16" in result.skipped[0].reason


@pytest.mark.parametrize(
    ("line", "shape"),
    [
        ("y = Mul(c, k)", (1, 1, 5, 1)),  # varies along the height
        ("y = Mul(c, k)", (2, 1, 1, 1)),  # varies along the batch
        ("y = Mul(c, k)", (1, 1, 8, 1, 1)),  # adds an axis
        ("y = Div(k, c)", (8, 1, 1)),  # not affine
        ("y = Div(c, k)", (8, 1, 1)),  # by zero, below
    ],
)
def test_other_constants_stay(build, ops: Ops, rng, line: str, shape) -> None:
    text = f"g (float[2, 4, 7, 7] x) => (float y) {{ c = Conv(x, w) {line} }}"
    constant = np.zeros(shape, np.float32) if line.startswith("y = Div(c") else floats(rng, *shape)
    model = build(
        text.replace("float y", "float[A, B, C, D] y" if len(shape) < 5 else "float[A, B, C, D, E] y"),
        w=floats(rng, 8, 4, 3, 3),
        k=constant,
    )
    assert not FoldAffineAfter().call(model).modified
    assert len(ops(model)) == 2


def test_a_constant_that_widens_one_channel_stays(build, apply: Apply, ops: Ops, rng) -> None:
    text = "g (float[2, 4, 7, 7] x) => (float[2, 8, H, W] y) { c = Conv(x, w) y = Mul(c, k) }"
    model = build(text, w=floats(rng, 1, 4, 3, 3), k=floats(rng, 1, 8, 1, 1))
    assert not apply(FoldAffineAfter(), model, {"x": floats(rng, 2, 4, 7, 7)}).modified


def test_matmul_keeps_its_one_bias(build, ops: Ops, rng) -> None:
    model = build(
        "g (float[3, 5] x) => (float[3, 6] y) { c = MatMul(x, w) y = Add(c, b) }", w=floats(rng, 5, 6), b=floats(rng, 6)
    )
    assert not FoldAffineAfter().call(model).modified
    assert ops(model) == ["MatMul", "Add"]


def test_batch_norm_of_sequences_stays(build, ops: Ops, rng) -> None:
    """On [N, T, C] its channels are axis 1, those of the weights axis 2."""
    text = f"g (float[2, 6, 5] x) => (float[2, 6, 6] y) {{ c = MatMul(x, w) y = {BN}(c, gamma, beta, mean, var) }}"
    model = build(text, w=floats(rng, 5, 6), **batch_norm(rng, 6))
    result = FoldAffineAfter().call(model)
    assert not result.modified
    assert "not the channels of the weights" in result.skipped[0].reason
