"""MaxPool, AveragePool, GlobalAveragePool, and the mean over image axes."""

from math import prod
from typing import Any

import numpy as np
import onnx_ir as ir

from edgebig.graph.edit import constant_array
from edgebig.kernels.epilogue import Requantize
from edgebig.kernels.pool import AveragePool, GlobalAveragePool, MaxPool
from edgebig.runtime.lower.builder import Builder, shape_of
from edgebig.runtime.lower.convolution import padding
from edgebig.runtime.lower.follow import Tail, follow
from edgebig.runtime.lower.parameters import affine_input
from edgebig.runtime.lower.refusal import Refusal
from edgebig.runtime.lower.tensors import Affine, Lookup, Tensor
from edgebig.runtime.plan import Order


def lower_max_pool(b: Builder, node: ir.Node) -> None:
    """Lower a MaxPool. The largest quantized value stands for the largest real one, so quantized tensors stay so."""
    if len(node.outputs) > 1 and node.outputs[1].uses():
        raise Refusal("its indices are used")
    x, value = b.tensor(node.inputs[0]), node.outputs[0]
    fields, order = _window(node, x.shape, shape_of(value))
    quantized = affine_input(x)
    if quantized is None:
        view = b.view(x, order)
        made = b.result(value, x.element, order)
        element: Any = x.element
        step = MaxPool(**fields, element=element, tasks=b.tasks(view.size * prod(fields["kernel"])))
        b.emit(step, {"x": view, "y": made})
        return
    q, affine = quantized
    view = b.view(q, order)
    made = b.new("u8", shape_of(value), order, value.name or "")
    step = MaxPool(**fields, element="u8", tasks=b.tasks(view.size * prod(fields["kernel"]) // 4))
    b.emit(step, {"x": view, "y": made})
    pooled = Tensor(value.name or "", "u8", made.shape, [made])
    source = Lookup(pooled, x.source.table, affine) if isinstance(x.source, Lookup) else None
    b.define(value, Tensor(value.name or "", "f32", made.shape, source=source))


def lower_average(b: Builder, node: ir.Node) -> None:
    """Lower an AveragePool, a GlobalAveragePool, or a ReduceMean over all image axes."""
    x = b.tensor(node.inputs[0])
    fields, order = average_fields(node, x.shape, shape_of(node.outputs[0]))
    tail = follow(b, node.outputs[0])
    b.cover(tail.nodes)
    quantized = affine_input(x)
    if quantized is None:
        emit_average(b, tail, x, None, fields, order)
    else:
        emit_average(b, tail, quantized[0], quantized[1], fields, order)


def average_fields(node: ir.Node, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> tuple[dict[str, Any], Order]:
    """The window of an averaging node, and the layout its kernel wants."""
    if "Global" not in node.op_type and node.op_type != "ReduceMean":
        fields, order = _window(node, x_shape, y_shape)
        return {**fields, "count_include_pad": bool(node.attributes.get_int("count_include_pad", 0))}, order
    rank = len(x_shape)
    if rank not in (3, 4):
        raise Refusal(f"its input has {rank} axes")
    if node.op_type == "ReduceMean" and _mean_axes(node, rank) != tuple(range(2, rank)):
        raise Refusal("it reduces other axes than those of an image")
    height = 1 if rank == 3 else x_shape[2]
    sizes = {"batch": x_shape[0], "height": height, "width": x_shape[-1], "channels": x_shape[1]}
    return {**sizes, "kernel": (height, x_shape[-1])}, (0, *range(2, rank), 1)


def emit_average(
    b: Builder, tail: Tail, x: Tensor, affine: Affine | None, fields: dict[str, Any], order: Order
) -> None:
    """Emit a mean over windows of a quantized tensor, or of a float one (no affine)."""
    view = b.view(x, order)
    shape = shape_of(tail.value)
    made = b.result(tail.value, "u8" if tail.affine else "f32", order if len(shape) == len(order) else None)
    scale, divisor = np.float32(1) if affine is None else affine.scale, tail.affine.scale if tail.affine else None
    sizes = {name: fields[name] for name in ("batch", "height", "width", "channels")}
    common: dict[str, Any] = {
        "x_zero_point": 0 if affine is None else affine.zero_point,
        "output": _output(tail),
        "element": "f32" if affine is None else "u8",
        "tasks": b.tasks(view.size),
    }
    step: AveragePool | GlobalAveragePool
    if fields["kernel"] == (fields["height"], fields["width"]) and "strides" not in fields:
        pixels = np.float32(fields["height"] * fields["width"])
        multiplier = float(scale / (pixels if divisor is None else divisor * pixels))
        step = GlobalAveragePool(**sizes, multiplier=multiplier, **common)
    else:
        step = AveragePool(**fields, multiplier=float(scale if divisor is None else scale / divisor), **common)
    b.emit(step, {"x": view, "y": made})


def _output(tail: Tail) -> Any:
    if tail.affine is not None:
        low, high = tail.bounds()
        return Requantize(tail.affine.zero_point, low, high)
    if not (np.isinf(tail.low) and np.isinf(tail.high)):
        raise Refusal("a relu follows it in float")
    return "f32"


def _mean_axes(node: ir.Node, rank: int) -> tuple[int, ...]:
    given = node.attributes.get_ints("axes", None)
    if given is None and len(node.inputs) > 1:
        array = constant_array(node.inputs[1])
        given = None if array is None else array.reshape(-1).tolist()
    return tuple(sorted(int(axis) % rank for axis in given or ()))


def _window(node: ir.Node, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> tuple[dict[str, Any], Order]:
    spatial = len(x_shape) - 2
    if spatial not in (1, 2):
        raise Refusal(f"it has {spatial} spatial axes")
    kernel = tuple(node.attributes.get_ints("kernel_shape", ()) or ())
    strides = tuple(node.attributes.get_ints("strides", [1] * spatial) or ())
    dilations = tuple(node.attributes.get_ints("dilations", [1] * spatial) or ())
    pads = padding(node, x_shape[2:], y_shape[2:], kernel, strides, dilations)
    sizes = [
        (x + before + after - (k - 1) * d - 1) // s + 1
        for x, before, after, k, s, d in zip(
            x_shape[2:], pads[:spatial], pads[spatial:], kernel, strides, dilations, strict=True
        )
    ]
    if tuple(sizes) != tuple(y_shape[2:]):
        raise Refusal("its window is rounded up beyond the padding (ceil_mode)")
    if spatial == 1:
        kernel, strides, dilations = (1, *kernel), (1, *strides), (1, *dilations)
        pads = (0, pads[0], 0, pads[1])
    fields: dict[str, Any] = {
        "batch": x_shape[0],
        "height": 1 if spatial == 1 else x_shape[2],
        "width": x_shape[-1],
        "channels": x_shape[1],
        "kernel": kernel,
        "strides": strides,
        "pads": pads,
        "dilations": dilations,
    }
    return fields, (0, *range(2, len(x_shape)), 1)
