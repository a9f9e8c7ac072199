"""Segments inside onnxruntime's graphs give the right numbers."""

import gc
import math
import resource
import sys
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import cfunc, types
from onnx import TensorProto, helper

from edgebig.runtime.bridge import Call, Program, Tensor, arenas, register, unregister
from edgebig.runtime.bridge.operands import operand
from edgebig.runtime.bridge.program import ELEMENT_TYPES
from edgebig.runtime.bridge.words import load, load_byte, store, store_byte
from tests.runtime.bridge.segments import add, add_one_program, bytes_session, bytes_tensor, open_session, segment_model


@cfunc(types.void(types.intp, types.intp))
def copy_bytes(call: Any, task: Any) -> None:
    """Copies as many bytes as the integer at operand 2 says."""
    x, y, n = operand(call, 0), operand(call, 1), load(operand(call, 2))
    for i in range(n):
        store_byte(y + i, load_byte(x + i))


@cfunc(types.void(types.intp, types.intp))
def address_of(call: Any, task: Any) -> None:
    """Writes the address of operand 0 to operand 1."""
    store(operand(call, 1), operand(call, 0))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_steps_run_in_order(threads: int, steps: int) -> None:
    key = register(add_one_program(64, steps))
    session = bytes_session(key, threads=threads)
    for start in (0, 250):
        x = np.arange(start, start + 64).astype(np.uint8)
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], x + np.uint8(steps))
    unregister(key)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 3), st.integers(1, 2))
def test_any_number_of_tasks_steps_and_nodes(tasks: int, steps: int, nodes: int, threads: int) -> None:
    keys = [register(add_one_program(8 * tasks, steps)) for _ in range(nodes)]
    x = np.random.default_rng(tasks).integers(0, 256, 8 * tasks, dtype=np.uint8)
    y = bytes_session(*keys, threads=threads).run(None, {"x": x})[0]
    np.testing.assert_array_equal(y, x + np.uint8(steps * nodes))
    for key in keys:
        unregister(key)


@pytest.mark.parametrize("shape", [(), (3,), (2, 0, 3), (1, 2, 3, 4, 5, 6)])
@pytest.mark.parametrize("element_type", ELEMENT_TYPES)
def test_every_element_type_and_rank_passes_through(element_type: int, shape: tuple[int, ...]) -> None:
    dtype = helper.tensor_dtype_to_np_dtype(element_type)
    tensor = Tensor(element_type, shape)
    length = np.array([math.prod(shape) * dtype.itemsize])
    calls = (Call(copy_bytes.address, 1, ((2, 0), (3, 0), (0, length.ctypes.data))),)
    key = register(Program((tensor,), (tensor,), 0, calls, keep=length))
    info = helper.make_tensor_value_info("x", element_type, shape)
    session = open_session(segment_model([key], inputs=[info], element_type=element_type))
    x = np.arange(math.prod(shape)).astype(dtype).reshape(shape)
    value = ort.OrtValue.ortvalue_from_numpy_with_onnx_type(x, element_type)
    y = session.run_with_ort_values(None, {"x": value})[0]
    assert list(y.shape()) == list(shape)
    assert y.element_type() == element_type
    got = y.numpy() if dtype.kind in "fiub" else x
    np.testing.assert_array_equal(got, x)
    unregister(key)


def test_many_inputs_and_outputs_of_different_types() -> None:
    """Two sums of three inputs; one of the outputs has another type and shape."""
    inputs = (Tensor(TensorProto.INT64, (5,)), Tensor(TensorProto.INT64, (1, 5)), Tensor(TensorProto.UINT64, (5, 1)))
    outputs = (Tensor(TensorProto.INT64, (5,)), Tensor(TensorProto.UINT64, (1, 5, 1)))
    calls = (Call(add.address, 5, ((2, 0), (3, 0), (5, 0))), Call(add.address, 5, ((5, 0), (4, 0), (6, 0))))
    key = register(Program(inputs, outputs, 0, calls))
    infos = [helper.make_tensor_value_info(f"x{i}", t.element_type, t.shape) for i, t in enumerate(inputs)]
    made = [helper.make_tensor_value_info(f"y{i}", t.element_type, None) for i, t in enumerate(outputs)]
    session = open_session(segment_model([key], inputs=infos, outputs=made))
    assert [value.shape for value in session.get_outputs()] == [[5], [1, 5, 1]]
    x = [np.arange(5), 10 * np.arange(5).reshape(1, 5), np.full((5, 1), 100, np.uint64)]
    first, second = session.run(None, {f"x{i}": value for i, value in enumerate(x)})
    np.testing.assert_array_equal(first, 11 * np.arange(5))
    np.testing.assert_array_equal(second, (11 * np.arange(5) + 100).astype(np.uint64).reshape(1, 5, 1))
    unregister(key)


