"""Feeds: what one run of a model takes, and the check that a feed fits the model's inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgebig.errors import InvalidDataError

Feed = dict[str, NDArray]
"""One run's inputs: name -> array."""


@dataclass(frozen=True)
class InputSpec:
    """What a model says of one of its inputs or outputs.

    Attributes:
        name: Its name.
        dtype: Its NumPy dtype.
        shape: A size per axis: an int when fixed, the axis' name when dynamic, None when dynamic without a name.
            None instead of the tuple when the rank is unknown.
    """

    name: str
    dtype: np.dtype
    shape: tuple[int | str | None, ...] | None

    def __str__(self) -> str:
        shape = "?" if self.shape is None else "x".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name}: {self.dtype} [{shape}]"


def check_feed(feed: Mapping[str, NDArray], inputs: Sequence[InputSpec], *, where: str) -> None:
    """Refuse a feed that does not fit the model.

    Args:
        feed: Name -> array.
        inputs: The model's inputs.
        where: Where the feed comes from, for messages.

    Raises:
        InvalidDataError: Missing or unknown names, another dtype or shape, no elements at all, NaN or infinity, or one
            dynamic axis with two sizes.
    """
    wanted = {spec.name: spec for spec in inputs}
    check_names(feed.keys(), inputs, where=where)
    sizes: dict[str, tuple[int, str]] = {}
    for name, array in feed.items():
        spec = wanted[name]
        if array.dtype != spec.dtype:
            raise InvalidDataError(
                f"{where}: {name!r} has dtype {array.dtype}, the model takes {spec.dtype}. "
                f"Convert the samples: array.astype('{spec.dtype}')"
            )
        if spec.shape is not None:
            _check_shape(name, array.shape, spec, sizes, where)
        check_finite(name, array, where=where)
    # One input may be empty (a cache before the first step), but not all of them.
    if feed and not any(array.size for array in feed.values()):
        shapes = ", ".join(f"{name!r} {array.shape}" for name, array in feed.items())
        raise InvalidDataError(f"{where}: the feed holds no samples: {shapes}")


def check_names(names: object, inputs: Sequence[InputSpec], *, where: str) -> None:
    """Refuse names that are not exactly those of the inputs.

    Raises:
        InvalidDataError: A name is missing or unknown; the message lists what the model takes.
    """
    given = set(names)  # type: ignore[call-overload]
    expected = {spec.name for spec in inputs}
    if given != expected:
        parts = []
        if missing := sorted(expected - given):
            parts.append(f"missing {', '.join(map(repr, missing))}")
        if unknown := sorted(given - expected):
            parts.append(f"unknown {', '.join(map(repr, unknown))}")
        raise InvalidDataError(f"{where}: {'; '.join(parts)}. The model takes {'; '.join(map(str, inputs))}.")


def check_finite(name: str, array: NDArray, *, where: str) -> None:
    """Refuse an array with NaN or infinity.

    Raises:
        InvalidDataError: It is not finite.
    """
    if array.dtype.kind in "fc" and not np.isfinite(array).all():
        bad = int(array.size - np.isfinite(array).sum())
        raise InvalidDataError(f"{where}: {name!r} holds {bad} NaN or infinite values. Remove or repair those samples.")


def _check_shape(
    name: str, shape: tuple[int, ...], spec: InputSpec, sizes: dict[str, tuple[int, str]], where: str
) -> None:
    expected = spec.shape or ()
    if len(shape) != len(expected):
        raise InvalidDataError(f"{where}: {name!r} has shape {shape}, the model takes {spec}")
    for size, wanted in zip(shape, expected, strict=True):
        if isinstance(wanted, int) and size != wanted:
            raise InvalidDataError(f"{where}: {name!r} has shape {shape}, the model takes {spec}")
        if isinstance(wanted, str) and sizes.setdefault(wanted, (size, name))[0] != size:
            other_size, other = sizes[wanted]
            raise InvalidDataError(
                f"{where}: axis {wanted!r} is {size} in {name!r} but {other_size} in {other!r}; it must be the same"
            )
