"""The message without large tensors."""

import numpy as np
import onnx_ir as ir

from edgebig.graph.edit import working_copy
from edgebig.graph.load import tensors
from edgebig.graph.save import save_model
from edgebig.graph.skeleton import LARGE, model_bytes, skeleton

TEXT = """g (float[N, 64] x, bool q) => (float[N, 64] y) {
    k = Constant<value_floats = [1.0]>()
    a = MatMul(x, w)
    b = Mul(a, s)
    y = If(q) <
        then_branch = t () => (float[N, 64] p) { p = Add(b, k) },
        else_branch = e () => (float[N, 64] n) { n = Neg(b) }
    > }"""


def model(build) -> ir.Model:
    return build(TEXT, w=np.ones((64, 64), np.float32), s=np.float32(2))


def test_large_tensors_are_references_and_come_back(build) -> None:
    original = model(build)
    weight = original.graph.initializers["w"].const_value
    bones = skeleton(original)
    assert bones.tensors == (weight,)
    assert bones.proto.ByteSize() < 1500
    assert original.graph.initializers["w"].const_value is weight
    restored = bones.restore(bones.proto)
    assert restored.graph.initializers["w"].const_value is weight
    assert restored.graph.initializers["s"].const_value.numpy() == 2
    assert [node.op_type for node in restored.graph] == ["Constant", "MatMul", "Mul", "If"]


def test_tensors_of_attributes_too(build) -> None:
    original = model(build)
    constant = ir.node(
        "Constant", [], attributes={"value": ir.AttrTensor("value", ir.tensor(np.zeros(1000, np.float32)))}
    )
    constant.outputs[0].name = "big"
    original.graph.append(constant)
    bones = skeleton(original)
    assert len(bones.tensors) == 2
    restored = bones.restore(bones.proto)
    assert restored.graph.node(-1).attributes.get_tensor("value") is constant.attributes.get_tensor("value")
    assert sorted(tensor.nbytes for tensor in tensors(restored))[-1] == 16384


def test_strings_stay_inside(build) -> None:
    original = model(build)
    text = ir.Value(name="t", const_value=ir.StringTensor(np.array([b"x" * 2 * LARGE]), name="t"))
    original.graph.register_initializer(text)
    assert len(skeleton(original).tensors) == 1


def test_model_bytes_is_the_size_of_the_file(build, tmp_path) -> None:
    original = working_copy(model(build))
    save_model(original, tmp_path / "a.onnx")
    assert abs(model_bytes(original) - (tmp_path / "a.onnx").stat().st_size) <= 16
