"""Resize and Upsample by nearest neighbours: which pixel is nearest, onnxruntime itself is asked."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.kernels.resize import NearestResize
from edgebig.runtime.lower.builder import NHWC, Builder, shape_of
from edgebig.runtime.lower.probe import run_alone
from edgebig.runtime.lower.refusal import Refusal
from edgebig.runtime.lower.tensors import Lookup, Tensor
from edgebig.runtime.plan import ELEMENT_BYTES


def lower_resize(b: Builder, node: ir.Node) -> None:
    """Lower a Resize of images in mode "nearest"; quantized images stay quantized."""
    if node.attributes.get_string("mode", "nearest") != "nearest":
        raise Refusal("it interpolates")
    x, value = b.tensor(node.inputs[0]), node.outputs[0]
    shape = shape_of(value)
    if len(shape) != 4 or shape[:2] != x.shape[:2]:
        raise Refusal("it resizes other axes than those of an image")
    rows, columns = _nearest(node, x.shape, shape)
    source = x.source
    behind = source.of if isinstance(source, Lookup) else x
    view = b.view(behind, NHWC)
    batch, channels, height, width = x.shape
    step = NearestResize(
        batch,
        height,
        width,
        channels,
        shape[2],
        shape[3],
        bytes=ELEMENT_BYTES[view.element],
        tasks=b.tasks(view.size),
    )
    made = b.new(view.element, shape, NHWC, value.name or "")
    constants = b.constants(lambda: step.constants(rows, columns), ("rows", "columns"))
    b.emit(step, {"x": view, "y": made, **constants})
    resized = Tensor(value.name or "", behind.element, shape, [made])
    if isinstance(source, Lookup):
        resized = Tensor(resized.name, x.element, shape, source=Lookup(resized, source.table, source.affine))
    b.define(value, resized)


def _nearest(node: ir.Node, x: tuple[int, ...], y: tuple[int, ...]) -> tuple[NDArray, NDArray]:
    """The row and column of x that each row and column of y is."""
    batch, channels, height, width = x
    found = []
    for axis, size in ((2, height), (3, width)):
        numbers = np.arange(size, dtype=np.float32).reshape((1, 1, -1, 1) if axis == 2 else (1, 1, 1, -1))
        image = np.ascontiguousarray(np.broadcast_to(numbers, (batch, channels, height, width)))
        resized = run_alone(node, image).reshape(y)[0, 0]
        found.append((resized[:, 0] if axis == 2 else resized[0]).astype(np.int32))
    return found[0], found[1]
