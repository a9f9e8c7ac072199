"""The rule tables of targets, and the machine facts they follow."""

import importlib

import pytest

from edgebig.errors import UnknownNameError
from edgebig.quantize.ops import handlers
from edgebig.targets import cpu_features, targets


def test_the_table_is_consistent() -> None:
    target = targets.get("ort-cpu")()
    assert target.name == "ort-cpu"
    assert (target.activation_dtype, target.weight_dtype) == ("uint8", "int8")
    assert not target.int8_ops & set(target.float_ops)
    # Every operator that may run in integers has a handler, and every cost belongs to one of them.
    assert target.int8_ops == set(handlers.names())
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
