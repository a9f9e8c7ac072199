"""What a program may say."""

import pytest
from onnx import TensorProto

from edgebig.runtime.bridge import BridgeError, Call, Program, Tensor, register, unregister
from edgebig.runtime.bridge.program import ELEMENT_TYPES, find
from tests.runtime.bridge.segments import add_one, add_one_program, bytes_tensor

ONE = (bytes_tensor(8),)


def test_element_types_have_onnx_names() -> None:
    for number, name in ELEMENT_TYPES.items():
        assert TensorProto.DataType.Name(number).lower() == name


def test_a_tensor_prints_itself() -> None:
    assert str(Tensor(TensorProto.INT8, (2, 3, 4))) == "int8[2, 3, 4]"
    assert str(Tensor(TensorProto.FLOAT, ())) == "float[]"


@pytest.mark.parametrize(
    ("element_type", "shape", "message"),
    [(TensorProto.STRING, (1,), "element type 8.*Allowed.*uint8"), (TensorProto.UINT8, (1, -1), r"\(1, -1\)")],
)
def test_tensors_that_cannot_be(element_type: int, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(BridgeError, match=message):
        Tensor(element_type, shape)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (Call(0, 1, ()), "call 0.*address"),
        (Call(add_one.address, 0, ()), "0 tasks"),
        (Call(add_one.address, 1, ((4, 0),)), "base 4.*0 to 3"),
        (Call(add_one.address, 1, ((-1, 0),)), "base -1"),
        (Call(add_one.address, 1, ((1, 64),)), "byte 64 of an arena of 64"),
        (Call(add_one.address, 1, ((1, -8),)), "byte -8"),
    ],
)
def test_calls_that_cannot_be(call: Call, message: str) -> None:
    with pytest.raises(BridgeError, match=message):
        Program(ONE, ONE, 64, (call,))


def test_programs_that_cannot_be() -> None:
    for inputs, outputs in (((), ONE), (ONE, ())):
        with pytest.raises(BridgeError, match="at least one input and one output"):
            Program(inputs, outputs, 0, ())
    with pytest.raises(BridgeError, match="-1 bytes"):
        Program(ONE, ONE, -1, ())


def test_keys_are_never_given_twice() -> None:
    program = add_one_program(8)
    keys = [register(program) for _ in range(3)]
    assert len(set(keys)) == 3
    assert find(keys[1]) is program
    for key in keys:
        unregister(key)
        with pytest.raises(BridgeError, match=f"segment {key} is not registered"):
            find(key)
    assert register(program) not in keys
    with pytest.raises(BridgeError, match="not registered"):
        unregister(keys[0])
