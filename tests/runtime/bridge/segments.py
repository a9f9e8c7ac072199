"""Small segments to run: kernels in plain Numba, models of one or more segment nodes, sessions."""

import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import onnx
import onnxruntime as ort
from numba import cfunc, types
from onnx import TensorProto, helper

from edgebig.runtime.bridge import DOMAIN, OP_TYPE, Call, Program, Tensor, attach
from edgebig.runtime.bridge.operands import operand
from edgebig.runtime.bridge.words import load, load_byte, store, store_byte

TASK_BYTES = 8
INPUT, OUTPUT, ARENA = 2, 3, 1  # bases of a program of one input and one output
_STEP = types.void(types.intp, types.intp)


@cfunc(_STEP)
def add_one(call, task):
    """Task t adds 1 to bytes 8 t to 8 t + 7 of operand 0, and writes them to operand 1."""
    x, y = operand(call, 0), operand(call, 1)
    for i in range(task * 8, task * 8 + 8):
        store_byte(y + i, load_byte(x + i) + 1)


@cfunc(_STEP)
def add(call, task):
    """Adds 8-byte integers: operand 2 = operand 0 + operand 1; a task for each."""
    at = 8 * task
    store(operand(call, 2) + at, load(operand(call, 0) + at) + load(operand(call, 1) + at))


@cfunc(_STEP)
def count(call, task):
    """Adds 1 to the integer at operand 0."""
    place = operand(call, 0)
    store(place, load(place) + 1)


def bytes_tensor(size: int) -> Tensor:
    return Tensor(TensorProto.UINT8, (size,))


def add_one_program(size: int, steps: int = 1, *, keep: object = None) -> Program:
    """Adds `steps` to every byte, going to and fro in the arena."""
    tasks = size // TASK_BYTES
    places = [(INPUT, 0), *[(ARENA, 64 + size * (i % 2)) for i in range(steps - 1)], (OUTPUT, 0)]
    calls = tuple(Call(add_one.address, tasks, pair) for pair in itertools.pairwise(places))
    return Program((bytes_tensor(size),), (bytes_tensor(size),), 64 + 2 * size if steps > 1 else 0, calls, keep)


def segment_model(
    keys: Sequence[int],
    *,
    inputs: Sequence[Any],
    outputs: Sequence[Any] | None = None,
    element_type: int = TensorProto.UINT8,
) -> onnx.ModelProto:
    """A chain of segments of one input and one output; or one segment of many, where `outputs` are given."""
    if outputs is None:
        names = [inputs[0].name, *(f"t{i}" for i in range(len(keys)))]
        pairs = zip(keys, names, names[1:], strict=False)
        nodes = [helper.make_node(OP_TYPE, [a], [b], domain=DOMAIN, segment=key) for key, a, b in pairs]
        outputs = [helper.make_tensor_value_info(names[-1], element_type, None)]
    else:
        given, made = [value.name for value in inputs], [value.name for value in outputs]
        nodes = [helper.make_node(OP_TYPE, given, made, domain=DOMAIN, segment=key) for key in keys]
    graph = helper.make_graph(nodes, "segments", list(inputs), list(outputs))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def options(threads: int = 1) -> ort.SessionOptions:
    made = ort.SessionOptions()
    made.intra_op_num_threads = threads
    made.log_severity_level = 4
    attach(made)
    return made


def open_session(model: onnx.ModelProto, threads: int = 1) -> ort.InferenceSession:
    return ort.InferenceSession(model.SerializeToString(), options(threads), providers=["CPUExecutionProvider"])


def bytes_session(*keys: int, threads: int = 1, shape: Sequence[Any] = ("n",)) -> ort.InferenceSession:
    """A session of a chain of byte segments."""
    x = helper.make_tensor_value_info("x", TensorProto.UINT8, shape)
    return open_session(segment_model(keys, inputs=[x]), threads)


def quiet() -> ort.RunOptions:
    """Options of a run that keep expected errors out of the log."""
    made = ort.RunOptions()
    made.log_severity_level = 4
    return made


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Run `work(i)` in so many threads at once; raises what the first of them raised."""
    errors: list[BaseException] = []
    start = threading.Barrier(count)

    def run(index: int) -> None:
        try:
            start.wait()
            work(index)
        except BaseException as e:  # raised again below
            errors.append(e)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
