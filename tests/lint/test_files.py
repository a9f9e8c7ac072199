"""Rules on the file as a whole: forms, versions, shapes, precision, operators, how tensors are stored."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgebig.errors import UsageError
from edgebig.records.lint import Severity
from tests.lint.build import build, fixed, lint, of_rule, op_types, repaired, rules

QOPERATOR = """g (uint8[1, 4, 6, 6] x) => (uint8[1, 2, 4, 4] y) {
    y = QLinearConv(x, s, z, w, s, v, s, z)
}"""
DYNAMIC = """g (float[1, 4, 6, 6] x) => (int32[1, 2, 4, 4] y) {
    q, s, z = DynamicQuantizeLinear(x)
    y = ConvInteger(q, w, z)
}"""
NBITS = """g (float[2, 32] x) => (float[2, 4] y) {
    y = com.microsoft.MatMulNBits<K = 32, N = 4, bits = 4, block_size = 32>(x, w, s)
}"""


def qoperator() -> ir.Model:
    weight = np.random.default_rng(0).integers(-64, 65, (2, 4, 3, 3)).astype(np.int8)
    return build(QOPERATOR, s=np.float32(0.1), z=np.uint8(3), w=weight, v=np.int8(0))


def dynamic() -> ir.Model:
    return build(DYNAMIC, w=np.random.default_rng(0).integers(-64, 65, (2, 4, 3, 3)).astype(np.int8))


def nbits() -> ir.Model:
    domains = ', "com.microsoft": 1'
    return build(NBITS, domains=domains, w=np.zeros((4, 1, 16), np.uint8), s=np.ones(4, np.float32))


@pytest.mark.parametrize(
    ("model", "target", "severity", "words"),
    [
        (qoperator, "tensorrt-10", Severity.REFUSED, "QOperator form (QLinearConv), which tensorrt-10 does not have"),
        (qoperator, "qnn", Severity.SLOWER, "it runs on the CPU"),
        (qoperator, "ort-cpu-vnni", None, ""),
        (qoperator, "openvino", None, ""),
        (dynamic, "tensorrt-11", Severity.REFUSED, "dynamic form (DynamicQuantizeLinear)"),
        (dynamic, "ort-cuda", Severity.SLOWER, "it runs on the CPU"),
        (nbits, "tensorrt-11", Severity.REFUSED, "MatMulNBits form (MatMulNBits)"),
        (nbits, "qnn", Severity.SLOWER, "it runs on the CPU"),
        (nbits, "ort-cuda", None, ""),
        (nbits, "ort-cpu-vnni", None, ""),
    ],
)
def test_forms_that_a_target_lacks(model, target: str, severity: Severity | None, words: str) -> None:
    findings = of_rule(lint(model(), target), "operator-form")
    assert bool(findings) == (severity is not None)
    assert all(found.severity is severity for found in findings)
    assert not findings or words in findings[0].text


def test_dynamic_convolutions_are_slow_on_cpus() -> None:
    (found,) = of_rule(lint(dynamic(), "ort-cpu-vnni"), "dynamic-convolution")
    assert "a tenth of the speed" in found.text
    assert not of_rule(lint(dynamic(), "tensorrt-11"), "dynamic-convolution")


RELU = "g (float[2, 3] x) => (float[2, 3] y) { y = Relu(x) }"


def test_versions_are_held_against_the_runtime_asked_for() -> None:
    model = build(RELU, opset=21, ir_version=11)
    assert not lint(model, "ort-cpu-vnni").findings
    record = lint(model, "ort-cpu-vnni", runtime_version="1.17.1")
    assert record.runtime_version == "1.17"
    texts = [found.text for found in of_rule(record, "version-too-new")]
    assert texts == [
        "the file is of opset 21, and onnxruntime 1.17 reads up to 20",
        "the file is of IR version 11, and onnxruntime 1.17 reads up to 9",
    ]
    assert not any(found.fixable for found in record.findings)  # opset 21 needs IR version 10


def test_an_ir_version_that_the_opset_does_not_need_is_lowered() -> None:
    model = build(RELU, opset=18, ir_version=14)
    assert {"version-too-new", "does-not-load"} <= rules(lint(model, "ort-cpu-vnni"))
    result, record = fixed(model, "ort-cpu-vnni")
    assert not record.findings
    assert result.ir_version == 8 and model.ir_version == 14


def test_an_unknown_version_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"older than 1\.14, the oldest version known here"):
        lint(build(RELU), "ort-cpu", runtime_version="1.2")
    with pytest.raises(UsageError, match="'new' is no version"):
        lint(build(RELU), "ort-cpu", runtime_version="new")


def test_sixteen_bits_need_opset_21() -> None:
    text = """g (float[2, 3] x) => (float[2, 3] y) {
        q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z)
    }"""
    model = build(text, opset=19, s=np.float32(0.1), z=np.uint16(9))
    (found,) = of_rule(lint(model, "qnn"), "opset-too-old")
    assert "since opset 21" in found.text and found.severity is Severity.REFUSED
    newer = build(text, opset=21, ir_version=10, s=np.float32(0.1), z=np.uint16(9))
    assert not of_rule(lint(newer, "qnn"), "opset-too-old")
    (wide,) = of_rule(lint(newer, "ort-cpu-vnni"), "integer-dtype")
    assert wide.severity is Severity.NOT_FUSED
    assert not of_rule(lint(newer, "qnn"), "integer-dtype")


def test_dynamic_axes_concern_those_who_compile() -> None:
    text = "g (float[N, 3] x) => (float[N, 3] y) { y = Relu(x) }"
    assert of_rule(lint(build(text), "tensorrt-11"), "shapes")[0].detail == "x [N, 3]"
    assert of_rule(lint(build(text), "qnn"), "shapes")[0].severity is Severity.SLOWER
    assert not of_rule(lint(build(text), "ort-cpu-vnni"), "shapes")
    assert not of_rule(lint(build(RELU), "tensorrt-11"), "shapes")


def test_float32_stays_float32_where_typing_is_strong() -> None:
    assert of_rule(lint(build(RELU), "tensorrt-11"), "precision")
    assert not of_rule(lint(build(RELU), "tensorrt-10"), "precision")
    half = "g (float16[2, 3] x) => (float16[2, 3] y) { y = Relu(x) }"
    assert not of_rule(lint(build(half), "tensorrt-11"), "precision")


def test_operators_that_a_target_lacks() -> None:
    text = "g (float[2, 3] x) => (float[2, 3] y, float[?] u) { y = Erf(x) u = Unique(x) }"
    assert [found.op_type for found in of_rule(lint(build(text), "tensorrt-11"), "unsupported-operator")] == ["Unique"]
    findings = of_rule(lint(build(text), "qnn"), "unsupported-operator")
    assert [(found.op_type, found.severity) for found in findings] == [
        ("Erf", Severity.SLOWER),
        ("Unique", Severity.SLOWER),
    ]
    assert not of_rule(lint(build(text), "ort-cpu-vnni"), "unsupported-operator")


def test_casts_back_and_forth() -> None:
    text = """g (TYPE[2, 3] x) => (TYPE[2, 3] y) { a = Cast<to = MIDDLE>(x) b = Cast<to = OUTER>(a) y = Relu(b) }"""
    exact = build(text.replace("TYPE", "float16").replace("MIDDLE", "1").replace("OUTER", "10"))
    result, record = fixed(exact, "ort-cpu-vnni")
    assert repaired(record) == {"cast-pair": 1}
    assert op_types(result) == ["Relu"]
    lossy = build(text.replace("TYPE", "float").replace("MIDDLE", "10").replace("OUTER", "1"))
    (found,) = of_rule(lint(lossy, "ort-cpu-vnni"), "cast-pair")
    assert found.severity is Severity.LOSES_ACCURACY and not found.fixable
    assert "cast to float16 and back" in found.text


def test_tensors_stored_badly_are_stored_well() -> None:
    text = """g (float[2, 40] x) => (float[2, 40] y) {
        a = DequantizeLinear(w, s) b = DequantizeLinear(v, s) c = MatMul(x, a) y = MatMul(c, b)
    }"""
    integers = np.random.default_rng(0).integers(-127, 0, (40, 40)).astype(np.int8)
    model = build(text, w=integers, v=integers, s=np.float32(0.01), float_w=np.ones((40, 40), np.float32))
    proto = onnx.helper.make_tensor("w", onnx.TensorProto.INT8, (40, 40), integers.reshape(-1).tolist())
    model.graph.initializers["w"].const_value = ir.from_proto(proto)
    record = lint(model, "ort-cuda")
    assert {"unused-initializer", "duplicate-initializer", "varint-tensor"} <= rules(record)
    assert "float weights" in of_rule(record, "unused-initializer")[0].text
    before = len(ir.to_proto(model).SerializeToString())
    result, after = fixed(model, "ort-cuda")
    assert repaired(after) == {"unused-initializer": 1, "duplicate-initializer": 1, "varint-tensor": 1}
    assert not {"unused-initializer", "duplicate-initializer", "varint-tensor"} & rules(after)
    size = len(ir.to_proto(result).SerializeToString())
    assert size < 3000 < 20_000 < before
    np.testing.assert_array_equal(result.graph.initializers["w"].const_value.numpy(), integers)


def test_the_model_handed_in_stays_as_it_is() -> None:
    model = build(RELU, ir_version=14)
    before = ir.to_proto(model).SerializeToString()
    fixed(model, "ort-cpu-vnni")
    assert ir.to_proto(model).SerializeToString() == before


def test_repairing_twice_changes_nothing_more() -> None:
    first, _ = fixed(build(RELU, ir_version=14), "ort-cpu-vnni")
    second, record = fixed(first, "ort-cpu-vnni")
    assert not record.repairs and not record.findings
    assert op_types(second) == op_types(first)
