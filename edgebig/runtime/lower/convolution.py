"""Conv, QLinearConv and ConvInteger: integer where input and weights are quantized, float otherwise."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.kernels import dots, sparse
from edgebig.kernels.dense import Conv
from edgebig.kernels.depthwise import Depthwise, FloatDepthwise, best_isa
from edgebig.kernels.epilogue import Requantize
from edgebig.kernels.sparse import SparseConv
from edgebig.kernels.step import Step
from edgebig.runtime.lower.builder import Builder, shape_of
from edgebig.runtime.lower.follow import Tail, follow
from edgebig.runtime.lower.parameters import Weights, affine_input, signed, weights_of
from edgebig.runtime.lower.refusal import Refusal
from edgebig.runtime.lower.tensors import Affine
from edgebig.runtime.plan import Order, View

CONSTANTS = ("weights", "bias", "multiplier")


@dataclass(frozen=True)
class Geometry:
    """A convolution as NHWC kernels see it; one-dimensional ones have height 1."""

    batch: int
    height: int
    width: int
    channels: int
    filters: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]
    groups: int
    order: Order

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of a dense kernel."""
        return {name: value for name, value in self.__dict__.items() if name != "order"}

    @property
    def depthwise(self) -> bool:
        """Whether every channel has one filter of its own."""
        return self.groups == self.channels == self.filters and self.groups > 1


def lower_conv(b: Builder, node: ir.Node) -> None:
    """Lower a Conv of a float (or dequantized) tensor."""
    x = b.tensor(node.inputs[0])
    weights = weights_of(node.inputs[1])
    if weights is None:
        raise Refusal("its weights are not constant 8-bit or float32")
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    bias_weights = weights_of(bias) if bias is not None else None
    if bias is not None and bias_weights is None:
        raise Refusal("its bias is not constant")
    geometry = geometry_of(node, x.shape, weights.array.shape, shape_of(node.outputs[0]))
    tail = follow(b, node.outputs[0], bias_axis=1)
    if tail.bias is not None:
        added = tail.bias if bias_weights is None else tail.bias + bias_weights.real()
        bias_weights = Weights(added.astype(np.float32))
    integer = affine_input(x)
    if integer is not None and weights.scale is not None:
        b.cover(tail.nodes)
        tensor, affine = integer
        emit_integer(b, tail, geometry, b.view(tensor, geometry.order), affine, weights, bias_weights)
    else:
        b.cover(tail.nodes)
        emit_float(b, tail, geometry, b.view(x, geometry.order), weights.real(), bias_weights)


def emit_integer(
    b: Builder, tail: Tail, geometry: Geometry, x: View, affine: Affine, weights: Weights, bias: Weights | None
) -> None:
    """Emit an integer convolution.

    Args:
        b: The lowering.
        tail: What follows it.
        geometry: Its shapes.
        x: View of the quantized input.
        affine: The input's scale and zero point.
        weights: [filters, channels / groups, kh, kw], scales along axis 0.
        bias: Of the outputs.
    """
    array, points = signed(weights, 0)
    array, points = without_zero_points(array.reshape(geometry.filters, -1, *geometry.kernel), points)
    scales = affine.scale * weights.scales(geometry.filters)
    integer_bias = None if bias is None else bias_steps(bias, scales)
    output, multiplier = requantization(tail, scales)
    step = _integer_step(b, geometry, array, points, affine.zero_point, output, tail)
    made = b.result(tail.value, "u8" if tail.affine else "f32", geometry.order)
    sparse_step = isinstance(step, SparseConv)
    # Only the dense kernel takes weights with zero points of their own.
    extra = {"weight_zero_point": points} if isinstance(step, Conv) and not sparse_step else {}
    names = ("weights", "index", "starts", "bias", "multiplier") if sparse_step else CONSTANTS
    packed = b.constants(lambda: step.constants(array, integer_bias, multiplier, **extra), names)
    b.emit(step, {"x": x, "y": made, **packed})


def _integer_step(
    b: Builder, geometry: Geometry, array: NDArray, points: NDArray, x_zero_point: int, output: Any, tail: Tail
) -> Any:
    pixels = geometry.batch * geometry.height * geometry.width // (geometry.strides[0] * geometry.strides[1])
    tasks = b.tasks(pixels * array.size)
    bounds = {} if tail.affine is not None else {"low": tail.low, "high": tail.high}
    if geometry.depthwise and not points.any():
        fields = {name: value for name, value in geometry.fields.items() if name not in ("groups", "filters")}
        if not bounds or (np.isinf(tail.low) and np.isinf(tail.high)):
            isa = best_isa(array, geometry.strides, geometry.dilations)
            return Depthwise(isa=isa, **fields, x_zero_point=x_zero_point, output=output, tasks=tasks)
    common = {**geometry.fields, "x_zero_point": x_zero_point, "output": output, "tasks": tasks, **bounds}
    dot = dots.best(array.astype(np.int32) - points.reshape(-1, 1, 1, 1)).name
    if points.any():
        return Conv(dot=dot, **common)
    if geometry.groups == 1 and sparse.pays(sparse.density(array)):
        return SparseConv(dot=dot, **{name: value for name, value in common.items() if name != "groups"})
    return Conv(dot=dot, **common)


