"""Feeds of any size: cut and repeated from real samples, or random."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from edgebig.data.feeds import Feed, InputSpec
from edgebig.data.samples import Samples, open_samples
from edgebig.export.input_specs import Inputs
from edgebig.records.export import ExportOptions
from edgebig.records.export_syntax import InputRequest

# How many real samples one feed holds.
_BATCH = 8


@dataclass(frozen=True)
class Feeds:
    """Makes feeds for the inputs of a model.

    Attributes:
        inputs: The inputs, in `forward`'s order.
        samples: Real samples, or None.
        ranges: Input name -> the user's description, for the range of random values.
        pool: A feed that the values of other sizes are taken from; None where they are random.
        seed: Seed of the random values.
    """

    inputs: Inputs
    samples: Samples | None
    ranges: Mapping[str, InputRequest]
    pool: Feed | None
    seed: int

    def example(self) -> Feed:
        """A feed of the example's sizes."""
        return self.of_sizes(self.base)

    @property
    def base(self) -> dict[str, int]:
        """The example's size of every dynamic axis."""
        return {name: axis.size for name, axis in self.inputs.axes.items()}

    def of_sizes(self, sizes: Mapping[str, int]) -> Feed:
        """A feed whose dynamic axes have these sizes.

        Values come from the first real samples, repeated along an axis that is longer than theirs; or they are random,
        others for other sizes.
        """
        generator = np.random.default_rng([self.seed, *sizes.values()])
        feed = {}
        for spec in self.inputs.specs:
            shape = self.inputs.shape_at(spec, sizes)
            if self.pool is not None:
                feed[spec.name] = _resize(self.pool[spec.name], shape)
            else:
                feed[spec.name] = _random(spec, shape, self.ranges.get(spec.name), generator)
        return feed

    def real(self, limit: int) -> Iterator[tuple[int, Feed]]:
        """Real feeds as they are, with the number of samples in each, until `limit` samples are reached."""
        done = 0
        for feed in islice(self.samples or (), limit):
            count = self._count(feed)
            yield count, feed
            done += count
            if done >= limit:
                return

    def _count(self, feed: Feed) -> int:
        first = self.inputs.specs[0]
        return len(feed[first.name]) if first.shape and isinstance(first.shape[0], str) else 1


def open_feeds(inputs: Inputs, options: ExportOptions, example: Feed | None = None) -> Feeds:
    """Open the sample, if there is one.

    Args:
        inputs: The inputs.
        options: The options, for the sample, the random ranges and the seed.
        example: A feed to take values from where there is no sample (a program's own example).

    Raises:
        InvalidDataError: The sample does not fit the inputs, or cannot be read.
    """
    samples = None
    if options.sample:
        samples = open_samples(options.sample, inputs.specs, batch_size=min(_BATCH, options.samples))
    pool = next(iter(samples)) if samples is not None else example
    return Feeds(inputs, samples, {request.name: request for request in options.input_requests}, pool, options.seed)


def in_order(feeds: Feeds, names: tuple[str, ...]) -> Feeds:
    """The same feeds, their inputs in another order."""
    by_name = {spec.name: spec for spec in feeds.inputs.specs}
    return replace(feeds, inputs=replace(feeds.inputs, specs=tuple(by_name[name] for name in names)))


def negated(feed: Feed) -> Feed:
    """The feed with the sign of every real number turned: it takes other branches on values, where there are any."""
    return {name: -array if array.dtype.kind == "f" else array for name, array in feed.items()}


def _resize(array: NDArray, shape: tuple[int, ...]) -> NDArray:
    for axis, size in enumerate(shape):
        if array.shape[axis] != size:
            array = np.take(array, np.arange(size) % array.shape[axis], axis=axis)
    return np.ascontiguousarray(array)


def _random(
    spec: InputSpec, shape: tuple[int, ...], request: InputRequest | None, generator: np.random.Generator
) -> NDArray:
    """Standard normal reals; bytes over their range; other whole numbers 0 or 1, which any table and mask takes."""
    if request is not None and request.low is not None and request.high is not None:
        low, high = request.low, request.high
        if spec.dtype.kind == "f":
            return generator.uniform(low, high, shape).astype(spec.dtype)
    elif spec.dtype.kind == "f":
        return generator.standard_normal(shape).astype(spec.dtype)
    else:
        byte = np.iinfo(spec.dtype) if spec.dtype in (np.uint8, np.int8) else None
        low, high = (0, 1) if byte is None else (byte.min, byte.max)
    return generator.integers(int(low), int(high), shape, endpoint=True).astype(spec.dtype)
