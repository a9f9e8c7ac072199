"""Run the pruned model over the samples, and keep moments of what its layers read and what they should give.

Batches pass one by one; of each, rows at the positions of the goals go into the moments and nothing is kept.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.unfold import source_rows, target_rows
from edgebig.progress import track
from edgebig.prune.goals import Goals
from edgebig.prune.layers import Layer
from edgebig.prune.moments import Array, Moments, Problem, joined
from edgebig.prune.part_session import PartSession

# What the moments of the layers of one pass may take, in bytes; more layers mean more passes.
MOMENT_BYTES = 1 << 30


@dataclass
class Observed:
    """Moments of a layer's sites.

    Attributes:
        layer: The layer.
        sites: Moments by site.
        positions: Output positions of all sites over all feeds.
        feeds: Feeds seen.
    """

    layer: Layer
    sites: tuple[Moments, ...]
    positions: int = 0
    feeds: int = 0

    def problem(self, *folds: int) -> Problem:
        """The layer's least squares problem over the named folds (all without names)."""
        return joined([site.problem(*folds) for site in self.sites])

    def is_usable(self) -> bool:
        """Whether there were rows, and no activation overflowed."""
        return all(site.rows for site in self.sites) and self.problem().is_finite()

    def folds(self) -> tuple[Problem, Problem] | None:
        """Its problem on each fold; None where one of them is empty."""
        if not all(site.has_folds() for site in self.sites):
            return None
        return self.problem(0), self.problem(1)

    def biases(self, matrix: Array) -> dict[str, Array]:
        """For every site with a place for a bias, the one that makes the mean right; by the site's own output."""
        pairs = zip(self.layer.sites, self.sites, strict=True)
        return {site.own: moments.bias(matrix) for site, moments in pairs if site.bias is not None}

    @property
    def rows(self) -> int:
        """Rows of all sites."""
        return sum(site.rows for site in self.sites)

    @property
    def macs(self) -> int:
        """Multiplications of the layer per feed."""
        outputs, inputs = self.layer.shape
        # The matrix of a grouped convolution has the inputs of one group, so its size is right for every position.
        return round(self.positions * outputs * inputs / max(self.feeds, 1))


def passes(layers: Sequence[Layer], budget: int = MOMENT_BYTES) -> Iterator[list[Layer]]:
    """Cut layers into parts whose moments fit into the budget together; a layer that alone does not has its own."""
    part: list[Layer] = []
    taken = 0
    for layer in layers:
        size = moment_bytes(layer)
        if part and taken + size > budget:
            yield part
            part, taken = [], 0
        part.append(layer)
        taken += size
    if part:
        yield part


def moment_bytes(layer: Layer) -> int:
    """Bytes of a layer's moments: two folds in float64 per site."""
    outputs, inputs = layer.shape
    per_group = inputs * inputs + inputs * outputs // layer.weighted.groups
    return 2 * 8 * layer.weighted.groups * per_group * len(layer.sites)


def observe(pruned: ir.Model, layers: Sequence[Layer], goals: Goals, *, description: str) -> list[Observed]:
    """Go through the samples once.

    Args:
        pruned: Gives what the layers read; may be the original itself.
        layers: Layers of it.
        goals: What they should give, and the samples.
        description: What the progress bar says.
    """
    goals.require(layers)
    names = dict.fromkeys(
        name for layer in layers for site in layer.sites for name in (site.source, site.other) if name
    )
    found = [Observed(layer, tuple(Moments(site.bias is not None) for site in layer.sites)) for layer in layers]
    with PartSession(pruned, tuple(names), goals.threads) as session:
        for number, feed in enumerate(track(goals.samples, description, goals.feeds)):
            values = session.run(feed)
            for entry in found:
                _take(entry, values, goals, number)
    return found


def _take(entry: Observed, values: dict[str, NDArray], goals: Goals, number: int) -> None:
    entry.feeds += 1
    for site, moments, goal in zip(entry.layer.sites, entry.sites, goals.of(entry.layer, number), strict=True):
        rows, owed = source_rows(site.weighted, values[site.source], goal.shape, goal.chosen), goal.rows
        if goal.is_total and site.other is not None:
            # What the sum lacks. Its shape is the site's own, so only the other operand can have been broadcast.
            owed = owed - target_rows(site.weighted, np.broadcast_to(values[site.other], goal.shape), goal.chosen)
        entry.positions += goal.positions
        moments.add(rows, owed, fold=number % 2)
