"""Feeds of fewer samples each, so that layers that matter little can be measured on few samples."""

from collections.abc import Iterator
from dataclasses import replace

import onnx_ir as ir

from edgebig.data.feeds import Feed
from edgebig.data.samples import Samples

DEFAULT_FEEDS = 16


def finer_feeds(samples: Samples, model: ir.Model, wanted: int = DEFAULT_FEEDS) -> Samples:
    """The same samples in at least so many feeds, where the batch is the first axis of all inputs and may vary.

    Args:
        samples: The feeds.
        model: Takes them.
        wanted: How many feeds there should be; batches are cut into as many parts as that takes, or single samples.
    """
    inputs = [value for value in model.graph.inputs if value.name not in model.graph.initializers]
    if not all(value.shape and not isinstance(value.shape[0], int) for value in inputs):
        return samples
    whole = samples.feeds if samples.feeds is not None else sum(1 for _ in samples)
    parts = -(-wanted // max(whole, 1))
    if parts <= 1:
        return samples

    def feeds() -> Iterator[Feed]:
        for feed in samples:
            yield from _split(feed, parts)

    return replace(samples, feeds=sum(1 for _ in feeds()), _open=feeds, _select=None)


def _split(feed: Feed, parts: int) -> Iterator[Feed]:
    rows = {array.shape[0] for array in feed.values()}
    if len(rows) != 1 or (count := rows.pop()) < 2:
        yield feed
        return
    step = -(-count // parts)
    for start in range(0, count, step):
        yield {name: array[start : start + step] for name, array in feed.items()}
