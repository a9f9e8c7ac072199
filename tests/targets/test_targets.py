"""The rule tables of targets, and the machine facts they follow."""

import dataclasses
import importlib

import pytest

from edgebig.errors import UnknownNameError
from edgebig.quantize.ops import handlers
from edgebig.targets import cpu_features, targets
from edgebig.targets.base import Bias, Elementwise, Form, Target
from edgebig.targets.release import ONNXRUNTIME, release_for


def test_the_table_of_this_machine_is_consistent() -> None:
    target = targets.get("ort-cpu")()
    assert target.name == "ort-cpu"
    assert (target.activation_dtype, target.weight_dtype) == ("int8" if cpu_features.is_arm64() else "uint8", "int8")
    # Every operator that may run in integers has a handler, and every cost belongs to one of them.
    assert target.int8_ops <= set(handlers.names())
    assert set(target.int8_costs.per_element) <= target.int8_ops
    assert set(target.int8_costs.after_float) <= target.int8_ops
    assert all(reason for reason in target.float_ops.values())


@pytest.mark.parametrize(
    ("x86", "features", "bits"),
    [
        (True, {"avx2"}, 7),
        (True, {"avx2", "avx512bw"}, 7),
        (True, {"avx2", "avx_vnni"}, 8),
        (True, {"avx512_vnni"}, 8),
        (False, {"asimddp"}, 8),
    ],
)
def test_weight_bits_follow_the_processor(
    x86: bool, features: set[str], bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_features, "cpu_features", lambda: frozenset(features))
    module = importlib.import_module("edgebig.targets.ort_cpu")  # the package's attribute of that name is the function
    monkeypatch.setattr(module, "is_x86", lambda: x86)
    monkeypatch.setattr(module, "is_arm64", lambda: not x86)
    assert targets.get("ort-cpu")().weight_bits == bits


@pytest.mark.parametrize(
    ("features", "name"),
    [
        ({"avx2", "avx512bw", "avx512_vnni"}, "AVX512-VNNI"),
        ({"avx2", "avx_vnni"}, "AVX-VNNI"),
        ({"avx2"}, "AVX2"),
        ({"asimd", "asimddp"}, "NEON dot product"),
        (set(), "unknown"),
    ],
)
def test_machine_facts_name_the_best_instructions(
    features: set[str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_features, "cpu_features", lambda: frozenset(features))
    facts = cpu_features.machine_facts()
    assert facts["int8 instructions"] == name
    assert facts["processor"]


def test_unknown_targets_list_the_known() -> None:
    with pytest.raises(UnknownNameError, match="Known: ort-cpu"):
        targets.get("tensorrt")


NAMES = [
    *("ort-cpu", "ort-cpu-vnni", "ort-cpu-avx2", "ort-cpu-arm64", "ort-cuda", "tensorrt-10", "tensorrt-11", "openvino"),
    "qnn",
]
FIELDS = {field.name for field in dataclasses.fields(Target)}


def test_the_targets_are_these() -> None:
    assert list(targets.names()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_table_is_consistent_and_says_where_it_is_from(name: str) -> None:
    target = targets.get(name)()
    assert target.name == name and target.description and target.providers
    assert not target.int8_ops & set(target.float_ops)
    assert all(reason for reason in target.float_ops.values())
    assert target.activation_dtypes[0] == target.activation_dtype
    assert target.wide_activation_dtype is None or target.wide_activation_dtype in target.activation_dtypes
    assert not target.symmetric_activations or target.activation_dtype == "int8"
    assert target.supported_ops is None or target.int8_ops <= target.supported_ops
    assert not target.int8_ops & target.refused_ops
    assert (target.weight_bits == 7) == target.saturating_pairs
    assert set(target.sources) <= FIELDS and all(target.sources.values())
    assert [release.opset for release in target.releases] == sorted(release.opset for release in target.releases)
    # What a table says other than the default has a source.
    plain = {field.name: field.default for field in dataclasses.fields(Target)}
    for rule in ("symmetric_activations", "bias", "pairs_per_consumer", "quantize_results", "elementwise", "forms"):
        assert getattr(target, rule) == plain[rule] or rule in target.sources, rule
    for rule in ("gemm_transposed", "static_shapes", "integer_only", "strongly_typed", "wide_activation_dtype"):
        assert getattr(target, rule) == plain[rule] or rule in target.sources, rule


def test_tensorrt_and_qnn_want_what_their_documentation_says() -> None:
    tensorrt = targets.get("tensorrt-11")()
    assert tensorrt.bias is Bias.FLOAT and tensorrt.symmetric_activations and tensorrt.pairs_per_consumer
    assert not tensorrt.quantize_results and tensorrt.elementwise is Elementwise.RESIDUAL
    assert tensorrt.strongly_typed and not targets.get("tensorrt-10")().strongly_typed
    assert tensorrt.lacks("DynamicQuantizeLinear") and not tensorrt.lacks("Conv")
    qnn = targets.get("qnn")()
    assert qnn.wide_activation_dtype == "uint16" and qnn.gemm_transposed and "MatMul" not in qnn.per_channel_ops
    assert qnn.lacks("Erf") and not qnn.lacks("Gelu")
    assert targets.get("ort-cpu-vnni")().fuses("Where") and not targets.get("ort-cpu-vnni")().fuses("HardSwish")
    assert targets.get("qnn")().fuses("HardSwish")


def test_only_cuda_has_no_integer_operators() -> None:
    assert [name for name in NAMES if not targets.get(name)().int8_ops] == ["ort-cuda"]
    assert Form.NBITS in targets.get("ort-cuda")().forms and Form.QDQ not in targets.get("ort-cuda")().forms


@pytest.mark.parametrize(
    ("version", "expected"), [("1.17.3", ("1.17", 20, 9)), ("1.19", ("1.18", 21, 10)), ("2.0", ("1.31", 26, 13))]
)
def test_a_version_between_two_is_held_against_the_older(version: str, expected: tuple[str, int, int]) -> None:
    release = release_for(ONNXRUNTIME, version, runtime="onnxruntime")
    assert release is not None and (release.version, release.opset, release.ir_version) == expected
