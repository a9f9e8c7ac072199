"""Give dynamic axes stated sizes, so that costs can be counted."""

import math
from collections.abc import Mapping

import onnx_ir as ir
from onnxscript.optimizer import fold_constants_ir

from edgebig.errors import UsageError
from edgebig.graph.load import describe_source
from edgebig.graph.quiet import quiet_libraries
from edgebig.graph.shapes import infer_shapes, static_shape

# Shapes are a few numbers each; larger constants are weights, which are not computed with here.
FOLDING_LIMIT = 1024
FOLDING_ROUNDS = 4


def dynamic_axes(model: ir.Model) -> dict[str, list[tuple[ir.Value, int]]]:
    """The dynamic axes of the model's inputs by name; INPUT:AXIS for an axis without one."""
    axes: dict[str, list[tuple[ir.Value, int]]] = {}
    for value in model.graph.inputs:
        for axis, size in enumerate(value.shape or ()):
            if not isinstance(size, int):
                axes.setdefault(size.value or f"{value.name}:{axis}", []).append((value, axis))
    return axes


def with_sizes(
    model: ir.Model, sizes: Mapping[str, int], *, default: int
) -> tuple[ir.Model, dict[str, int], str | None]:
    """A copy whose dynamic axes have sizes, with every shape inferred that follows from them.

    Args:
        model: The model; it stays as it is.
        sizes: Size by name of the axis.
        default: The size of the axes not named.

    Returns:
        The copy, the size used for every dynamic axis, and why inference failed (None where it worked).

    Raises:
        UsageError: No dynamic axis has a name given.
    """
    copy = model.clone()
    axes = dynamic_axes(copy)
    if unknown := [name for name in sizes if name not in axes]:
        known = ", ".join(axes) or "none"
        raise UsageError(f"{describe_source(model)} has no dynamic axis {unknown[0]!r}. Its dynamic axes: {known}.")
    used = {name: sizes.get(name, default) for name in axes}
    for name, places in axes.items():
        for value, axis in places:
            shape = list(value.shape or ())
            shape[axis] = used[name]
            value.shape = ir.Shape(shape)
    for graph in copy.graphs():
        for node in graph:
            for value in node.outputs:
                if value.shape is not None:
                    value.shape = ir.Shape([_sized(size, used) for size in value.shape])
    reason = infer_shapes(copy)
    _fill_by_folding(copy)
    return copy, used, reason


def _fill_by_folding(model: ir.Model) -> None:
    """Find shapes that depend on computed shapes, by computing them on a copy; take over what was unknown."""
    values = [value for graph in model.graphs() for node in graph for value in node.outputs]
    if all(static_shape(value) is not None for value in values):
        return
    folded = model.clone()
    found: dict[str | None, ir.Shape | None] = {}
    with quiet_libraries():
        for _ in range(FOLDING_ROUNDS):
            try:
                modified = _fold(folded)
            except Exception:  # a helper's failure leaves sizes unknown, as they were
                return
            infer_shapes(folded)
            for graph in folded.graphs():
                found |= {
                    value.name: value.shape
                    for node in graph
                    for value in node.outputs
                    if static_shape(value) is not None
                }
            if not modified:
                break
    for value in values:
        if static_shape(value) is None and found.get(value.name) is not None:
            value.shape = found[value.name]


def _fold(model: ir.Model) -> bool:
    limits = {"input_size_limit": FOLDING_LIMIT, "output_size_limit": FOLDING_LIMIT}
    return bool(fold_constants_ir(model, onnx_shape_inference=True, should_fold=_is_small_fill, **limits).modified)


def _is_small_fill(node: ir.Node) -> bool | None:
    """onnxscript leaves ConstantOfShape alone, through which the padding of some models is computed."""
    shape = static_shape(node.outputs[0]) if node.op_type == "ConstantOfShape" else None
    return True if shape is not None and math.prod(shape) <= FOLDING_LIMIT else None


def _sized(size: int | ir.SymbolicDim, used: Mapping[str, int]) -> int | ir.SymbolicDim:
    return size if isinstance(size, int) else used.get(size.value or "", size)
