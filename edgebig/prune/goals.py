"""What layers should give, taken from the original at random positions, for several layers in one run of it.

Only the rows at the chosen positions are kept, for as many layers as fit a budget; so a small model runs once however
often it is pruned, and a large one a few times each.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.data.samples import Samples
from edgebig.graph.unfold import Positions, choose_positions, count_positions, target_rows
from edgebig.progress import track
from edgebig.prune.layers import Layer
from edgebig.prune.part_session import PartSession
from edgebig.prune.sites import Site

# Rows that the fit of a layer sees over all feeds: so many per input of its matrix, and at least so many.
ROWS_PER_INPUT = 16
FEWEST_ROWS = 8192
# What the rows kept at a time may take, in bytes.
GOAL_BYTES = 256 << 20


@dataclass(frozen=True)
class Goal:
    """What one site should give on one feed.

    Attributes:
        shape: Of the site's output.
        positions: How many positions that is.
        chosen: Those that were taken.
        rows: Values there, [groups, n, outputs of a group].
        is_total: Whether they are of the sum that the site goes into.
    """

    shape: tuple[int, ...]
    positions: int
    chosen: Positions
    rows: NDArray
    is_total: bool


class Goals:
    """The goals of a model's layers.

    Args:
        original: The model.
        layers: Its layers.
        samples: The feeds.
        feeds: How many there are.
        seed: Of the choice of positions.
        threads: Threads within an operator; 0 leaves the choice to onnxruntime.
        budget: Bytes that the rows kept at a time may take; what is asked for at once is kept in any case.
    """

    def __init__(
        self,
        original: ir.Model,
        layers: Sequence[Layer],
        samples: Samples,
        *,
        feeds: int,
        seed: int,
        threads: int,
        budget: int = GOAL_BYTES,
    ) -> None:
        self.original = original
        self.samples = samples
        self.feeds = feeds
        self.threads = threads
        self._layers = sorted(layers, key=lambda layer: (layer.level, layer.index))
        self._seed = seed
        self._budget = budget
        self._kept: dict[int, list[tuple[Goal, ...]]] = {}
        # Layers with fewer positions than rows allowed take less than the bound: learnt from those kept so far.
        self._filled = 1.0

    def require(self, layers: Sequence[Layer]) -> None:
        """Have the goals of these layers at hand, and of those after them in order as far as the budget goes."""
        if all(layer.index in self._kept for layer in layers):
            return
        window = list(layers)
        taken = sum(self._bound(layer) for layer in window)
        first, named = min((layer.level, layer.index) for layer in layers), {layer.index for layer in layers}
        for layer in self._layers:
            if (layer.level, layer.index) > first and layer.index not in named and not layer.fixed:
                taken += self._bound(layer)
                if taken * self._filled > self._budget:
                    break
                window.append(layer)
        self._load(window)

    def of(self, layer: Layer, number: int) -> tuple[Goal, ...]:
        """The goals of a layer's sites on a feed; `require` comes first."""
        return self._kept[layer.index][number]

    def _load(self, window: Sequence[Layer]) -> None:
        self._kept = {layer.index: [] for layer in window}
        sites = [site for layer in window for site in layer.sites]
        names = dict.fromkeys(name for site in sites for name in (site.own, site.total) if name)
        with PartSession(self.original, tuple(names), self.threads) as session:
            for number, feed in enumerate(track(self.samples, "running the original", self.feeds)):
                values = session.run(feed)
                for layer in window:
                    self._kept[layer.index].append(self._take(layer, values, number))
        kept = sum(goal.rows.nbytes for rows in self._kept.values() for goals in rows for goal in goals)
        self._filled = kept / max(sum(self._bound(layer) for layer in window), 1)

    def _take(self, layer: Layer, values: dict[str, NDArray], number: int) -> tuple[Goal, ...]:
        limit = -(-_row_limit(layer) // self.feeds)
        goals = []
        for index, site in enumerate(layer.sites):
            rng = np.random.default_rng([self._seed, number, layer.index, index])
            value, is_total = _value(site, values)
            chosen = choose_positions(site.weighted, value.shape, limit=limit, rng=rng)
            rows = target_rows(site.weighted, value, chosen)
            positions = count_positions(site.weighted, value.shape)
            goals.append(Goal(tuple(value.shape), positions, chosen, rows, is_total))
        return tuple(goals)

    def _bound(self, layer: Layer) -> int:
        return 4 * _row_limit(layer) * layer.shape[0] * len(layer.sites)


def _row_limit(layer: Layer) -> int:
    return max(FEWEST_ROWS, ROWS_PER_INPUT * layer.shape[1])


def _value(site: Site, values: dict[str, NDArray]) -> tuple[NDArray, bool]:
    """The sum that the site goes into, where nothing was broadcast in it; else the site's own value."""
    own = values[site.own]
    if site.total is not None and values[site.total].shape == own.shape:
        return values[site.total], True
    return own, False
