"""One quantized convolution against every target: what is found, what is not, and what the repair does."""

import numpy as np
import pytest

from edgebig.graph.edit import set_array
from edgebig.graph.session import Session
from edgebig.records.lint import Severity
from tests.lint.build import CONV, S8, U8, conv, fixed, lint, of_rule, op_types, random_image, repaired, rules

FLOAT_RESULT = CONV.replace("cq = QuantizeLinear(c, ys, yz)", "").replace(
    "y = DequantizeLinear(cq, ys, yz)", "y = Neg(c)"
)
FLOAT_WEIGHT = CONV.replace("wd = DequantizeLinear<axis = AXIS>(w, ws, wz)", "wf = Cast<to = 1>(w) wd = Neg(wf)")


@pytest.mark.parametrize("target", ["ort-cpu-avx2", "ort-cpu-vnni"])
def test_what_the_cpu_fuses_raises_no_objection(target: str) -> None:
    assert lint(conv(), target).findings == ()


def test_the_same_file_is_refused_by_tensorrt_for_each_of_its_reasons() -> None:
    record = lint(conv(zero_point=3), "tensorrt-11")
    assert {found.rule for found in record.findings if found.severity is Severity.REFUSED} == {
        "integer-dtype",
        "zero-point",
        "int32-bias",
    }
    assert "edgebig quantize --target tensorrt-11" in of_rule(record, "zero-point")[0].advice
    assert record.refused == sum(found.severity is Severity.REFUSED for found in record.findings)
    assert "issue 850" in record.sources["int32-bias"]


def test_symmetric_uint8_is_repaired_for_tensorrt_to_the_same_numbers() -> None:
    model = conv(zero_point=128)
    result, record = fixed(model, "tensorrt-10")
    assert repaired(record) == {"integer-dtype": 2, "int32-bias": 1}
    assert not {"integer-dtype", "zero-point", "int32-bias"} & rules(record)
    assert all(done.error == 0 for done in record.repairs)
    values = result.graph.initializers
    assert {value.const_value.dtype.name for value in values.values() if value.const_value} == {"INT8", "FLOAT"}
    feed = random_image()
    before, after = (Session(m, optimize=False).run(feed)["y"] for m in (model, result))
    np.testing.assert_array_equal(before, after)


def test_int8_activations_on_x86_become_uint8() -> None:
    model = conv(dtype=S8, zero_point=-128)
    (found,) = of_rule(lint(model, "ort-cpu-vnni"), "integer-dtype")[:1]
    assert found.severity is Severity.SLOWER and found.fixable
    result, record = fixed(model, "ort-cpu-vnni")
    assert repaired(record) == {"integer-dtype": 2}
    zero_points = [node.inputs[2].const_value.numpy() for node in result.graph if node.op_type == "QuantizeLinear"]
    assert [(point.dtype, int(point), point.shape) for point in zero_points] == [(U8, 0, ()), (U8, 128, ())]
    feed = random_image()
    np.testing.assert_array_equal(
        Session(model, optimize=False).run(feed)["y"], Session(result, optimize=False).run(feed)["y"]
    )


def test_arm64_takes_both_and_prefers_int8() -> None:
    assert not lint(conv(dtype=S8, zero_point=-128), "ort-cpu-arm64").findings
    (first, *_) = of_rule(lint(conv(), "ort-cpu-arm64"), "integer-dtype")
    assert first.severity is Severity.NOTE


def test_a_float_result_keeps_the_convolution_in_float_on_the_cpu_but_not_on_tensorrt() -> None:
    (found,) = of_rule(lint(conv(text=FLOAT_RESULT), "ort-cpu-vnni"), "not-fused")
    assert found.severity is Severity.NOT_FUSED
    assert found.detail.startswith("'c' goes to Neg")
    assert not of_rule(lint(conv(text=FLOAT_RESULT, dtype=S8), "tensorrt-11"), "not-fused")


def test_the_float_side_is_named() -> None:
    (found,) = of_rule(lint(conv(text=FLOAT_WEIGHT), "ort-cpu-vnni"), "not-fused")
    assert found.text == "the activation is quantized and the weight is float"
    assert found.detail == "'wd' from Neg 'Neg(wd)'"


def test_scales_along_the_input_channels_are_found() -> None:
    (found,) = of_rule(lint(conv(axis=1), "ort-cpu-vnni"), "weight-axis")
    assert found.severity is Severity.NOT_FUSED
    assert "axis 1" in found.text and "axis 0" in found.text
    assert of_rule(lint(conv(axis=1), "tensorrt-11"), "weight-axis")[0].severity is Severity.REFUSED


def test_one_scale_for_channels_that_use_few_integers_loses_accuracy() -> None:
    model = conv(per_channel=False)
    weight = model.graph.initializers["w"]
    integers = weight.const_value.numpy().copy()
    integers[1:] //= 16  # all channels but one are left with -4 .. 3
    set_array(weight, integers)
    (found,) = of_rule(lint(model, "ort-cpu-vnni"), "per-tensor-weight")
    assert found.severity is Severity.LOSES_ACCURACY
    assert not of_rule(lint(conv(per_channel=False), "ort-cpu-vnni"), "per-tensor-weight")


def test_cuda_fuses_no_int8_pairs() -> None:
    (found,) = of_rule(lint(conv(), "ort-cuda"), "operator-form")
    assert found.severity is Severity.SLOWER
    assert "6 QuantizeLinear and DequantizeLinear" in found.detail


def test_qnn_wants_fixed_shapes_and_no_float_edge() -> None:
    assert rules(lint(conv(), "qnn")) == {"shapes"}
    record = lint(conv(text=FLOAT_RESULT), "qnn")
    assert [found.op_type for found in of_rule(record, "float-edge")] == ["Conv", "Neg"]
    assert of_rule(record, "float-edge")[0].detail == "output 'c' goes to Neg 'Neg(y)' in float"


def test_openvino_takes_it() -> None:
    assert not lint(conv(), "openvino").findings


def test_opset_12_cannot_hold_scales_per_channel_and_is_raised() -> None:
    model = conv(opset=12)
    record = lint(model, "ort-cpu-vnni")
    assert {"opset-too-old", "does-not-load"} <= rules(record)
    result, after = fixed(model, "ort-cpu-vnni")
    assert not after.findings
    assert result.opset_imports[""] == 13
    assert after.repairs[0].error is None  # nothing ran that it could be compared with
    assert "compared from the repair on" in after.notes[0]
    assert Session(result).run(random_image())["y"].shape == (2, 8, 6, 6)
    assert "QuantizeLinear" in op_types(result)
