"""Tensors stored badly: never read, stored twice, or 8-bit numbers spread over up to ten bytes each."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from edgebig.lint.context import Context, finding
from edgebig.lint.rule import Rule
from edgebig.passes.merge_initializers import MergeInitializers
from edgebig.records.lint import Finding, Severity

UNUSED, DUPLICATE, VARINT = "unused-initializer", "duplicate-initializer", "varint-tensor"
# Smaller tensors waste nothing worth a line.
LEAST_BYTES = 1024


def check_unused(context: Context) -> Iterator[Finding]:
    """Find initializers that nothing reads, such as float weights beside their quantized form."""
    unused = [value for graph in context.model.graphs() for value in _unused(graph)]
    size = sum(value.const_value.nbytes for value in unused if value.const_value is not None)
    if size >= LEAST_BYTES:
        kind = "float weights " if any(_is_float(value) for value in unused) else "tensors "
        yield finding(
            UNUSED,
            Severity.NOTE,
            None,
            f"{kind}that nothing reads lie in the file",
            detail=f"{len(unused)} initializers, {size / 1000:,.0f} KB, e.g. {unused[0].name!r}",
            advice="remove them",
            fixable=True,
        )


def fix_unused(model: ir.Model, context: Context, places: frozenset[str]) -> int:
    """Remove them."""
    count = 0
    for graph in model.graphs():
        for value in _unused(graph):
            del graph.initializers[value.name or ""]
            count += 1
    return count


def _unused(graph: ir.Graph) -> list[ir.Value]:
    return [
        value
        for value in graph.initializers.values()
        if not value.uses() and not value.is_graph_input() and not value.is_graph_output()
    ]


def _is_float(value: ir.Value) -> bool:
    return value.const_value is not None and value.const_value.dtype is ir.DataType.FLOAT


def check_duplicate(context: Context) -> Iterator[Finding]:
    """Find initializers of equal content."""
    count, wasted, example = 0, 0, ""
    for graph in context.model.graphs():
        alike: defaultdict[tuple[object, ...], list[ir.Value]] = defaultdict(list)
        for value in graph.initializers.values():
            tensor = value.const_value
            if tensor is not None and value.uses() and not value.is_graph_input() and tensor.nbytes >= LEAST_BYTES:
                alike[tensor.dtype, *tensor.shape.numpy()].append(value)
        for values in alike.values():
            digests = [_digest(value) for value in values] if len(values) > 1 else []
            for index, digest in enumerate(digests):
                if digest in digests[:index]:
                    count += 1
                    wasted += values[index].const_value.nbytes  # type: ignore[union-attr]
                    example = values[index].name or ""
    if count:
        yield finding(
            DUPLICATE,
            Severity.NOTE,
            None,
            "tensors of equal content are stored more than once",
            detail=f"{count} copies, {wasted / 1000:,.0f} KB, e.g. {example!r}",
            advice="let their readers share one",
            fixable=True,
        )


def fix_duplicate(model: ir.Model, context: Context, places: frozenset[str]) -> int:
    """Keep one of each."""
    return MergeInitializers().call(model).counts.get("initializers", 0)


def _digest(value: ir.Value) -> str:
    tensor = value.const_value
    if tensor is None or tensor.dtype is ir.DataType.STRING:
        return value.name or ""
    return hashlib.sha256(np.ascontiguousarray(tensor.numpy()).view(np.uint8).data).hexdigest()


def check_varint(context: Context) -> Iterator[Finding]:
    """Find 8-bit and smaller tensors in protobuf's int32_data, which writes each number apart (negative: ten bytes)."""
    values = [value for graph in context.model.graphs() for value in graph.initializers.values() if _is_varint(value)]
    if values:
        size = sum(value.const_value.nbytes for value in values if value.const_value is not None)
        yield finding(
            VARINT,
            Severity.NOTE,
            None,
            "8-bit tensors are stored as varints (int32_data), one to ten bytes per number",
            detail=f"{len(values)} tensors of {size / 1000:,.0f} KB if stored plainly, e.g. {values[0].name!r}",
            advice="store them as raw_data",
            fixable=True,
        )


def fix_varint(model: ir.Model, context: Context, places: frozenset[str]) -> int:
    """Store them as raw bytes."""
    count = 0
    for graph in model.graphs():
        for value in graph.initializers.values():
            tensor = value.const_value
            if _is_varint(value) and tensor is not None:
                value.const_value = ir.tensor(np.array(tensor.numpy()), dtype=tensor.dtype, name=value.name)
                count += 1
    return count


def _is_varint(value: ir.Value) -> bool:
    tensor = value.const_value
    if not isinstance(tensor, ir.TensorProtoTensor) or tensor.nbytes < LEAST_BYTES:
        return False
    return tensor.dtype.bitwidth <= 8 and tensor.dtype.is_integer() and len(tensor.raw.int32_data) > 0


UNUSED_RULE = Rule(
    UNUSED, check_unused, source="microsoft/onnxruntime issue 21277", fix=fix_unused, repair="removed unread tensors"
)
DUPLICATE_RULE = Rule(
    DUPLICATE, check_duplicate, source="microsoft/onnxruntime issue 11701", fix=fix_duplicate, repair="merged tensors"
)
VARINT_RULE = Rule(
    VARINT,
    check_varint,
    source="protobuf encoding; onnx TensorProto",
    fix=fix_varint,
    repair="stored 8-bit tensors raw",
)
