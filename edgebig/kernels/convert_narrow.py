"""Images of two to four channels, as cameras give them: channels first to channels last and back, without planes.

A few neighbouring pixels of all channels are interleaved, or taken apart, by shuffles within registers.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from edgebig.kernels.convert_plane import Load, Store
from edgebig.kernels.elementwise_loop import runner, share
from edgebig.kernels.vector import I8, Loop, Value, at, const, load, minimum, shuffle, store, vector_of

MOST_CHANNELS = 4
_PIXELS = 16


def gathered(batch: int, channels: int, pixels: int, tasks: int, read: Load) -> Callable[..., Any]:
    """The step that makes bytes [batch, pixels, channels] of floats [batch, channels, pixels], by `read`."""

    def emit(b: ir.IRBuilder, x: Value, y: Value, pixel: Value, lanes: int) -> None:
        source = b.add(x, b.mul(pixel, const(4)))
        parts = [read(b, at(b, source, 4 * pixels * channel), lanes) for channel in range(channels)]
        whole = concatenated(b, parts)
        mixed = shuffle(b, whole, whole, [lanes * channel + i for i in range(lanes) for channel in range(channels)])
        store(b, mixed, b.add(y, b.mul(pixel, const(channels))))

    return _over_pixels(batch, pixels, tasks, 4 * channels * pixels, channels * pixels, emit)


def scattered(batch: int, channels: int, pixels: int, tasks: int, write: Store) -> Callable[..., Any]:
    """The step that makes floats [batch, channels, pixels] of bytes [batch, pixels, channels], by `write`."""

    def emit(b: ir.IRBuilder, x: Value, y: Value, pixel: Value, lanes: int) -> None:
        whole = load(b, b.add(x, b.mul(pixel, const(channels))), vector_of(I8, lanes * channels))
        target = b.add(y, b.mul(pixel, const(4)))
        for channel in range(channels):
            part = shuffle(b, whole, whole, range(channel, lanes * channels, channels))
            write(b, part, at(b, target, 4 * pixels * channel))

    return _over_pixels(batch, pixels, tasks, channels * pixels, 4 * channels * pixels, emit)


def concatenated(b: ir.IRBuilder, parts: list[Value]) -> Value:
    """Two to four vectors of one length, one after the other; what lies behind three is undefined."""
    lanes = parts[0].type.count
    pairs = [shuffle(b, parts[i], parts[min(i + 1, len(parts) - 1)], range(2 * lanes)) for i in range(0, len(parts), 2)]
    return pairs[0] if len(pairs) == 1 else shuffle(b, pairs[0], pairs[1], range(4 * lanes))


def _over_pixels(
    batch: int, pixels: int, tasks: int, x_image: int, y_image: int, emit: Callable[..., None]
) -> Callable[..., Any]:
    """A step that does some neighbouring pixels at a time; the last ones overlap those before."""
    lanes = min(_PIXELS, 1 << (pixels.bit_length() - 1))

    def body(b: ir.IRBuilder, x: Value, y: Value, task: Value) -> None:
        first, last = share(b, -(-pixels // lanes), tasks, task)
        image = Loop(b, const(batch))
        source = b.add(x, b.mul(image.index, const(x_image)))
        target = b.add(y, b.mul(image.index, const(y_image)))
        block = Loop(b, last, start=first)
        emit(b, source, target, minimum(b, b.mul(block.index, const(lanes)), const(pixels - lanes)), lanes)
        block.end()
        image.end()

    return runner(2, body)
