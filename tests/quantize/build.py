"""Small float models for the tests of quantization: ONNX text with seeded weights."""

from collections.abc import Mapping

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray

from edgebig.graph.session import Session


def build(text: str, opset: int = 18, **arrays: NDArray) -> ir.Model:
    """A model from the text of its graph; `arrays` are its initializers."""
    proto = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> {text}')
    for name, array in arrays.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    onnx.checker.check_model(proto)
    return ir.from_proto(proto)


def normal(*shape: int, scale: float = 1.0, seed: int = 0) -> NDArray:
    """Seeded normal numbers, float32."""
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def run(model: ir.Model, feed: Mapping[str, NDArray], *, optimize: bool = True) -> NDArray:
    """The first output."""
    with Session(model, threads=1, optimize=optimize) as session:
        return next(iter(session.run(feed).values()))


def sqnr_db(reference: NDArray, changed: NDArray) -> float:
    """20 log10(rms(reference) / rms(difference))."""
    error = float(np.square(reference.astype(np.float64) - changed).sum())
    return 10 * float(np.log10(np.square(reference.astype(np.float64)).sum() / max(error, 1e-30)))


def executed(model: ir.Model, path: str) -> list[str]:
    """Operators that onnxruntime's CPU provider runs, after its own rewriting; the model is written to `path`."""
    ir.save(model, path)
    options = ort.SessionOptions()
    options.optimized_model_filepath = path + ".optimized"
    options.log_severity_level = 4
    ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(path + ".optimized").graph.node]


def count(model: ir.Model, op_type: str) -> int:
    """How many nodes of a type the graph has."""
    return sum(node.op_type == op_type for node in model.graph)
