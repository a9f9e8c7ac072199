"""Shapes of onnxruntime's own operators are those onnxruntime gives."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from edgebig.graph.shapes import static_shape
from edgebig.runtime.specialise import specialise
from tests.runtime.nets import stock


def model(node: onnx.NodeProto, x: list[int], kind: int, constants: dict[str, np.ndarray]) -> onnx.ModelProto:
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", kind, x)],
        [helper.make_empty_tensor_value_info("y")],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


DOMAIN = "com.microsoft"
SCALE, POINT = np.array(0.1, np.float32), np.array(3, np.uint8)
CASES = {
    "MatMulNBits": (
        helper.make_node("MatMulNBits", ["x", "b", "s"], ["y"], domain=DOMAIN, K=32, N=6, bits=4, block_size=32),
        [2, 3, 32],
        TensorProto.FLOAT,
        {"b": np.ones((6, 1, 16), np.uint8), "s": np.ones(6, np.float32)},
    ),
    "GatherBlockQuantized of bytes": (
        helper.make_node(
            "GatherBlockQuantized", ["b", "x", "s"], ["y"], domain=DOMAIN, bits=8, block_size=16, quantize_axis=1
        ),
        [2, 3],
        TensorProto.INT64,
        {"b": np.ones((5, 32), np.uint8), "s": np.ones((5, 2), np.float32)},
    ),
    "GatherBlockQuantized of half bytes": (
        helper.make_node(
            "GatherBlockQuantized", ["b", "x", "s"], ["y"], domain=DOMAIN, bits=4, block_size=16, quantize_axis=1
        ),
        [4],
        TensorProto.INT64,
        {"b": np.ones((5, 16), np.uint8), "s": np.ones((5, 2), np.float32)},
    ),
    "QLinearAdd": (
        helper.make_node("QLinearAdd", ["x", "s", "z", "c", "s", "z", "s", "z"], ["y"], domain=DOMAIN),
        [2, 1, 4],
        TensorProto.UINT8,
        {"s": SCALE, "z": POINT, "c": np.ones((3, 1), np.uint8)},
    ),
    "QLinearGlobalAveragePool": (
        helper.make_node("QLinearGlobalAveragePool", ["x", "s", "z", "s", "z"], ["y"], domain=DOMAIN),
        [2, 3, 5, 5],
        TensorProto.UINT8,
        {"s": SCALE, "z": POINT},
    ),
    "MatMulIntegerToFloat": (
        helper.make_node("MatMulIntegerToFloat", ["x", "b", "s", "s"], ["y"], domain=DOMAIN),
        [2, 3, 4],
        TensorProto.UINT8,
        {"s": SCALE, "b": np.ones((4, 5), np.uint8)},
    ),
    "DynamicQuantizeMatMul": (
        helper.make_node("DynamicQuantizeMatMul", ["x", "b", "s"], ["y"], domain=DOMAIN),
        [3, 4],
        TensorProto.FLOAT,
        {"s": SCALE, "b": np.ones((4, 5), np.uint8)},
    ),
    "Gelu": (helper.make_node("Gelu", ["x"], ["y"], domain=DOMAIN), [2, 7], TensorProto.FLOAT, {}),
    "DequantizeLinear": (
        helper.make_node("DequantizeLinear", ["x", "s", "z"], ["y"], domain=DOMAIN),
        [2, 7],
        TensorProto.UINT8,
        {"s": SCALE, "z": POINT},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_shape_is_onnxruntimes(name: str) -> None:
    node, shape, kind, constants = CASES[name]
    proto = model(node, shape, kind, constants)
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    (expected,) = stock(proto.SerializeToString(), {"x": np.ones(shape, dtype)})
    value = next(iter(specialise(ir.from_proto(proto), {}).graph)).outputs[0]
    assert static_shape(value) == expected.shape
    assert value.dtype is not None
    assert value.dtype.numpy() == expected.dtype
