"""Raising the operator set."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgebig.errors import InvalidModelError, UsageError
from edgebig.graph.opset import opset_version, raise_opset
from edgebig.graph.session import Session

TEXT = """g (float[N, 4] x) => (float[N, 300] y) {
    u = Unsqueeze<axes = [0]>(x) s = Squeeze<axes = [0]>(u) d = Dropout(s) y = MatMul(d, w) }"""


def model(build) -> ir.Model:
    result = build(TEXT, opset=9, ir_version=5, w=np.random.default_rng(0).standard_normal((4, 300)).astype(np.float32))
    result.metadata_props["author"] = "someone"
    result.graph.doc_string = "about"
    return result


@pytest.mark.parametrize("version", [10, 13, 18, 21])
def test_raised_models_give_the_same(build, version: int) -> None:
    original = model(build)
    weight = original.graph.initializers["w"].const_value
    x = {"x": np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)}
    expected = Session(original).run(x)["y"]
    raise_opset(original, version)
    assert opset_version(original) == version
    assert original.graph.initializers["w"].const_value is weight
    np.testing.assert_array_equal(Session(original).run(x)["y"], expected)
    assert original.metadata_props == {"author": "someone"}
    assert original.graph.doc_string == "about"
    assert original.ir_version >= onnx.helper.OP_SET_ID_VERSION_MAP["ai.onnx", version]


def test_branches_are_raised_too(build) -> None:
    text = """g (float[N, 4] x, bool q) => (float[N, 4] y) { y = If(q) <
        then_branch = t () => (float[N, 4] p) { u = Unsqueeze<axes = [0]>(x) p = Squeeze<axes = [0]>(u) },
        else_branch = e () => (float[N, 4] n) { n = Neg(x) } > }"""
    branched = build(text, opset=11, ir_version=6)
    raise_opset(branched, 13)
    result = Session(branched).run({"x": np.ones((2, 4), np.float32), "q": np.array(True)})
    np.testing.assert_array_equal(result["y"], np.ones((2, 4)))


def test_functions_are_inlined_first(build) -> None:
    text = """g (float[N, 4] x) => (float[N, 4] y) { y = my.f(x) }
        <domain: "my", opset_import: ["": 13]> f (a) => (b) { b = Neg(a) }"""
    called = build(text, opset=13, domains=', "my": 1')
    raise_opset(called, 18)
    assert [node.op_type for node in called.graph] == ["Neg"]


def test_the_same_version_changes_nothing(build) -> None:
    original = model(build)
    graph = original.graph
    raise_opset(original, 9)
    assert original.graph is graph


@pytest.mark.parametrize(("version", "message"), [(8, "cannot be lowered to 8"), (999, "opset 999 is unknown to onnx")])
def test_versions_that_cannot_be(build, version: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        raise_opset(model(build), version)


def test_an_operator_without_conversion(build) -> None:
    upsample = build(
        "g (float[N, 1, 4, 4] x, float[4] s) => (float[N, 1, H, W] y) { y = Upsample(x, s) }", opset=9, ir_version=5
    )
    upsample.graph.node(0).op_type = "NoSuchThing"
    with pytest.raises(InvalidModelError, match="cannot convert it from opset 9 to 13"):
        raise_opset(upsample, 13)


def test_models_without_standard_operators(build) -> None:
    contributed = build("g (float[N] x) => (float[N] y) { y = com.microsoft.Gelu(x) }", domains=', "com.microsoft": 1')
    del contributed.graph.opset_imports[""]
    assert opset_version(contributed) is None
    with pytest.raises(InvalidModelError, match="no standard operator set"):
        raise_opset(contributed, 18)
    contributed.graph.opset_imports["ai.onnx"] = 17
    assert opset_version(contributed) == 17