def emit_float(b: Builder, tail: Tail, geometry: Geometry, x: View, weights: NDArray, bias: Weights | None) -> None:
    """Emit a float convolution; arguments as for `emit_integer`, the weights float32."""
    array = weights.reshape(geometry.filters, -1, *geometry.kernel)
    real_bias = None if bias is None else bias.real()
    pixels = geometry.batch * geometry.height * geometry.width // (geometry.strides[0] * geometry.strides[1])
    tasks = b.tasks(pixels * array.size)
    if tail.affine is not None:
        low, high = tail.bounds()
        output: Any = Requantize(tail.affine.zero_point, low, high)
        multiplier = np.full(geometry.filters, np.float32(1) / tail.affine.scale, np.float32)
        bounds: dict[str, Any] = {}
    else:
        output, bounds = "f32", {"low": tail.low, "high": tail.high}
        multiplier = np.ones(geometry.filters, np.float32)
    made = b.result(tail.value, "u8" if tail.affine else "f32", geometry.order)
    dot = dots.best(array.astype(np.float32)).name
    step: Step
    constants: Callable[[], Mapping[str, NDArray]]
    if geometry.depthwise:
        fields = {name: value for name, value in geometry.fields.items() if name not in ("groups", "filters")}
        depthwise = FloatDepthwise(isa=dot, **fields, output=output, tasks=tasks, **bounds)
        step, constants = depthwise, lambda: depthwise.constants(array, real_bias, multiplier)
    else:
        conv = Conv(dot=dot, **geometry.fields, output=output, tasks=tasks, **bounds)
        step, constants = conv, lambda: conv.constants(array, real_bias, multiplier)
    b.emit(step, {"x": x, "y": made, **b.constants(constants, CONSTANTS)})


def requantization(tail: Tail, scales: NDArray) -> tuple[Requantize | str, NDArray]:
    """How accumulators become outputs, and the multiplier of each channel: float32, as onnxruntime computes it."""
    if tail.affine is None:
        return "f32", scales.astype(np.float32)
    low, high = tail.bounds()
    return Requantize(tail.affine.zero_point, low, high), (scales / tail.affine.scale).astype(np.float32)


def without_zero_points(array: NDArray, points: NDArray) -> tuple[NDArray, NDArray]:
    """Weights with their zero points subtracted, where int8 holds the result; else both as they are."""
    if not points.any():
        return array, points
    centred = array.astype(np.int32) - points.reshape(-1, 1, 1, 1)
    if centred.min() < -128 or centred.max() > 127:
        return array, points
    return centred.astype(np.int8), np.zeros_like(points)


def bias_steps(bias: Weights, scales: NDArray) -> NDArray:
    """int32 [channels]: a bias in units of the accumulators."""
    stored = bias.array.dtype == np.int32
    if stored and (bias.scale is None or np.allclose(bias.scale, scales, rtol=1e-6, atol=0)):
        return bias.array
    steps = np.rint(bias.real().astype(np.float64) / scales.astype(np.float64))
    if np.abs(steps).max(initial=0) >= 2**30:
        raise Refusal("its bias does not fit 32 bits in units of the accumulators")
    return steps.astype(np.int32)


def geometry_of(
    node: ir.Node, x_shape: tuple[int, ...], w_shape: tuple[int, ...], y_shape: tuple[int, ...]
) -> Geometry:
    """Shapes of a convolution node.

    Raises:
        Refusal: It has more than two spatial axes.
    """
    spatial = len(x_shape) - 2
    if spatial not in (1, 2):
        raise Refusal(f"it has {spatial} spatial axes")
    kernel = tuple(w_shape[2:])
    strides = tuple(node.attributes.get_ints("strides", [1] * spatial) or ())
    dilations = tuple(node.attributes.get_ints("dilations", [1] * spatial) or ())
    pads = padding(node, x_shape[2:], y_shape[2:], kernel, strides, dilations)
    if spatial == 1:
        kernel, strides, dilations = (1, *kernel), (1, *strides), (1, *dilations)
        pads = (0, pads[0], 0, pads[1])
    height = 1 if spatial == 1 else x_shape[2]
    return Geometry(
        batch=x_shape[0],
        height=height,
        width=x_shape[-1],
        channels=x_shape[1],
        filters=w_shape[0],
        kernel=kernel,  # type: ignore[arg-type]
        strides=strides,  # type: ignore[arg-type]
        dilations=dilations,  # type: ignore[arg-type]
        pads=pads,  # type: ignore[arg-type]
        groups=node.attributes.get_int("group", 1) or 1,
        order=(0, *range(2, len(x_shape)), 1),
    )


def padding(
    node: ir.Node,
    x_sizes: tuple[int, ...],
    y_sizes: tuple[int, ...],
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
) -> tuple[int, ...]:
    """Begins, then ends, of the padding of a convolution or pooling node; auto_pad resolved."""
    auto = node.attributes.get_string("auto_pad", "NOTSET")
    spatial = len(kernel)
    if auto == "NOTSET":
        return tuple(node.attributes.get_ints("pads", [0] * (2 * spatial)) or ())
    if auto == "VALID":
        return (0,) * (2 * spatial)
    begins, ends = [], []
    for x, y, k, s, d in zip(x_sizes, y_sizes, kernel, strides, dilations, strict=True):
        total = max(0, (y - 1) * s + (k - 1) * d + 1 - x)
        small, large = total // 2, total - total // 2
        begins.append(large if auto == "SAME_LOWER" else small)
        ends.append(small if auto == "SAME_LOWER" else large)
    return (*begins, *ends)
