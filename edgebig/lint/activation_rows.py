"""The rows that a product multiplies: a convolution's patches, a matrix product's rows, as the kernels see them."""

import numpy as np
from numpy.typing import NDArray

from edgebig.graph.edit import constant_array
from edgebig.lint.products import Product


def activation_rows(product: Product, integers: NDArray, most: int) -> list[NDArray]:
    """Rows of uint8 activations, evenly picked, one array [rows, inputs] per group.

    Args:
        product: The product; its weight is constant.
        integers: What goes in: uint8 or int8 (then raised by 128, as onnxruntime does it on x86).
        most: At most this many rows.

    Returns:
        The rows of each group; empty where the geometry is not followed (more than two spatial axes, transA).
    """
    if integers.dtype == np.int8:
        integers = (integers.view(np.uint8) ^ np.uint8(0x80)).astype(np.uint8)
    if product.twin == "Conv":
        return _patches(product, integers, most)
    if product.node.attributes.get_int("transA", 0):
        return []
    rows = integers.reshape(-1, integers.shape[-1])
    return [rows[_picked(len(rows), most)]]


def _picked(count: int, most: int) -> NDArray:
    return np.arange(count) if count <= most else np.linspace(0, count - 1, most).astype(np.int64)


def _patches(product: Product, integers: NDArray, most: int) -> list[NDArray]:
    weight = constant_array(product.weight)
    if weight is None or weight.ndim not in (3, 4) or integers.ndim != weight.ndim:
        return []
    if weight.ndim == 3:  # one spatial axis is two, the first of size 1
        weight, integers = weight[:, :, None], integers[:, :, None]
    kernel = weight.shape[2:]
    strides, dilations, pads = _geometry(product, integers.shape[2:], kernel)
    padding = ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3]))
    padded = np.pad(integers, padding, constant_values=_zero(product))
    reach = [dilation * (size - 1) + 1 for dilation, size in zip(dilations, kernel, strict=True)]
    sizes = [(padded.shape[2 + axis] - reach[axis]) // strides[axis] + 1 for axis in range(2)]
    if min(sizes) < 1:
        return []
    picked = _picked(len(padded) * sizes[0] * sizes[1], most)
    sample, rest = np.divmod(picked, sizes[0] * sizes[1])
    row, column = np.divmod(rest, sizes[1])
    taps = [
        padded[sample, :, row * strides[0] + y * dilations[0], column * strides[1] + x * dilations[1]]
        for y in range(kernel[0])
        for x in range(kernel[1])
    ]
    patches = np.stack(taps, axis=1)  # [rows, kernel positions, channels]
    per_group = patches.shape[2] // product.groups
    return [
        patches[:, :, group * per_group : (group + 1) * per_group].reshape(len(picked), -1)
        for group in range(product.groups)
    ]


def _zero(product: Product) -> int:
    """The integer that padding holds: that of the number 0."""
    params = product.activation_params
    point = 0 if params is None else int(params.zero_point.reshape(-1)[0])
    signed = params is not None and params.dtype is not None and params.dtype.name == "INT8"
    return point + 128 if signed else point


def _geometry(
    product: Product, size: tuple[int, ...], kernel: tuple[int, ...]
) -> tuple[list[int], list[int], list[int]]:
    """Strides, dilations and pads (begins, then ends), always of two axes."""
    attributes = product.node.attributes
    strides = _two(attributes.get_ints("strides"), 1)
    dilations = _two(attributes.get_ints("dilations"), 1)
    pads = [int(pad) for pad in attributes.get_ints("pads") or ()]
    pads = pads if len(pads) == 4 else [0, pads[0], 0, pads[1]] if len(pads) == 2 else [0, 0, 0, 0]
    mode = attributes.get_string("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        begins, ends = [], []
        for axis in range(2):
            outputs = -(-size[axis] // strides[axis])
            total = max((outputs - 1) * strides[axis] + dilations[axis] * (kernel[axis] - 1) + 1 - size[axis], 0)
            smaller, larger = total // 2, total - total // 2
            begins.append(smaller if mode == "SAME_UPPER" else larger)
            ends.append(larger if mode == "SAME_UPPER" else smaller)
        pads = begins + ends
    return strides, dilations, pads


def _two(values: object, default: int) -> list[int]:
    given = [int(value) for value in values] if isinstance(values, list | tuple) else []
    if len(given) == 2:
        return given
    return [1, given[0]] if len(given) == 1 else [default, default]
