"""Write a decoder of any size, random weights as external data: `python synthetic_transformer.py OUT.onnx GIGABYTES`.

The shapes are those of a Llama of about a billion weights: an embedding tied to the head, and layers of seven products.
Attention is left out (it has no weights): what is measured is the handling of weights.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

VOCABULARY, HIDDEN, INNER = 32_000, 2048, 5632


class Weights:
    """Appends random weights to a file, one part at a time.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.tensors: list[TensorProto] = []
        self.bytes = 0
        self._path = path
        self._random = np.random.default_rng(0)
        path.write_bytes(b"")

    def add(self, name: str, rows: int, columns: int) -> str:
        """Write a matrix of normal numbers, float32, and return its name."""
        with self._path.open("ab") as stream:
            for start in range(0, rows, 1024):
                part = self._random.standard_normal((min(1024, rows - start), columns), np.float32)
                stream.write((part / np.float32(np.sqrt(rows))).data)
        tensor = TensorProto(name=name, dims=[rows, columns], data_type=TensorProto.FLOAT)
        tensor.data_location = TensorProto.EXTERNAL
        size = 4 * rows * columns
        for key, value in (("location", self._path.name), ("offset", self.bytes), ("length", size)):
            tensor.external_data.add(key=key, value=str(value))
        self.tensors.append(tensor)
        self.bytes += size
        return name


def write_transformer(path: Path, size: float) -> int:
    """Write the model.

    Args:
        path: The `.onnx` file; its weights lie beside it.
        size: Bytes of weights, at least.

    Returns:
        Bytes of weights.
    """
    weights = Weights(path.with_name(path.name + ".data"))
    nodes = [helper.make_node("Gather", [weights.add("table", VOCABULARY, HIDDEN), "ids"], ["x0"], name="embedding")]
    layer, x = 0, "x0"
    while weights.bytes < size:
        nodes += _layer(weights, layer, x, f"x{layer + 1}")
        layer, x = layer + 1, f"x{layer + 1}"
    nodes.append(helper.make_node("Transpose", ["table"], ["head"], perm=[1, 0]))
    nodes.append(helper.make_node("MatMul", [x, "head"], ["logits"], name="head_product"))
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", VOCABULARY])
    graph = helper.make_graph(nodes, "synthetic", [ids], [logits], weights.tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return weights.bytes


def _layer(weights: Weights, layer: int, x: str, y: str) -> list[onnx.NodeProto]:
    sizes = {
        "q": (x, HIDDEN, HIDDEN),
        "k": ("q", HIDDEN, HIDDEN),
        "v": ("k", HIDDEN, HIDDEN),
        "o": ("v", HIDDEN, HIDDEN),
        "gate": ("o", HIDDEN, INNER),
        "up": ("o", HIDDEN, INNER),
        "down": ("mixed", INNER, HIDDEN),
    }
    nodes = []
    for name, (source, rows, columns) in sizes.items():
        source = source if source == x else f"{source}{layer}"
        if name == "down":
            nodes.append(helper.make_node("Mul", [f"gate{layer}", f"up{layer}"], [f"mixed{layer}"]))
        weight = weights.add(f"{name}_weight{layer}", rows, columns)
        nodes.append(helper.make_node("MatMul", [source, weight], [f"{name}{layer}"], name=f"{name}_product{layer}"))
    return [*nodes, helper.make_node("Add", [x, f"down{layer}"], [y])]


if __name__ == "__main__":
    print(write_transformer(Path(sys.argv[1]), float(sys.argv[2]) * 1e9), "bytes of weights")
