"""Small nets for tests of the runtime: float graphs in ONNX text, quantized by onnxruntime's own tool."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

from edgebig.runtime.cache import Cache
from edgebig.runtime.session import InferenceSession

Feed = Mapping[str, NDArray]


def net(text: str, seed: int = 0, opset: int = 18) -> onnx.ModelProto:
    """A model from ONNX text; inputs named w... become weights, those named b... biases, of random values."""
    domains = f'"" : {opset}, "com.microsoft" : 1'
    model = ir.from_onnx_text(f"<ir_version: 10, opset_import: [{domains}]>\n{text}")
    rng = np.random.default_rng(seed)
    for value in list(model.graph.inputs):
        shape = tuple(int(size) for size in value.shape or ())
        if not (value.name or "").startswith(("w", "b")):
            continue
        fan = np.prod(shape[1:]) if len(shape) > 2 else shape[0]
        spread = 0.2 if (value.name or "").startswith("b") else 1.5 / np.sqrt(fan)
        value.const_value = ir.tensor(rng.normal(0, spread, shape).astype(np.float32), name=value.name)
        model.graph.register_initializer(value)
        model.graph.inputs.remove(value)
    return ir.to_proto(model)


def feeds_of(model: onnx.ModelProto, count: int = 1, seed: int = 1) -> list[dict[str, NDArray]]:
    """Normal values for float inputs of static shapes."""
    rng = np.random.default_rng(seed)
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.input}
    return [{name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()} for _ in range(count)]


class _Reader(CalibrationDataReader):
    def __init__(self, feeds: list[dict[str, NDArray]]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> Any:
        return next(self._feeds, None)


def quantized(model: onnx.ModelProto, **options: Any) -> bytes:
    """The model quantized by onnxruntime: QDQ, U8S8, weights of 7 bits, unless options say otherwise."""
    choices = {
        "quant_format": QuantFormat.QDQ,
        "activation_type": QuantType.QUInt8,
        "weight_type": QuantType.QInt8,
        "per_channel": True,
        "reduce_range": True,
        **options,
    }
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(onnx.shape_inference.infer_shapes(model), source)
        quantize_static(str(source), str(target), _Reader(feeds_of(model, 8)), **choices)
        return target.read_bytes()


def dynamically_quantized(model: onnx.ModelProto, **options: Any) -> bytes:
    """The model with activations quantized at run time, by onnxruntime: weights of 7 bits, unless options say else."""
    choices = {"weight_type": QuantType.QInt8, "reduce_range": True, **options}
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(onnx.shape_inference.infer_shapes(model), source)
        quantize_dynamic(str(source), str(target), **choices)
        return target.read_bytes()


def stock(model: bytes, feed: Feed, *, rewrite: bool = True) -> list[NDArray]:
    """What onnxruntime gives; without rewriting, quantized nodes are computed in float and nothing saturates."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    if not rewrite:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run(None, dict(feed))


def ours(model: bytes, feed: Feed, cache: Cache, threads: int = 1) -> tuple[list[NDArray], InferenceSession]:
    """What the kernels give, whether they are faster or not; and the session."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    shapes = [{name: array.shape for name, array in feed.items()}]
    session = InferenceSession(model, options, measure=False, cache=cache, shapes=shapes)
    return session.run(None, dict(feed)), session


def steps_of(session: InferenceSession) -> list[str]:
    """The kernels that a session runs, in order."""
    return [step.split(":")[0] for record in session.records for segment in record.segments for step in segment.steps]


def left_of(session: InferenceSession) -> dict[str, str]:
    """Operators left to onnxruntime, and why."""
    return {node.op: node.reason for record in session.records for node in record.left}


def output_scale(model: bytes) -> float:
    """The scale of the last quantization in a graph: one step of its output."""
    graph = onnx.ModelProto.FromString(model).graph
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    last = [node for node in graph.node if node.op_type == "QuantizeLinear"][-1]
    return float(arrays[last.input[1]].reshape(-1)[0])


__all__ = [
    "dynamically_quantized",
    "feeds_of",
    "left_of",
    "net",
    "ours",
    "output_scale",
    "quantized",
    "steps_of",
    "stock",
]
