"""One feed for all models of a measurement: from the user's samples, or random values of the declared shapes."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgebig.data.feeds import Feed, InputSpec
from edgebig.data.samples import Samples, open_samples
from edgebig.errors import InvalidDataError, UsageError
from edgebig.records.measurement import BenchOptions

Data = str | Path | Mapping[str, NDArray] | Sequence[Feed] | Samples


def make_feed(specs: Sequence[InputSpec], data: Data | None, options: BenchOptions) -> tuple[Feed, str]:
    """Make the feed that every run gets.

    Args:
        specs: The first model's inputs.
        data: Samples, of which the first feed is taken; None for random values.
        options: Sizes of dynamic axes, and the seed.

    Returns:
        The feed, and where its values come from, in words.

    Raises:
        UsageError: A dynamic axis has no size, or a size is given to an axis that is fixed or does not exist.
        InvalidDataError: The samples do not fit the model, or the sizes given.
    """
    sizes = _requested_sizes(specs, options)
    if data is None:
        feed = _random_feed(specs, sizes | _default_batch(specs, sizes), options.seed)
        return feed, f"random values, seed {options.seed}"
    samples = open_samples(data, specs, batch_size=options.batch or 1)
    feed = next(iter(samples))
    _check_sizes(feed, specs, sizes, samples.source)
    # A copy of its own: aligned, contiguous, and in memory rather than in a mapped file.
    return {
        name: np.array(array, order="C") for name, array in feed.items()
    }, f"first feed of {Path(samples.source).name}"


def has_random_integers(specs: Sequence[InputSpec], data: Data | None) -> bool:
    """Whether some integer input is filled with random values, which may not be what it means (token ids, lengths)."""
    return data is None and any(spec.dtype.kind in "iu" for spec in specs)


def _axes(specs: Sequence[InputSpec]) -> Iterator[tuple[str, str, int, int | str | None]]:
    """(key, input, axis, declared size) of every axis; the key is the axis' name, or INPUT:AXIS where it has none."""
    for spec in specs:
        for axis, size in enumerate(spec.shape or ()):
            yield size if isinstance(size, str) else f"{spec.name}:{axis}", spec.name, axis, size


def _first_axes(specs: Sequence[InputSpec]) -> list[str]:
    return [key for key, _, axis, size in _axes(specs) if axis == 0 and not isinstance(size, int)]


def _requested_sizes(specs: Sequence[InputSpec], options: BenchOptions) -> dict[str, int]:
    """Sizes that the user asked for, by key of the axis."""
    dynamic = list(dict.fromkeys(key for key, _, _, size in _axes(specs) if not isinstance(size, int)))
    model = "; ".join(map(str, specs))
    for key in options.dims:
        if key not in dynamic:
            known = ", ".join(dynamic) or "none"
            raise UsageError(f"there is no dynamic axis {key!r}. Dynamic axes: {known}. The model takes {model}.")
    if options.batch is None:
        return dict(options.dims)
    first = _first_axes(specs)
    fixed = {size for _, _, axis, size in _axes(specs) if axis == 0 and isinstance(size, int)}
    if not first and fixed != {options.batch}:
        raise UsageError(f"batch {options.batch} does not fit: no input has a dynamic first axis ({model}).")
    return dict.fromkeys(first, options.batch) | options.dims


def _default_batch(specs: Sequence[InputSpec], sizes: dict[str, int]) -> dict[str, int]:
    return {key: 1 for key in _first_axes(specs) if key not in sizes}


def _random_feed(specs: Sequence[InputSpec], sizes: dict[str, int], seed: int) -> Feed:
    if unknown := [spec.name for spec in specs if spec.shape is None]:
        raise UsageError(
            f"the model does not say the rank of {', '.join(map(repr, unknown))}. Give samples with --data."
        )
    missing = [key for key, _, _, size in _axes(specs) if not isinstance(size, int) and key not in sizes]
    if missing:
        options = " ".join(f"--dim {key}=SIZE" for key in dict.fromkeys(missing))
        raise UsageError(
            f"the model takes {'; '.join(map(str, specs))}. Give the sizes of its dynamic axes: {options}, or --data."
        )
    shapes: dict[str, list[int]] = {spec.name: [] for spec in specs}
    for key, name, _, size in _axes(specs):
        shapes[name].append(size if isinstance(size, int) else sizes[key])
    generator = np.random.default_rng(seed)
    try:
        return {spec.name: _random_array(spec, shapes[spec.name], generator) for spec in specs}
    except (MemoryError, ValueError) as e:
        raise UsageError(f"inputs of shapes {shapes} cannot be made: {e}. Give smaller sizes.") from e


def _random_array(spec: InputSpec, shape: list[int], generator: np.random.Generator) -> NDArray:
    """Standard normal floats; bytes over their whole range; 0 and 1 elsewhere, which every table of indices has."""
    kind = spec.dtype.kind
    if kind == "O":
        raise UsageError(f"input {spec.name!r} takes strings, which cannot be bound to memory; bench takes numbers.")
    if kind in "iu" and spec.dtype.itemsize == 1:
        limits = np.iinfo(spec.dtype)
        return generator.integers(limits.min, limits.max, shape, spec.dtype, endpoint=True)
    if kind in "iub":
        return generator.integers(0, 2, shape).astype(spec.dtype)
    return generator.standard_normal(shape, np.float32).astype(spec.dtype)


def _check_sizes(feed: Feed, specs: Sequence[InputSpec], sizes: dict[str, int], source: str) -> None:
    for key, name, axis, _ in _axes(specs):
        if key in sizes and feed[name].shape[axis] != sizes[key]:
            raise InvalidDataError(
                f"{source}: {name!r} has shape {feed[name].shape}, but {sizes[key]} was asked for axis {axis} ({key}). "
                "Leave the size out, or bring samples of that size."
            )
