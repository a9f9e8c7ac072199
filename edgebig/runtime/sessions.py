"""onnxruntime sessions for measuring: of models in memory, on the CPU, with a given number of threads."""

import tempfile
from pathlib import Path
from typing import Any

import onnx_ir as ir
import onnxruntime as ort

from edgebig.graph.save import EXTERNAL_THRESHOLD, weight_bytes, write_model
from edgebig.runtime.bridge import attach

# Above this, weights go to onnxruntime through a file, which it maps, and not through protobuf.
IN_MEMORY = 100_000_000


def options_for(threads: int, *, rewrite: bool = True) -> Any:
    """Options of a session that only measures."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    if not rewrite:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def open_model(model: ir.Model, threads: int, *, kernels: bool = False, rewrite: bool = True) -> Any:
    """A session of a model in memory.

    Args:
        model: The model.
        threads: Within an operator; 0 leaves the choice to onnxruntime.
        kernels: Whether it holds segments.
        rewrite: Whether onnxruntime optimizes the graph.
    """
    options = options_for(threads, rewrite=rewrite)
    if kernels:
        attach(options)
    return open_with(model, lambda source: ort.InferenceSession(source, options, providers=["CPUExecutionProvider"]))


def open_with(model: ir.Model, opener: Any) -> Any:
    """Hand a model to onnxruntime: as bytes, or where its weights are large as a file that is gone afterwards."""
    size = weight_bytes(model)
    if size <= IN_MEMORY:
        return opener(to_bytes(model))
    with tempfile.TemporaryDirectory(prefix="edgebig-") as folder:
        path = Path(folder) / "model.onnx"
        write_model(model, path, external_data=size > EXTERNAL_THRESHOLD)
        return opener(str(path))


def to_bytes(model: ir.Model) -> bytes:
    """The model as one message; external tensors are read."""
    copy = model.clone()
    for graph in copy.graphs():
        for value in graph.initializers.values():
            if isinstance(value.const_value, ir.ExternalTensor):
                tensor = value.const_value
                value.const_value = ir.tensor(tensor.numpy(), dtype=tensor.dtype, name=tensor.name)
    return bytes(ir.to_proto(copy).SerializeToString())
