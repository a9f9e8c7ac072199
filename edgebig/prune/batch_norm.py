"""Re-estimate the running statistics of batch norms from the samples, in the graph's order.

Pruning changes the mean and the variance of what a batch norm reads; the statistics it normalises with should be those
of the pruned model. A batch norm is taken after those above it, so that its statistics are of what it will really read.
"""

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from edgebig.data.samples import Samples
from edgebig.graph.edit import add_initializer, constant_array, working_copy
from edgebig.progress import track
from edgebig.prune.part_session import PartSession
from edgebig.prune.rewrite import cast

MEAN, VARIANCE = 3, 4


def reestimate_batch_norms(model: ir.Model, samples: Samples, *, feeds: int, threads: int) -> tuple[ir.Model, int]:
    """Give batch norms the statistics of what they read.

    Args:
        model: The pruned model; it stays as it is.
        samples: The feeds.
        feeds: How many there are.
        threads: Threads within an operator; 0 leaves the choice to onnxruntime.

    Returns:
        A copy with new statistics, and how many batch norms got them.
    """
    result = working_copy(model)
    count = 0
    for level in _levels(result):
        sources = [node.inputs[0].name or "" for node in level if node.inputs[0] is not None]
        sums = {name: _Statistics() for name in sources}
        with PartSession(result, tuple(sums), threads) as session:
            for feed in track(samples, "re-estimating batch norms", feeds):
                for name, array in session.run(feed).items():
                    sums[name].add(array)
        for node, name in zip(level, sources, strict=True):
            mean, variance = sums[name].result()
            if np.isfinite(mean).all() and np.isfinite(variance).all():
                _replace(result.graph, node, MEAN, mean)
                _replace(result.graph, node, VARIANCE, variance)
                count += 1
    return result, count


def has_batch_norms(model: ir.Model) -> bool:
    """Whether there is a batch norm whose statistics can be replaced."""
    return any(_is_plain(node) for node in model.graph)


def _is_plain(node: ir.Node) -> bool:
    """A batch norm in inference mode with constant statistics."""
    return (
        node.op_type == "BatchNormalization"
        and node.domain in ("", "ai.onnx")
        and not node.attributes.get_int("training_mode", 0)
        and all(constant_array(node.inputs[index]) is not None for index in (MEAN, VARIANCE))
    )


def _levels(model: ir.Model) -> Iterator[list[ir.Node]]:
    """Batch norms by how many others lie above them."""
    depth: dict[str, int] = {}
    found: dict[int, list[ir.Node]] = {}
    for node in model.graph:
        deep = max((depth.get(value.name or "", 0) for value in node.inputs if value is not None), default=0)
        if _is_plain(node):
            found.setdefault(deep, []).append(node)
            deep += 1
        for value in node.outputs:
            depth[value.name or ""] = deep
    for level in sorted(found):
        yield found[level]


class _Statistics:
    """Mean and variance per channel (axis 1), streamed; Chan's update keeps them exact for large means."""

    def __init__(self) -> None:
        self._count = 0
        self._mean = np.zeros(1)
        self._squares = np.zeros(1)

    def add(self, array: np.ndarray) -> None:
        rows = np.moveaxis(array, 1, -1).reshape(-1, array.shape[1]).astype(np.float64)
        if not len(rows):
            return
        mean = rows.mean(0)
        squares = np.square(rows - mean).sum(0)
        total = self._count + len(rows)
        shift = mean - self._mean
        self._squares = self._squares + squares + np.square(shift) * self._count * len(rows) / total
        self._mean = self._mean + shift * len(rows) / total
        self._count = total

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        return self._mean, self._squares / max(self._count, 1)


def _replace(graph: ir.Graph, node: ir.Node, index: int, array: np.ndarray) -> None:
    old = node.inputs[index]
    before = constant_array(old)
    assert old is not None and before is not None  # a plain batch norm's statistics are constant
    # Statistics may be shared with other nodes, so they get a tensor of their own.
    new = add_initializer(graph, f"{old.name}", cast(array, before.dtype))
    node.replace_input_with(index, new)
    if old.name and not old.uses() and old.name in graph.initializers and not old.is_graph_input():
        del graph.initializers[old.name]
