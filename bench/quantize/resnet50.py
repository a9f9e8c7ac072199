"""A ResNet-50 of random weights (He normal), batch norms folded, as an exporter writes it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

SIZE = 224
# Blocks of each stage, and channels inside them.
STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))


class _Builder:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._rng = np.random.default_rng(0)

    def node(self, op_type: str, inputs: list[str], **attributes: object) -> str:
        name = f"{op_type.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, inputs, [name], name=name, **attributes))
        return name

    def weight(self, *shape: int, scale: float) -> str:
        name = f"weight_{len(self.initializers)}"
        array = (self._rng.standard_normal(shape) * scale).astype(np.float32)
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def conv(self, x: str, inputs: int, outputs: int, kernel: int, stride: int, *, gain: float = 1.0) -> str:
        weight = self.weight(outputs, inputs, kernel, kernel, scale=gain * np.sqrt(2 / (inputs * kernel**2)))
        bias = self.weight(outputs, scale=0.1)
        return self.node(
            "Conv",
            [x, weight, bias],
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[kernel // 2] * 4,
        )

    def block(self, x: str, inputs: int, inner: int, stride: int) -> str:
        y = self.node("Relu", [self.conv(x, inputs, inner, 1, 1)])
        y = self.node("Relu", [self.conv(y, inner, inner, 3, stride)])
        y = self.conv(y, inner, 4 * inner, 1, 1, gain=0.3)
        shortcut = x if inputs == 4 * inner else self.conv(x, inputs, 4 * inner, 1, stride, gain=0.7)
        return self.node("Relu", [self.node("Add", [y, shortcut])])


def write_resnet50(path: Path) -> None:
    """Write the model: input `x` [n, 3, 224, 224], output [n, 1000]."""
    b = _Builder()
    x = b.node("Relu", [b.conv("x", 3, 64, 7, 2)])
    x = b.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    channels = 64
    for stage, (blocks, inner) in enumerate(STAGES):
        for index in range(blocks):
            x = b.block(x, channels, inner, 2 if stage and not index else 1)
            channels = 4 * inner
    x = b.node("Flatten", [b.node("GlobalAveragePool", [x])])
    y = b.node("Gemm", [x, b.weight(channels, 1000, scale=channels**-0.5), b.weight(1000, scale=0.1)])
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 3, SIZE, SIZE])]
    outputs = [helper.make_tensor_value_info(y, onnx.TensorProto.FLOAT, ["n", 1000])]
    graph = helper.make_graph(b.nodes, "resnet50", inputs, outputs, b.initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)


def images(count: int, batch: int) -> Iterator[dict[str, NDArray]]:
    """Feeds of smooth random images, made when their turn comes."""
    for start in range(0, count, batch):
        rng = np.random.default_rng(start)
        coarse = rng.standard_normal((min(batch, count - start), 3, SIZE // 8, SIZE // 8), dtype=np.float32)
        yield {"x": np.ascontiguousarray(coarse.repeat(8, axis=2).repeat(8, axis=3))}
