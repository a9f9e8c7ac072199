"""Small quantized models for the tests of lint: ONNX text with seeded weights, and what is found in them."""

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.lint import lint_model
from edgebig.records.lint import Finding, LintOptions, LintRecord

U8, S8 = np.uint8, np.int8


def build(text: str, opset: int = 18, ir_version: int = 8, domains: str = "", **arrays: NDArray) -> ir.Model:
    """A model from the text of its graph; `arrays` are its initializers."""
    proto = onnx.parser.parse_model(f'<ir_version: {ir_version}, opset_import: ["": {opset}{domains}]> {text}')
    for name, array in arrays.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    return ir.from_proto(proto)


CONV = """
g (float[N, 4, 6, 6] x) => (float[N, 8, 6, 6] y) {
    xq = QuantizeLinear(x, xs, xz)
    xd = DequantizeLinear(xq, xs, xz)
    wd = DequantizeLinear<axis = AXIS>(w, ws, wz)
    bd = DequantizeLinear<axis = 0>(b, bs, bz)
    c = Conv<pads = [1, 1, 1, 1]>(xd, wd, bd)
    cq = QuantizeLinear(c, ys, yz)
    y = DequantizeLinear(cq, ys, yz)
}
"""


def conv(
    *,
    dtype: type = U8,
    zero_point: int = 0,
    weight_dtype: type = S8,
    per_channel: bool = True,
    limit: int = 60,
    axis: int = 0,
    opset: int = 18,
    text: str = CONV,
    seed: int = 0,
) -> ir.Model:
    """A 3x3 convolution of 4 channels to 8 between pairs, with an int32 bias, as tools write it.

    Args:
        dtype: Of the activations.
        zero_point: Theirs; the result's is the middle of the range.
        weight_dtype: int8, or uint8 with zero point 128.
        per_channel: Whether the weight has a scale per output channel.
        limit: Largest integer of the weight; up to 64 no sum of neighbours leaves 16 bits.
        axis: Of the scales.
        opset: The operator set.
        text: The graph.
        seed: Of the weights.
    """
    rng = np.random.default_rng(seed)
    middle = 0 if weight_dtype is S8 else 128
    weight = (rng.integers(-limit, limit + 1, (8, 4, 3, 3)) + middle).astype(weight_dtype)
    channels = 8 if axis == 0 else 4
    scales = np.full(channels, 0.01, np.float32) if per_channel else np.array(0.01, np.float32)
    x_scale = np.float32(1 / 255)
    return build(
        text.replace("AXIS", str(axis)),
        opset,
        xs=x_scale,
        xz=np.array(zero_point, dtype),
        w=weight,
        ws=scales,
        wz=np.full(scales.shape, middle, weight_dtype),
        b=rng.integers(-2000, 2000, 8).astype(np.int32),
        bs=np.full(8, 0.01, np.float32) * x_scale,
        bz=np.zeros(8, np.int32),
        ys=np.float32(0.05),
        yz=np.array(128 if dtype is U8 else 0, dtype),
    )


def lint(model: ir.Model, target: str, **options: object) -> LintRecord:
    """What is found."""
    return lint_model(model, options=LintOptions(target=target, **options))[1]


def of_rule(record: LintRecord, rule: str) -> list[Finding]:
    """The findings of one rule."""
    return [found for found in record.findings if found.rule == rule]


def rules(record: LintRecord) -> set[str]:
    """The rules that found something."""
    return {found.rule for found in record.findings}


def fixed(model: ir.Model, target: str) -> tuple[ir.Model, LintRecord]:
    """The repaired model and what was done."""
    return lint_model(model, options=LintOptions(target=target, fix=True))


def repaired(record: LintRecord) -> dict[str, int]:
    """Rule -> number of repairs."""
    return {done.rule: done.count for done in record.repairs}


def op_types(model: ir.Model) -> Sequence[str]:
    """Operators of the graph, in order."""
    return [node.op_type for node in model.graph]


def random_image(seed: int = 0) -> dict[str, NDArray]:
    """A feed for `conv`, in 0 .. 1."""
    return {"x": np.random.default_rng(seed).random((2, 4, 6, 6)).astype(np.float32)}
