"""Panels against windows cut out with numpy, on images that end at guard pages."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from numpy.typing import NDArray

from edgebig.kernels.integer import Int
from edgebig.kernels.panel import Panel, Values, Window
from edgebig.kernels.vector import function_of
from tests.kernels.memory import guarded

TYPES = {"u8": np.uint8, "s8": np.int8, "i16": np.int16, "f32": np.float32}


def gathered(window: Window, kind: str, x: NDArray[Any], first: int, last: int) -> NDArray[Any]:
    """What the kernel puts into rows first..last - 1, as rows of values."""
    inner = window.kernel[0] * window.kernel[1] * window.channels
    values = Values(kind)
    panel = Panel(window, values, inner * values.panel_bytes)
    work = function_of(4, lambda b, *values: panel.emit(b, *(Int(b, value) for value in values)))
    call = njit(lambda x, y, first, last: work(x, y, first, last))
    y = guarded(np.full((last - first, inner), 99, TYPES[kind]))
    call(guarded(x).ctypes.data, y.ctypes.data, first, last)
    return y


def cut(window: Window, x: NDArray[Any]) -> NDArray[Any]:
    """All windows of [batch, height, width, pitch] by indexing."""
    rows = []
    for image in x:
        for row in range(window.out_height):
            for column in range(window.out_width):
                part = []
                for i in range(window.kernel[0]):
                    for j in range(window.kernel[1]):
                        down = row * window.strides[0] - window.pads[0] + i * window.dilations[0]
                        right = column * window.strides[1] - window.pads[1] + j * window.dilations[1]
                        inside = 0 <= down < window.height and 0 <= right < window.width
                        empty = np.full(window.channels, window.padding, x.dtype)
                        part.append(image[down, right, : window.channels] if inside else empty)
                rows.append(np.concatenate(part))
    return np.array(rows)


def converted(kind: str, rows: NDArray[Any]) -> NDArray[Any]:
    """Values as the panel holds them."""
    return (rows ^ 0x80).view(np.int8) if kind == "s8" else rows.astype(TYPES[kind])


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("channels", [1, 3, 8, 33, 300])
def test_conversions_and_lengths(kind: str, channels: int) -> None:
    x = np.random.default_rng(channels).integers(0, 256, (2, 3, 4, channels)).astype(np.uint8)
    x = x.astype(np.float32) if kind == "f32" else x
    padding = 0 if kind == "f32" else 250
    window = Window(3, 4, 3, 4, channels, (3, 3), (1, 1), (1, 1), (1, 1), True, channels, padding)
    np.testing.assert_array_equal(gathered(window, kind, x, 0, 24), converted(kind, cut(window, x)))
    np.testing.assert_array_equal(gathered(window, kind, x, 10, 15), converted(kind, cut(window, x)[10:15]))


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_window(data: st.DataObject) -> None:
    def integer(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    kernel, dilations = (integer(1, 4), integer(1, 4)), (integer(1, 3), integer(1, 3))
    strides, pads, after = (
        (integer(1, 3), integer(1, 3)),
        (integer(0, 3), integer(0, 3)),
        (integer(0, 3), integer(0, 3)),
    )
    spans = tuple((size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations, strict=True))
    sizes = tuple(
        max(1, span - before - end) + integer(0, 5) for span, before, end in zip(spans, pads, after, strict=True)
    )
    out = tuple(
        (size + before + end - span) // stride + 1
        for size, before, end, span, stride in zip(sizes, pads, after, spans, strides, strict=True)
    )
    channels = integer(1, 9)
    pitch = channels + data.draw(st.sampled_from([0, 0, 3]))
    padded = any(pads) or any(after)
    window = Window(*sizes, *out, channels, kernel, strides, dilations, pads, padded, pitch, integer(0, 255))
    x = np.random.default_rng(0).integers(0, 256, (2, *sizes, pitch)).astype(np.uint8)
    kind = data.draw(st.sampled_from(["u8", "s8", "i16"]))
    rows = 2 * out[0] * out[1]
    first = integer(0, rows - 1)
    last = integer(first, rows)
    right = converted(kind, cut(window, x))[first:last]
    np.testing.assert_array_equal(gathered(window, kind, x, first, last), right)
