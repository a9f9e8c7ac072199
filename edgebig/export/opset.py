"""Which operator set and file version to write: what the installed onnxruntime really loads, found by trying."""

from functools import cache
from typing import Any

import onnx
import onnx_ir as ir

from edgebig.dependencies import require
from edgebig.errors import UsageError
from edgebig.graph.opset import MINIMUM_OPSET

# The newest that serves, not the newest that loads. Measured with torch 2.13 and onnxruntime 1.31, which loads to 26:
# - 23 and later: torch writes its attention as the operator Attention, whose CPU kernel refuses a broadcast mask: an
#   nn.TransformerEncoderLayer with a padding mask loads, and fails when it runs.
# - 22 only adds bfloat16 to old operators, but makes new versions of them, which execution providers must register:
#   onnxruntime's list of CUDA kernels lacks GlobalAveragePool, ConvTranspose and GRU, its CPU RandomNormalLike.
# - 21 and 20 fuse Gelu, which 18 leaves as Erf; 21 has int4 in QuantizeLinear, and onnxruntime since 1.18 loads it.
# EfficientNet-Lite0 and MiniLM-L6 run equally fast at 20 to 23, and the same nodes become integer kernels after QDQ.
PREFERRED_OPSET = 21


def choose_opset(requested: int | None) -> int:
    """The operator set to export to.

    Args:
        requested: What the user asks for; None: `PREFERRED_OPSET`, or the newest that the installed onnxruntime loads
            where that is older.

    Raises:
        UsageError: The one asked for is older than edgebig works with, or onnxruntime does not load it.
    """
    newest = newest_loadable_opset()
    if requested is None:
        return min(PREFERRED_OPSET, newest)
    if not MINIMUM_OPSET <= requested <= newest:
        raise UsageError(
            f"opset {requested}: the installed onnxruntime loads up to {newest}, and per-channel quantization needs "
            f"{MINIMUM_OPSET}. Choose one from {MINIMUM_OPSET} to {newest}."
        )
    return requested


@cache
def newest_loadable_opset() -> int:
    """The newest operator set of which the installed onnxruntime loads and runs a model of one node."""
    return next(v for v in range(onnx.defs.onnx_opset_version(), 0, -1) if _loads(opset=v, ir_version=8))


@cache
def newest_loadable_ir_version() -> int:
    """The newest version of the file format that the installed onnxruntime loads."""
    return next(v for v in range(int(onnx.IR_VERSION), 0, -1) if _loads(opset=MINIMUM_OPSET, ir_version=v))


def stamp_ir_version(model: ir.Model) -> None:
    """Write the oldest file version that the model's operator sets allow, so that old runtimes load it too."""
    ids = [onnx.helper.make_opsetid(domain, version) for domain, version in model.opset_imports.items()]
    needed = onnx.helper.find_min_ir_version_for(ids, ignore_unknown=True)
    # The format's own features: functions came with 8, metadata on nodes with 10.
    model.ir_version = min(max(needed, 10 if model.opset_imports.get("", 0) >= 20 else 8), newest_loadable_ir_version())


def _loads(*, opset: int, ir_version: int) -> bool:
    ort: Any = require("onnxruntime", extra="cpu", purpose="edgebig export")
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    result = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "probe", [value], [result])
    opsets = [onnx.helper.make_opsetid("", opset)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception:  # onnxruntime raises many classes without a common base; each of them answers the question
        return False
    return True
