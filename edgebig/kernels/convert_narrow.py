"""Images of two to four channels, as cameras give them: channels first to channels last and back, without planes.

A few neighbouring pixels of all channels are interleaved, or taken apart, by shuffles within registers.
"""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from edgebig.kernels.elementwise_loop import runner, share
from edgebig.kernels.numbers import unpacked
from edgebig.kernels.vector import I8, Loop, Value, at, const, load, minimum, shuffle, store, vector_of

MOST_CHANNELS = 4
_PIXELS = 16


def gathered(
    batch: int, channels: int, pixels: int, tasks: int, kinds: str, read: Callable[..., Value]
) -> Callable[..., Any]:
    """The step that makes bytes [batch, pixels, channels] of floats [batch, channels, pixels].

    What is loaded is `read(builder, address, lanes, numbers)`, numbers of these kinds.
    """

    def emit(b: ir.IRBuilder, x: Value, y: Value, pixel: Value, lanes: int, numbers: Sequence[Value]) -> None:
        source = b.add(x, b.mul(pixel, const(4)))
        parts = [read(b, at(b, source, 4 * pixels * channel), lanes, numbers) for channel in range(channels)]
        whole = concatenated(b, parts)
        mixed = shuffle(b, whole, whole, [lanes * channel + i for i in range(lanes) for channel in range(channels)])
        store(b, mixed, b.add(y, b.mul(pixel, const(channels))))

    return _over_pixels(batch, pixels, tasks, (4 * channels * pixels, channels * pixels), kinds, emit)


def scattered(
    batch: int, channels: int, pixels: int, tasks: int, kinds: str, write: Callable[..., None]
) -> Callable[..., Any]:
    """The step that makes floats [batch, channels, pixels] of bytes [batch, pixels, channels].

    `write(builder, vector, address, numbers)` stores, with numbers of these kinds.
    """

    def emit(b: ir.IRBuilder, x: Value, y: Value, pixel: Value, lanes: int, numbers: Sequence[Value]) -> None:
        whole = load(b, b.add(x, b.mul(pixel, const(channels))), vector_of(I8, lanes * channels))
        target = b.add(y, b.mul(pixel, const(4)))
        for channel in range(channels):
            part = shuffle(b, whole, whole, range(channel, lanes * channels, channels))
            write(b, part, at(b, target, 4 * pixels * channel), numbers)

    return _over_pixels(batch, pixels, tasks, (channels * pixels, 4 * channels * pixels), kinds, emit)


def concatenated(b: ir.IRBuilder, parts: list[Value]) -> Value:
    """Two to four vectors of one length, one after the other; what lies behind three is undefined."""
    lanes = parts[0].type.count
    pairs = [shuffle(b, parts[i], parts[min(i + 1, len(parts) - 1)], range(2 * lanes)) for i in range(0, len(parts), 2)]
    return pairs[0] if len(pairs) == 1 else shuffle(b, pairs[0], pairs[1], range(4 * lanes))


def _over_pixels(
    batch: int, pixels: int, tasks: int, images: tuple[int, int], kinds: str, emit: Callable[..., None]
) -> Callable[..., Any]:
    """A step that does some neighbouring pixels at a time; the last ones overlap those before.

    `images` are the bytes of an image of x, and of y.
    """
    lanes = min(_PIXELS, 1 << (pixels.bit_length() - 1))

    def body(b: ir.IRBuilder, x: Value, numbers: Value, y: Value, task: Value) -> None:
        scalars = unpacked(b, numbers, kinds)
        first, last = share(b, -(-pixels // lanes), tasks, task)
        image = Loop(b, const(batch))
        source = b.add(x, b.mul(image.index, const(images[0])))
        target = b.add(y, b.mul(image.index, const(images[1])))
        block = Loop(b, last, start=first)
        emit(b, source, target, minimum(b, b.mul(block.index, const(lanes)), const(pixels - lanes)), lanes, scalars)
        block.end()
        image.end()

    return runner(3, body)
