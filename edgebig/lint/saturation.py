"""How much saturation really happens: the 16-bit arithmetic on the real activations of every product."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.data.samples import Samples
from edgebig.graph.edit import expose_outputs
from edgebig.graph.session import Session
from edgebig.lint.activation_rows import activation_rows
from edgebig.lint.context import Context
from edgebig.lint.products import Product
from edgebig.lint.saturation_kernel import lost_by_saturation
from edgebig.progress import track

# Tensors fetched by one session, feeds looked at, and multiplications spent on a product per feed.
AT_ONCE, FEEDS, WORK = 8, 4, 60_000_000
LEAST_ROWS, MOST_ROWS = 64, 4096
# Changes this far below a product's outputs drown in the rounding of its operands to 8 bits.
HARMLESS_DB = 60.0


@dataclass
class Saturation:
    """What happened at one product.

    Attributes:
        outputs: Outputs looked at.
        changed: Those that saturation changed.
        worst: The largest change, in units of the integers' product.
        largest: The largest exact output, likewise.
        noise: Sum of the squares of the changes.
        power: Sum of the squares of the exact outputs.
    """

    outputs: int = 0
    changed: int = 0
    worst: float = 0.0
    largest: float = 0.0
    noise: float = 0.0
    power: float = 0.0

    @property
    def share(self) -> float:
        """Share of the outputs that saturation changed."""
        return self.changed / self.outputs if self.outputs else 0.0

    @property
    def sqnr_db(self) -> float:
        """Power of the exact outputs over that of the changes, in decibels; infinite where nothing changed."""
        return 10 * math.log10(self.power / self.noise) if self.noise and self.power else math.inf

    @property
    def matters(self) -> bool:
        """Whether the changes stand out from the rounding to 8 bits, which leaves 30 to 50 dB."""
        return self.sqnr_db < HARMLESS_DB

    @property
    def worst_share(self) -> float:
        """The largest change over the largest output."""
        return self.worst / self.largest if self.largest else 0.0


def measure(risky: Sequence[Product], context: Context) -> dict[ir.Node, Saturation]:
    """Run the samples, and the arithmetic on what goes into every product of the top-level graph.

    Args:
        risky: The products.
        context: The model, with samples; a few feeds of them are taken, and of each up to 4096 rows per product.
    """
    samples = context.samples
    graph = context.model.graph
    reachable = [product for product in risky if product.node.graph is graph and product.activation is not None]
    found: dict[ir.Node, Saturation] = {}
    if samples is None:
        return found
    for start in track(range(0, len(reachable), AT_ONCE), "emulating saturation"):
        part = reachable[start : start + AT_ONCE]
        names = list(dict.fromkeys(product.activation.name or "" for product in part if product.activation))
        for feed_outputs in _run(context.model, names, samples):
            for product in part:
                integers = feed_outputs.get((product.activation.name if product.activation else "") or "")
                if integers is not None and integers.dtype in (np.uint8, np.int8):
                    _add(product, integers, found.setdefault(product.node, Saturation()))
    return {node: saturation for node, saturation in found.items() if saturation.outputs}


def _run(model: ir.Model, names: Sequence[str], samples: Samples) -> list[dict[str, NDArray]]:
    with Session(expose_outputs(model, names), optimize=False) as session:
        return [session.run(feed) for feed in islice(iter(samples), FEEDS)]


def _add(product: Product, integers: NDArray, saturation: Saturation) -> None:
    weights = product.rows()
    if weights is None:
        return
    most = int(np.clip(WORK // max(weights.size, 1), LEAST_ROWS, MOST_ROWS))
    groups = activation_rows(product, integers, most)
    point = 0 if product.activation_params is None else int(product.activation_params.zero_point.reshape(-1)[0])
    point += 128 if integers.dtype == np.int8 else 0
    for rows, part in zip(groups, np.split(weights, len(groups)) if groups else (), strict=True):
        if rows.shape[1] != part.shape[1]:
            return
        lost = lost_by_saturation(rows, part.astype(np.int8))
        exact = (rows.astype(np.float32) - point) @ part.T.astype(np.float32)
        saturation.outputs += lost.size
        saturation.changed += int(np.count_nonzero(lost))
        saturation.worst = max(saturation.worst, float(np.abs(lost).max(initial=0)))
        saturation.noise += float(np.square(lost, dtype=np.float64).sum())
        saturation.power += float(np.square(exact, dtype=np.float64).sum())
        saturation.largest = max(saturation.largest, float(np.abs(exact).max(initial=0)))
