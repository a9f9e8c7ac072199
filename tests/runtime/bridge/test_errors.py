"""What goes wrong comes back as an exception with a reason."""

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, InvalidGraph, RuntimeException

from edgebig.runtime.bridge import (
    BridgeError,
    Program,
    Tensor,
    api,
    attach,
    connection,
    instances,
    register,
    unregister,
)
from tests.runtime.bridge import segments
from tests.runtime.bridge.segments import (
    add_one_program,
    bytes_session,
    bytes_tensor,
    open_session,
    quiet,
    segment_model,
)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros(17, np.uint8), r"input 0 is uint8\[17\], but the segment was compiled for uint8\[16\]"),
        (np.zeros((2, 8), np.uint8), r"input 0 is uint8\[2,8\], but"),
        (np.zeros((), np.uint8), r"input 0 is uint8\[\], but"),
        (np.zeros((1, 0, 1234567890123), np.uint8), r"input 0 is uint8\[1,0,1234567890123\], but"),
        (np.zeros([1] * 20 + [16], np.uint8), r"input 0 is uint8\[1(,1){15}\], but"),
    ],
)
def test_another_shape_is_refused_with_both_shapes_named(given: np.ndarray, message: str) -> None:
    key = register(add_one_program(16))
    session = open_session(segment_model([key], inputs=[helper.make_tensor_value_info("x", TensorProto.UINT8, None)]))
    with pytest.raises(InvalidArgument, match=f"edgebig segment {key}: {message}"):
        session.run(None, {"x": given}, quiet())
    x = np.arange(16, dtype=np.uint8)
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], x + 1)
    unregister(key)


def test_another_type_is_refused_with_both_types_named() -> None:
    key = register(add_one_program(16))
    session = open_session(segment_model([key], inputs=[helper.make_tensor_value_info("x", TensorProto.FLOAT, [16])]))
    with pytest.raises(InvalidArgument, match=r"input 0 is float\[16\], but the segment was compiled for uint8\[16\]"):
        session.run(None, {"x": np.zeros(16, np.float32)}, quiet())
    unregister(key)


def test_a_sequence_is_refused() -> None:
    key = register(add_one_program(16))
    x = helper.make_tensor_sequence_value_info("x", TensorProto.UINT8, None)
    with pytest.raises((Fail, InvalidGraph)):
        open_session(segment_model([key], inputs=[x]))
    unregister(key)


def test_the_second_input_is_checked_too() -> None:
    inputs = (bytes_tensor(8), Tensor(TensorProto.INT64, (2,)))
    key = register(Program(inputs, (bytes_tensor(8),), 0, ()))
    infos = [helper.make_tensor_value_info(f"x{i}", t.element_type, ["n"]) for i, t in enumerate(inputs)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.UINT8, None)]
    session = open_session(segment_model([key], inputs=infos, outputs=outputs))
    session.run(None, {"x0": np.zeros(8, np.uint8), "x1": np.zeros(2, np.int64)})
    with pytest.raises(InvalidArgument, match=r"input 1 is int64\[3\], but the segment was compiled for int64\[2\]"):
        session.run(None, {"x0": np.zeros(8, np.uint8), "x1": np.zeros(3, np.int64)}, quiet())
    unregister(key)


def test_an_unregistered_segment_makes_no_session() -> None:
    key = register(add_one_program(16))
    unregister(key)
    with pytest.raises(RuntimeException, match=f"segment {key} is not registered in this process"):
        bytes_session(key)


def test_a_node_with_the_wrong_number_of_inputs_makes_no_session() -> None:
    key = register(add_one_program(16))
    infos = [helper.make_tensor_value_info(f"x{i}", TensorProto.UINT8, [16]) for i in range(2)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.UINT8, None)]
    with pytest.raises(RuntimeException, match=f"the node of segment {key} has 2 inputs, not 1"):
        open_session(segment_model([key], inputs=infos, outputs=outputs))
    unregister(key)


def test_any_exception_while_a_kernel_is_made_names_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    key = register(add_one_program(16, 2))

    def broken(*_: Any) -> int:
        raise ZeroDivisionError("no such luck")

    with monkeypatch.context() as patch:
        patch.setattr(instances.Instance, "_calls", broken)
        with pytest.raises(RuntimeException, match="ZeroDivisionError: no such luck"):
            bytes_session(key)
    x = np.arange(16, dtype=np.uint8)
    np.testing.assert_array_equal(bytes_session(key).run(None, {"x": x})[0], x + 2)
    unregister(key)


def test_too_many_dimensions_make_no_session() -> None:
    tensor = Tensor(TensorProto.UINT8, (1,) * 17)
    key = register(Program((tensor,), (tensor,), 0, ()))
    with pytest.raises(RuntimeException, match="at most 16 dimensions"):
        open_session(segment_model([key], inputs=[helper.make_tensor_value_info("x", TensorProto.UINT8, None)]))
    unregister(key)


def test_an_arena_larger_than_the_machine_is_a_status() -> None:
    key = register(Program((bytes_tensor(8),), (bytes_tensor(8),), 1 << 60, ()))
    session = bytes_session(key)
    with pytest.raises(Fail, match="no memory is left for a segment's arena"):
        session.run(None, {"x": np.zeros(8, np.uint8)}, quiet())
    unregister(key)


def test_attaching_twice_is_as_good_as_once() -> None:
    options = segments.options()
    attach(options)
    key = register(add_one_program(8))
    model = segment_model([key], inputs=[helper.make_tensor_value_info("x", TensorProto.UINT8, [8])])
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, {"x": np.zeros(8, np.uint8)})[0], np.ones(8))
    unregister(key)


@pytest.mark.parametrize("late", [False, True])
def test_an_exception_while_the_op_is_registered_comes_out_of_attach(
    monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """Early there is no onnxruntime function yet to make a status with."""

    def broken(*_: Any, **__: Any) -> int:
        raise ZeroDivisionError("no such luck")

    where = (connection._Bridge, "_domain") if late else (api.Api, "of_base")
    with monkeypatch.context() as patch:
        patch.setattr(*where, broken)
        with pytest.raises(BridgeError, match="no such luck") as caught:
            attach(ort.SessionOptions())
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
    attach(ort.SessionOptions())
