"""Second moments of what layers read, with every kernel position a column of its own, streamed over the samples.

Of each feed a number of output positions are drawn; their rows go into sums and are forgotten, so that memory follows
the layers and not the samples. More layers than fit the budget mean more passes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgebig.data.samples import Samples
from edgebig.graph.edit import expose_outputs
from edgebig.graph.session import Session
from edgebig.graph.unfold import choose_positions, source_rows
from edgebig.progress import track
from edgebig.quantize.algorithms.layers import Layer

Array = NDArray[np.float64]
# Rows of a layer that are looked at, over all feeds.
ROWS = 8192
LEAST_ROWS_OF_A_FEED = 128
SEED = 0


@dataclass
class InputMoments:
    """Sums over the rows of one layer, about the means of the first batch, so that little cancels.

    Attributes:
        rows: How many rows were taken in.
        sums: Of x, [groups, inputs].
        products: Of x x^T, [groups, inputs, inputs].
    """

    rows: int = 0
    sums: Array | float = 0.0
    products: Array | float = 0.0
    _shift: NDArray | None = field(default=None, repr=False)

    def add(self, x: NDArray) -> None:
        """Take rows [groups, n, inputs] in."""
        if x.shape[1] == 0:
            return
        if self._shift is None:
            self._shift = x.mean(axis=1, keepdims=True)
        x = x - self._shift
        self.rows += x.shape[1]
        self.sums = self.sums + x.sum(axis=1, dtype=np.float64)
        self.products = self.products + (x.transpose(0, 2, 1) @ x).astype(np.float64)

    def inner(self, *, centred: bool) -> Array:
        """x x^T on average, [groups, inputs, inputs]; about the means where a bias takes those up."""
        assert self._shift is not None  # asked after rows were taken in
        means, shift = np.asarray(self.sums) / self.rows, self._shift[:, 0].astype(np.float64)
        inner = np.asarray(self.products) / self.rows - means[:, :, None] * means[:, None, :]
        return inner if centred else inner + (means + shift)[:, :, None] * (means + shift)[:, None, :]


def observe_inputs(
    model: ir.Model,
    layers: Sequence[Layer],
    samples: Samples,
    *,
    budget: int,
    sizes: Mapping[str, int] | None = None,
    threads: int = 0,
) -> Iterator[tuple[Layer, InputMoments]]:
    """Yield the moments of every layer; those of a part of the layers are in memory at once.

    Args:
        model: The float model; the units of the layers have their names in it.
        layers: The layers.
        samples: The feeds.
        budget: Bytes that the moments and the activations of one pass may take together.
        sizes: Value name -> its bytes on one feed; activations that are missing count nothing.
        threads: Threads within an operator; 0 leaves the choice to onnxruntime.
    """
    for part in _parts(layers, budget, sizes or {}):
        moments = [InputMoments() for _ in part]
        rng = np.random.default_rng(SEED)
        given = {value.name for value in model.graph.inputs}
        wanted = dict.fromkeys(
            name for layer in part for unit in layer.units for name in (unit.inputs[0].name, _output(unit.node).name)
        )
        exposed = expose_outputs(model, [name for name in wanted if name and name not in given])
        RemoveUnusedNodesPass()(exposed)
        rows = max(ROWS // samples.feeds, LEAST_ROWS_OF_A_FEED) if samples.feeds else LEAST_ROWS_OF_A_FEED
        with Session(exposed, threads=threads) as session:
            for feed in track(samples, "observing layers", samples.feeds):
                values = session.run(feed) | {name: feed[name] for name in wanted if name in feed}
                for layer, found in zip(part, moments, strict=True):
                    _take(layer, found, values, rows, rng)
        yield from ((layer, found) for layer, found in zip(part, moments, strict=True) if found.rows)


def _take(layer: Layer, found: InputMoments, values: dict[str, NDArray], rows: int, rng: np.random.Generator) -> None:
    for unit in layer.units:
        assert unit.weighted is not None  # layers hold weighted units only
        shape = values[_output(unit.node).name or ""].shape
        chosen = choose_positions(unit.weighted, shape, limit=rows, rng=rng)
        found.add(source_rows(unit.weighted, values[unit.inputs[0].name or ""], shape, chosen))


def _output(node: ir.Node) -> ir.Value:
    return node.outputs[0]


def _parts(layers: Sequence[Layer], budget: int, sizes: Mapping[str, int]) -> Iterator[list[Layer]]:
    part: list[Layer] = []
    taken = 0
    for layer in layers:
        values = {value.name or "" for unit in layer.units for value in (unit.inputs[0], _output(unit.node))}
        size = moment_bytes(layer) + sum(sizes.get(name, 0) for name in values)
        if part and taken + size > budget:
            yield part
            part, taken = [], 0
        part.append(layer)
        taken += size
    if part:
        yield part


def moment_bytes(layer: Layer) -> int:
    """Bytes of a layer's second moments, and of one product that is added to them."""
    weighted = layer.weighted
    array = weighted.array()
    groups = weighted.groups if weighted.node.op_type == "Conv" else 1
    columns = array.size // array.shape[weighted.output_axis]
    return 2 * 8 * groups * columns**2
