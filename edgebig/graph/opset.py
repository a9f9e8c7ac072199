"""The version of the standard operator set a model is written in, and raising it."""

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import InlinePass

from edgebig.errors import InvalidModelError, UsageError
from edgebig.graph.load import describe_source
from edgebig.graph.skeleton import skeleton

# The first with a scale per channel in DequantizeLinear; below it per-channel int8 cannot be written.
MINIMUM_OPSET = 13


def opset_version(model: ir.Model) -> int | None:
    """The model's version of the standard operator set (under either name of its domain); None if it imports none."""
    versions = [model.opset_imports[domain] for domain in ("", "ai.onnx") if domain in model.opset_imports]
    return max(versions, default=None)


def raise_opset(model: ir.Model, version: int) -> None:
    """Convert the model to a newer operator set, in place, by onnx's version converter.

    Functions are inlined first, since the converter does not look into them. Only the model's skeleton passes
    through the converter, so that weights of any size are fine.

    Args:
        model: The model; its names of inputs, outputs and nodes stay.
        version: The operator set wanted.

    Raises:
        UsageError: It is lower than the model's own, or newer than the installed onnx knows.
        InvalidModelError: An operator of the model has no conversion, or the model imports no standard operators.
    """
    current, newest = opset_version(model), onnx.defs.onnx_opset_version()
    if current is None:
        raise InvalidModelError(f"{describe_source(model)} imports no standard operator set that could be raised.")
    if version == current:
        return
    if version < current:
        raise UsageError(f"{describe_source(model)} is of opset {current}; it cannot be lowered to {version}.")
    if version > newest:
        raise UsageError(f"opset {version} is unknown to onnx {onnx.__version__}, whose newest is {newest}.")
    InlinePass()(model)
    bones = skeleton(model)
    try:
        converted = bones.restore(onnx.version_converter.convert_version(bones.proto, version))
    except Exception as e:  # the C++ code raises several classes without a common base
        reason = str(e).strip().split("\n")[0]
        raise InvalidModelError(
            f"{describe_source(model)}: onnx {onnx.__version__} cannot convert it from opset {current} to {version}: "
            f"{reason}"
        ) from e
    _keep_metadata(model.graph, converted.graph)
    model.graph = converted.graph
    opsets = [onnx.helper.make_opsetid(domain, number) for domain, number in model.opset_imports.items()]
    model.ir_version = max(model.ir_version, onnx.helper.find_min_ir_version_for(opsets, ignore_unknown=True))


def _keep_metadata(before: ir.Graph, after: ir.Graph) -> None:
    """The converter drops the graph's notes and the interface's; they are put back."""
    after.metadata_props.update(before.metadata_props)
    after.doc_string = before.doc_string
