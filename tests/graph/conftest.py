"""Small ONNX files, and ways to spoil them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

GEMM = "g (float[N, 8] x) => (float[N, 300] y) { y = MatMul(x, w) }"


@pytest.fixture
def proto() -> Callable[..., onnx.ModelProto]:
    """`proto(text, opset=18, ir_version=8, **initializers)`: a message."""

    def make(
        text: str, *, opset: int = 18, ir_version: int = 8, domains: str = "", **arrays: NDArray
    ) -> onnx.ModelProto:
        model = onnx.parser.parse_model(f'<ir_version: {ir_version}, opset_import: ["": {opset}{domains}]>\n{text}')
        for name, array in arrays.items():
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
        return model

    return make


@pytest.fixture
def build(proto: Callable[..., onnx.ModelProto]) -> Callable[..., ir.Model]:
    """The same as a model."""
    return lambda text, **options: ir.from_proto(proto(text, **options))


@pytest.fixture
def gemm(proto: Callable[..., onnx.ModelProto]) -> onnx.ModelProto:
    """One MatMul with weights of 9,600 bytes."""
    return proto(GEMM, w=np.arange(2400, dtype=np.float32).reshape(8, 300))


@pytest.fixture
def inline_file(gemm: onnx.ModelProto, tmp_path: Path) -> Path:
    """The MatMul with its weights in the file."""
    path = tmp_path / "gemm.onnx"
    onnx.save(gemm, path)
    return path


@pytest.fixture
def external_file(gemm: onnx.ModelProto, tmp_path: Path) -> Path:
    """The MatMul with its weights in `gemm.onnx.data` beside it."""
    folder = tmp_path / "external"
    folder.mkdir()
    path = folder / "gemm.onnx"
    onnx.save(gemm, path, save_as_external_data=True, location="gemm.onnx.data", size_threshold=0)
    return path


@pytest.fixture
def respell() -> Callable[..., None]:
    """`respell(path, location=..., offset=..., length=...)`: change an external tensor's entries in a file."""

    def change(path: Path, **entries: object) -> None:
        model = onnx.load(path, load_external_data=False)
        tensor = model.graph.initializer[0]
        kept = {entry.key: entry.value for entry in tensor.external_data} | {k: str(v) for k, v in entries.items()}
        del tensor.external_data[:]
        for key, value in kept.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
        path.write_bytes(model.SerializeToString())

    return change
