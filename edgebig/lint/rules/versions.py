"""Operator set and IR version: too old for what the file holds, or newer than the runtime reads."""

from collections.abc import Iterator

import onnx
import onnx_ir as ir

from edgebig.graph.load import all_nodes
from edgebig.graph.opset import opset_version, raise_opset
from edgebig.lint.context import Context, finding
from edgebig.lint.quantized import STANDARD, integer_dtype, is_dequantize, is_quantize, qparams
from edgebig.lint.rule import Rule
from edgebig.records.lint import Finding, Severity

OLD, NEW = "opset-too-old", "version-too-new"
SMALL = ("INT4", "UINT4", "INT16", "UINT16", "FLOAT8E4M3FN", "FLOAT8E5M2")
PER_CHANNEL_OPSET, BLOCK_OPSET = 13, 21


def check_old(context: Context) -> Iterator[Finding]:
    """Find quantization that the file's operator set cannot say, and files below what the target's tools read."""
    opset = context.opset
    if not opset:
        return
    needed = required_opset(context.model)
    if opset < needed:
        yield finding(
            OLD,
            Severity.REFUSED,
            None,
            f"the file is of opset {opset}, and holds "
            + ("scales per channel" if needed == PER_CHANNEL_OPSET else "4-bit, 16-bit or blocked quantization")
            + f", which DequantizeLinear has since opset {needed}: no runtime loads it, or reads it wrong",
            advice=f"raise it to opset {needed}",
            fixable=True,
        )
    elif opset < context.target.minimum_opset and any(is_dequantize(node) for node in context.nodes):
        yield finding(
            OLD,
            Severity.NOTE,
            None,
            f"the file is of opset {opset}; QDQ for {context.target.name} wants {context.target.minimum_opset}",
            advice=f"raise it to opset {context.target.minimum_opset}",
            fixable=True,
        )


def required_opset(model: ir.Model) -> int:
    """The opset from which on the model's quantization can be written; 0 for any."""
    needed = 0
    for node in all_nodes(model):
        if node.domain not in STANDARD or not (is_quantize(node) or is_dequantize(node)):
            continue
        dtype, params = integer_dtype(node), qparams(node)
        if "block_size" in node.attributes or (dtype is not None and dtype.name in SMALL[:4]):
            return BLOCK_OPSET
        if params is not None and params.scale.ndim == 1 and params.scale.size > 1:
            needed = PER_CHANNEL_OPSET
    return needed


def fix_old(model: ir.Model, context: Context, places: frozenset[str]) -> int:
    """Raise the operator set."""
    raise_opset(model, max(required_opset(model), context.target.minimum_opset))
    return 1


def check_new(context: Context) -> Iterator[Finding]:
    """Compare both versions with those that the runtime reads."""
    release, target = context.release, context.target
    if release is None:
        return
    runtime = f"{target.runtime} {release.version}"
    if context.opset > release.opset:
        yield finding(
            NEW,
            Severity.REFUSED,
            None,
            f"the file is of opset {context.opset}, and {runtime} reads up to {release.opset}",
            advice="export it with an older opset, or use a newer runtime",
        )
    if release.ir_version is not None and context.model.ir_version > release.ir_version:
        lowest = lowest_ir_version(context.model)
        yield finding(
            NEW,
            Severity.REFUSED,
            None,
            f"the file is of IR version {context.model.ir_version}, and {runtime} reads up to {release.ir_version}",
            advice=f"stamp it with IR version {max(lowest, 8)}, which is all that its operator sets need"
            if lowest <= release.ir_version
            else "export it with an older opset, or use a newer runtime",
            fixable=lowest <= release.ir_version,
        )


def lowest_ir_version(model: ir.Model) -> int:
    """The lowest IR version whose files may hold the model's operator sets; functions are known since 8."""
    opsets = [onnx.helper.make_opsetid(domain, version) for domain, version in model.opset_imports.items()]
    return int(max(onnx.helper.find_min_ir_version_for(opsets, ignore_unknown=True), 8 if model.functions else 4))


def fix_new(model: ir.Model, context: Context, places: frozenset[str]) -> int:
    """Stamp the model with the lowest IR version that holds it (8 at least: with it all readers are at ease)."""
    release = context.release
    if release is None or release.ir_version is None or opset_version(model) is None:
        return 0
    model.ir_version = min(max(lowest_ir_version(model), 8), release.ir_version)
    return 1


OLD_RULE = Rule(OLD, check_old, source="minimum_opset", fix=fix_old, repair="raised the operator set")
NEW_RULE = Rule(NEW, check_new, source="releases", fix=fix_new, repair="lowered the IR version")