def test_outputs_get_static_shapes_for_the_nodes_after() -> None:
    key = register(add_one_program(16))
    model = segment_model([key], inputs=[helper.make_tensor_value_info("x", TensorProto.UINT8, ["n"])])
    model.graph.node.append(helper.make_node("Shape", ["t0"], ["size"]))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("size", TensorProto.INT64, None))
    session = open_session(model)
    assert session.get_outputs()[0].shape == [1]
    np.testing.assert_array_equal(session.run(None, {"x": np.zeros(16, np.uint8)})[0], [16])
    unregister(key)


@pytest.mark.parametrize("size", [1, 4096, 4097, 3 << 20])
def test_the_arena_is_aligned_and_kept(size: int) -> None:
    gc.collect()  # sessions of failed calls hang on their exceptions
    before = arenas.kept_bytes()
    tensor = Tensor(TensorProto.INT64, (1,))
    key = register(Program((tensor,), (tensor,), size, (Call(address_of.address, 1, ((1, 0), (3, 0))),)))
    info = helper.make_tensor_value_info("x", TensorProto.INT64, [1])
    session = open_session(segment_model([key], inputs=[info], element_type=TensorProto.INT64))
    addresses = {int(session.run(None, {"x": np.zeros(1, np.int64)})[0][0]) for _ in range(5)}
    assert len(addresses) == 1
    assert addresses.pop() % 64 == 0
    assert arenas.kept_bytes() - before == arenas.block_size(size) >= size
    del session
    assert arenas.kept_bytes() == before
    unregister(key)


@pytest.mark.skipif(sys.platform != "linux", reason="counts the page faults of this process as Linux does")
def test_a_large_arena_is_not_faulted_in_anew_by_every_run() -> None:
    size = 8 << 20
    length = np.array([size - 64])
    fill = Call(copy_bytes.address, 1, ((1, 0), (1, 64), (0, length.ctypes.data)))
    key = register(Program((bytes_tensor(8),), (bytes_tensor(8),), size, (fill,), keep=length))
    session = bytes_session(key)
    session.run(None, {"x": np.zeros(8, np.uint8)})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        session.run(None, {"x": np.zeros(8, np.uint8)})
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 20  # with huge pages, 40 would be needed
    unregister(key)


def test_a_graph_of_segments_and_onnx_nodes() -> None:
    key = register(add_one_program(8, 3))
    x = helper.make_tensor_value_info("x", TensorProto.UINT8, [8])
    model = segment_model([key], inputs=[x])
    model.graph.node.append(helper.make_node("Cast", ["t0"], ["f"], to=TensorProto.FLOAT))
    model.graph.node.append(helper.make_node("Mul", ["f", "f"], ["y"]))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, None))
    y = open_session(model).run(None, {"x": np.arange(8, dtype=np.uint8)})[0]
    np.testing.assert_array_equal(y, (np.arange(8) + 3.0) ** 2)
    unregister(key)


def test_a_segment_in_a_branch_of_if() -> None:
    key = register(add_one_program(8))
    x_info = helper.make_tensor_value_info("x", TensorProto.UINT8, [8])
    then = segment_model([key], inputs=[x_info]).graph
    del then.input[:]
    other = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["z"])],
        "else",
        [],
        [helper.make_tensor_value_info("z", TensorProto.UINT8, [8])],
    )
    graph = helper.make_graph(
        [helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other)],
        "if",
        [
            helper.make_tensor_value_info("x", TensorProto.UINT8, [8]),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, None)],
    )
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("edgebig", 1)]
    session = open_session(helper.make_model(graph, opset_imports=opsets, ir_version=8))
    x = np.arange(8, dtype=np.uint8)
    for chosen in (True, False):
        np.testing.assert_array_equal(session.run(None, {"x": x, "c": np.array(chosen)})[0], x + np.uint8(chosen))
    unregister(key)
