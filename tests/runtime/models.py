"""Small models for the runtime, built in code, their weights seeded."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

FEATURES, HIDDEN, CLASSES = 20, 24, 5


def int8_mlp(batch: int | str = 3, *, seed: int = 0) -> onnx.ModelProto:
    """Two layers with QDQ around them: `x` float32 [batch, 20] -> `y` float32 [batch, 5]."""
    rng = np.random.default_rng(seed)
    nodes, constants = [], {}

    def constant(name: str, array: Any) -> str:
        constants[name] = np.asarray(array)
        return name

    def through_u8(value: str, scale: float, zero_point: int) -> str:
        parameters = [
            constant(f"{value}_scale", np.float32(scale)),
            constant(f"{value}_zero_point", np.uint8(zero_point)),
        ]
        nodes.append(helper.make_node("QuantizeLinear", [value, *parameters], [f"{value}_u8"], name=f"q_{value}"))
        nodes.append(helper.make_node("DequantizeLinear", [f"{value}_u8", *parameters], [f"{value}_dq"]))
        return f"{value}_dq"

    def layer(value: str, name: str, rows: int, columns: int) -> str:
        weights = constant(f"{name}_w", rng.integers(-63, 64, (rows, columns)).astype(np.int8))
        scales = constant(f"{name}_s", rng.uniform(0.005, 0.02, columns).astype(np.float32))
        zeros = constant(f"{name}_z", np.zeros(columns, np.int8))
        bias = constant(f"{name}_b", rng.standard_normal(columns).astype(np.float32))
        nodes.append(helper.make_node("DequantizeLinear", [weights, scales, zeros], [f"{name}_dq"], axis=1))
        nodes.append(helper.make_node("Gemm", [value, f"{name}_dq", bias], [f"{name}_out"], name=name))
        return f"{name}_out"

    hidden = layer(through_u8("x", 0.03, 121), "first", FEATURES, HIDDEN)
    nodes.append(helper.make_node("Relu", [hidden], ["h"], name="relu"))
    scores = layer(through_u8("h", 0.04, 0), "second", HIDDEN, CLASSES)
    nodes.append(helper.make_node("Identity", [through_u8(scores, 0.05, 120)], ["y"], name="last"))
    return finish(nodes, constants, [("x", [batch, FEATURES])], [("y", [batch, CLASSES])], name="int8_mlp")


def finish(
    nodes: list[onnx.NodeProto],
    constants: dict[str, NDArray],
    inputs: list[tuple[str, list[Any]]],
    outputs: list[tuple[str, list[Any]]],
    *,
    name: str = "small",
) -> onnx.ModelProto:
    """A checked model with float32 inputs and outputs."""
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(value, TensorProto.FLOAT, shape) for value, shape in inputs],
        [helper.make_tensor_value_info(value, TensorProto.FLOAT, shape) for value, shape in outputs],
        [numpy_helper.from_array(np.asarray(array), value) for value, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def samples(batch: int = 3, *, seed: int = 1) -> NDArray:
    """Inputs of `int8_mlp`."""
    return np.random.default_rng(seed).standard_normal((batch, FEATURES)).astype(np.float32)
