"""Models for the tests of evaluation: one matrix multiplication, and what follows it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgebig.graph.save import save_model


def linear_model(
    weight: NDArray, *, then: Sequence[tuple[str, str, str]] = (), ints: Sequence[str] = (), batch: int | str = "batch"
) -> ir.Model:
    """x [batch, k] times `weight` [k, m] gives the output y [batch, m].

    Args:
        weight: The matrix.
        then: Further nodes (operator, input, output); their outputs are outputs of the model, of any shape.
        ints: Which of those outputs are int64.
        batch: The batch axis.
    """
    k, m = weight.shape
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="matmul")]
    nodes += [helper.make_node(op, [source], [output]) for op, source, output in then]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, m])]
    for _, _, name in then:
        kind = TensorProto.INT64 if name in ints else TensorProto.FLOAT
        outputs.append(helper.make_tensor_value_info(name, kind, None))
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, k])],
        outputs,
        [numpy_helper.from_array(weight.astype(np.float32), "w")],
    )
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9))


def save_linear(path: Path, weight: NDArray) -> Path:
    """Write `linear_model(weight)` and return the path."""
    save_model(linear_model(weight), path)
    return path
