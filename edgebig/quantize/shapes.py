"""Shapes of all values on one real sample: dynamic axes get the sizes they have there."""

from collections.abc import Sequence

import onnx_ir as ir

from edgebig.data.feeds import Feed
from edgebig.graph.edit import expose_outputs
from edgebig.graph.session import Session
from edgebig.graph.shapes import infer_shapes, static_shape

# Values whose shapes inference cannot tell are computed; so many at once, to bound the memory.
_AT_ONCE = 8


def shapes_on(model: ir.Model, feed: Feed) -> dict[str, tuple[int, ...]]:
    """Value name -> shape, for the values of the top-level graph.

    Args:
        model: The model; it stays as it is.
        feed: One sample.
    """
    copy = model.clone()
    for value in copy.graph.inputs:
        if value.name in feed:
            value.shape = ir.Shape(feed[value.name].shape)
    infer_shapes(copy)
    shapes: dict[str, tuple[int, ...]] = {}
    unknown = []
    for value in (*copy.graph.inputs, *(output for node in copy.graph for output in node.outputs)):
        shape = static_shape(value)
        if shape is not None:
            shapes[value.name or ""] = shape
        elif value.name and value.dtype is not None:
            unknown.append(value.name)
    for start in range(0, len(unknown), _AT_ONCE):
        shapes.update(_computed(model, feed, unknown[start : start + _AT_ONCE]))
    return shapes


def stated_shapes(model: ir.Model) -> dict[str, tuple[int, ...]]:
    """Value name -> shape, for the values of the top-level graph whose shapes are fixed."""
    values = (*model.graph.inputs, *(output for node in model.graph for output in node.outputs))
    shapes = {value.name or "": static_shape(value) for value in values}
    return {name: shape for name, shape in shapes.items() if shape is not None}


def _computed(model: ir.Model, feed: Feed, names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    with Session(expose_outputs(model, names)) as session:
        return {name: array.shape for name, array in session.run(feed).items()}
