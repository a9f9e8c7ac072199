"""Pad before a pool becomes the pool's own padding, where both mean the same.

AveragePool: zeros that Pad puts in count in the average, as the pool's own padding does with count_include_pad = 1.
MaxPool: its own padding is minus infinity. That equals Pad by minus infinity, and Pad by 0 where the data are never
negative, as long as every window holds a real value (padding smaller than the kernel).
"""

from collections import Counter

import numpy as np
import onnx_ir as ir

from edgebig.graph.edit import constant_array
from edgebig.passes.base import Pass, PassResult, Skipped
from edgebig.passes.rewire import is_private

POOLS = ("AveragePool", "MaxPool")
NEVER_NEGATIVE = ("Relu", "Sigmoid", "HardSigmoid", "Softmax", "Abs", "Exp", "Sqrt", "Softplus")


class FoldPadIntoPool(Pass):
    """Fold constant Pad nodes into the pool that reads them."""

    def call(self, model: ir.Model) -> PassResult:
        """Fold wherever both mean the same; the rest is reported."""
        counts: Counter[str] = Counter()
        skipped: list[Skipped] = []
        for graph in model.graphs():
            for pool in graph:
                pad = pool.inputs[0].producer() if pool.op_type in POOLS and pool.inputs[0] is not None else None
                if pad is None or pad.op_type != "Pad" or pad.graph is not graph:
                    continue
                pads = _check(pad, pool)
                if isinstance(pads, str):
                    skipped.append(Skipped(pad.name or "", pads))
                    continue
                _rewrite(pad, pool, pads)
                counts[f"Pad into {pool.op_type}"] += 1
        return PassResult(model, bool(counts), counts, tuple(skipped))


def _check(pad: ir.Node, pool: ir.Node) -> list[int] | str:
    """The pool's new pads, or why not."""
    if not is_private(pad.outputs[0]):
        return "the padded data are used elsewhere too"
    kernel = pool.attributes.get_ints("kernel_shape", ())
    spatial = _spatial_pads(pad, len(kernel))
    if isinstance(spatial, str):
        return spatial
    value = constant_array(pad.inputs[2]) if len(pad.inputs) > 2 and pad.inputs[2] is not None else np.zeros(1)
    if value is None:
        return "the value it pads with is not constant"
    if pool.attributes.get_string("auto_pad", "NOTSET") != "NOTSET" or pool.attributes.get_int("ceil_mode", 0) != 0:
        return f"{pool.name!r} computes its own padding (auto_pad or ceil_mode)"
    own = list(pool.attributes.get_ints("pads", [0] * 2 * len(kernel)))
    total = [mine + theirs for mine, theirs in zip(own, spatial, strict=True)]
    if any(size >= kernel[i % len(kernel)] for i, size in enumerate(total)):
        return f"the padding is not smaller than the kernel of {pool.name!r}"
    reason = _average(pool, value.item(), own) if pool.op_type == "AveragePool" else _maximum(pad, pool, value.item())
    return reason or total


def _spatial_pads(pad: ir.Node, spatial_rank: int) -> list[int] | str:
    """Pads of the spatial axes as a pool has them: all begins, then all ends."""
    if pad.attributes.get_string("mode", "constant") != "constant":
        return f"it pads by mode {pad.attributes.get_string('mode', '')!r}"
    array = constant_array(pad.inputs[1]) if len(pad.inputs) > 1 else None
    rank = spatial_rank + 2
    axes: list[int] = list(range(rank))
    if len(pad.inputs) > 3 and pad.inputs[3] is not None:
        given = constant_array(pad.inputs[3])
        if given is None:
            return "its axes are not constant"
        axes = [int(axis) % rank for axis in given]
    if array is None or array.size != 2 * len(axes):
        return "its pads are not constant"
    full = np.zeros((2, rank), np.int64)
    full[:, axes] = array.reshape(2, -1)
    if full[:, :2].any() or (full < 0).any():
        return "it pads batch or channels, or crops"
    return [int(size) for size in full[:, 2:].reshape(-1)]


def _average(pool: ir.Node, value: float, own: list[int]) -> str | None:
    if value != 0:
        return "an average pool pads with zeros only"
    if any(own) and not pool.attributes.get_int("count_include_pad", 0):
        return f"{pool.name!r} leaves its own padding out of the average"
    return None


def _maximum(pad: ir.Node, pool: ir.Node, value: float) -> str | None:
    if any(output.name and output.uses() for output in pool.outputs[1:]):
        return f"{pool.name!r} gives indices, which count the padding"
    producer = pad.inputs[0].producer() if pad.inputs[0] is not None else None
    if value == 0 and producer is not None and producer.op_type in NEVER_NEGATIVE:
        return None
    return None if value == -np.inf else "a max pool pads with minus infinity only"


def _rewrite(pad: ir.Node, pool: ir.Node, pads: list[int]) -> None:
    pool.replace_input_with(0, pad.inputs[0])
    pool.attributes["pads"] = ir.AttrInt64s("pads", pads)
    if pool.op_type == "AveragePool":
        pool.attributes["count_include_pad"] = ir.AttrInt64("count_include_pad", 1)
    if pad.graph is None:
        raise ValueError(f"node {pad.name!r} is in no graph")
    pad.graph.remove(pad, safe=True)
