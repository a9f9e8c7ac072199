"""Graphs at the edge of what ONNX allows: every rule of every target looks at them and has nothing to trip over."""

import numpy as np
import onnx_ir as ir
import pytest

from edgebig.targets import targets
from tests.lint.build import build, fixed, lint

ONE, SMALL = np.float32(1), np.float32(0.1)

TEXTS: dict[str, tuple[str, dict[str, object]]] = {
    "no zero points": (
        "g (float[2, 4] x) => (float[2, 4] y) { q = QuantizeLinear(x, s) y = DequantizeLinear(q, s) }",
        {"s": SMALL},
    ),
    "scale from outside": (
        """g (float[2, 4] x, float s) => (float[2, 3] y) {
            q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) v = DequantizeLinear(w, s) y = MatMul(d, v)
        }""",
        {"z": np.uint8(3), "w": np.ones((4, 3), np.int8)},
    ),
    "weight without elements": (
        """g (float[2, 0] x) => (float[2, 3] y) {
            q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) v = DequantizeLinear(w, s) y = MatMul(d, v)
        }""",
        {"s": SMALL, "z": np.uint8(3), "w": np.ones((0, 3), np.int8)},
    ),
    "scalars": (
        "g (float x) => (float y) { q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) y = Add(d, d) }",
        {"s": SMALL, "z": np.int8(3)},
    ),
    "quantized input and output": (
        """g (uint8[2, 4] x) => (uint8[2, 4] y) {
            d = DequantizeLinear(x, s, z) r = Relu(d) y = QuantizeLinear(r, s, z)
        }""",
        {"s": SMALL, "z": np.uint8(3)},
    ),
    "integers read twice and given out": (
        """g (float[2, 4] x) => (uint8[2, 4] q, float[2, 4] y) {
            q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) r = Relu(d) y = Add(r, d)
        }""",
        {"s": SMALL, "z": np.uint8(128)},
    ),
    "a branch": (
        """g (float[2, 4] x, bool c) => (float[2, 4] y) {
            y = If(c) <
                then_branch = t () => (float[2, 4] a) { q = QuantizeLinear(x, s, z) a = DequantizeLinear(q, s, z) },
                else_branch = e () => (float[2, 4] b) { b = Relu(x) }
            >
        }""",
        {"s": SMALL, "z": np.uint8(3)},
    ),
    "a convolution of three axes": (
        """g (float[1, 2, 5, 5, 5] x) => (float[1, 2, 4, 4, 4] y) {
            q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) v = DequantizeLinear(w, s)
            c = Conv(d, v) r = QuantizeLinear(c, s, z) y = DequantizeLinear(r, s, z)
        }""",
        {"s": SMALL, "z": np.uint8(0), "w": np.full((2, 2, 2, 2, 2), 127, np.int8)},
    ),
    "nothing": ("g (float[2] x) => (float[2] y) { y = Identity(x) }", {}),
}


@pytest.mark.parametrize("target", targets.names())
@pytest.mark.parametrize("name", TEXTS)
def test_every_rule_looks_at_it(name: str, target: str) -> None:
    text, arrays = TEXTS[name]
    model = build(text, **arrays)  # type: ignore[arg-type]
    before = ir.to_proto(model).SerializeToString()
    record = lint(model, target)
    assert all(found.text and found.advice and found.rule in record.sources for found in record.findings)
    assert ir.to_proto(model).SerializeToString() == before


@pytest.mark.parametrize("target", ["ort-cpu-avx2", "tensorrt-11"])
@pytest.mark.parametrize("name", TEXTS)
def test_every_repair_keeps_it_running(name: str, target: str) -> None:
    text, arrays = TEXTS[name]
    if name == "weight without elements":
        pytest.skip("an input without elements cannot be drawn")
    result, record = fixed(build(text, **arrays), target)  # type: ignore[arg-type]
    assert not record.left_out
    assert [value.name for value in result.graph.outputs] == [
        value.name
        for value in build(text, **arrays).graph.outputs  # type: ignore[arg-type]
    ]
    assert not [found for found in record.findings if found.fixable]
