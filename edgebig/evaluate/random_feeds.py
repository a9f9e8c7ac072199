"""Random feeds made from what a model says of its inputs, for comparing two versions of it where nobody has samples.

A declared dynamic axis may hide a rule (a multiple of 32, 16000 or 8000 and nothing else), so several sizes and
ranges are tried, and those are kept that the original model runs on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgebig.data.feeds import Feed, InputSpec
from edgebig.errors import InvalidDataError, InvalidModelError
from edgebig.graph.session import Session

# (batch, any other dynamic axis); the first that run are used.
SIZES = ((2, 8), (1, 16), (3, 32), (1, 64), (2, 96), (1, 128), (1, 224), (1, 1), (2, 2))
# Integers below this bound: as indices they exist in almost any table; then the safest there is.
INTEGER_BOUNDS = (8, 2)
WANTED_SIZES = 2
REPEATS = 2


def random_feeds(session: Session, inputs: Sequence[InputSpec], *, seed: int) -> list[Feed]:
    """Feeds that the model runs on: two sizes of its dynamic axes where it has any, two draws of each.

    Floats are standard normal, integers lie in 0 .. 7 (0 .. 1 where those fail), booleans are either.

    Args:
        session: The model.
        inputs: Its inputs.
        seed: Of the random numbers.

    Raises:
        InvalidDataError: An input takes strings, or no feed made so runs and gives finite outputs.
    """
    for spec in inputs:
        if spec.dtype.kind not in "fiub":
            raise InvalidDataError(
                f"input {spec.name!r} takes no numbers, so none can be drawn. Give samples with --data."
            )
    generator = np.random.default_rng(seed)
    unknown_rank = any(spec.shape is None for spec in inputs)
    reason = "it has inputs of unknown rank" if unknown_rank else ""
    for bound in INTEGER_BOUNDS:
        found: list[Feed] = []
        sizes = 0
        for sizing in () if unknown_rank else _sizings(inputs):
            feeds = [_feed(inputs, sizing, bound, generator) for _ in range(REPEATS)]
            reason_here = next((why for why in (_failure(session, feed) for feed in feeds) if why), None)
            if reason_here is None:
                found += feeds
                sizes += 1
            reason = reason_here or reason
            if sizes == WANTED_SIZES:
                break
        if found:
            return found
    raise InvalidDataError(
        f"{session.name} runs on none of the random inputs tried ({reason}), so equal outputs cannot be shown. "
        f"Give a few samples with --data."
    )


@dataclass(frozen=True)
class _Sizing:
    """Sizes of the dynamic axes.

    Attributes:
        batch: Of every input's first axis.
        other: Of the first input's other axes.
        rest: Of the other inputs' other axes (in a recurrent state the batch may stand there).
    """

    batch: int
    other: int
    rest: int

    def of(self, index: int, axis: int) -> int:
        """The size of an axis of the input at a position."""
        return self.batch if axis == 0 else self.other if index == 0 else self.rest


def _sizings(inputs: Sequence[InputSpec]) -> list[_Sizing]:
    """The sizes worth trying; those that give the same shapes once."""
    by_shapes: dict[str, _Sizing] = {}
    for batch, size in SIZES:
        for sizing in (_Sizing(batch, size, size), _Sizing(batch, size, batch)):
            by_shapes.setdefault(str([_shape(inputs, spec, sizing) for spec in inputs]), sizing)
    return list(by_shapes.values())


def _shape(inputs: Sequence[InputSpec], wanted: InputSpec, sizing: _Sizing) -> list[int]:
    # One name, one size: an axis called "batch" stays the batch wherever it stands.
    named: dict[str, int] = {}
    shapes: dict[str, list[int]] = {}
    for index, spec in enumerate(inputs):
        sizes = []
        for axis, given in enumerate(spec.shape or ()):
            size = given if isinstance(given, int) else sizing.of(index, axis)
            sizes.append(named.setdefault(given, size) if isinstance(given, str) else size)
        shapes[spec.name] = sizes
    return shapes[wanted.name]


def _feed(inputs: Sequence[InputSpec], sizing: _Sizing, bound: int, generator: np.random.Generator) -> Feed:
    return {spec.name: _draw(spec.dtype, _shape(inputs, spec, sizing), bound, generator) for spec in inputs}


def _draw(dtype: np.dtype, shape: Sequence[int], bound: int, generator: np.random.Generator) -> NDArray:
    if dtype.kind == "b":
        return generator.random(shape) < 0.5
    if dtype.kind in "iu":
        return generator.integers(0, bound, shape).astype(dtype)
    return generator.standard_normal(shape).astype(dtype)


def _failure(session: Session, feed: Feed) -> str | None:
    try:
        outputs = session.run(feed)
    except InvalidModelError as e:
        return str(e)
    arrays = [array for array in outputs.values() if isinstance(array, np.ndarray) and array.dtype.kind == "f"]
    arrays = [array for array in arrays if array.size]
    if arrays and not any(np.isfinite(array).any() for array in arrays):
        return "its outputs were NaN or infinite throughout"
    return None
