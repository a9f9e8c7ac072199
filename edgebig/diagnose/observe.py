"""Look at all matched tensors on samples, in bounded memory.

Tensors are taken in groups that fit the budget. For each group the samples go through three models: the float one,
with the group's tensors as its outputs; the quantized one likewise; and the layers taken apart, fed with the float
model's tensors. onnxruntime runs them as written: nothing is fused, so that every tensor is what its graph defines.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.data.feeds import Feed
from edgebig.data.samples import Samples
from edgebig.diagnose.inspected import Inspected
from edgebig.diagnose.own import RESULT, dequantized_value, own_model
from edgebig.diagnose.pair import Pair
from edgebig.diagnose.ranges import grid_of
from edgebig.diagnose.statistics import TensorFacts
from edgebig.errors import InvalidModelError
from edgebig.graph.session import Session
from edgebig.progress import track

_SEEN = "edgebig/seen/"
_CHANNELS_FIRST = ("Conv", "ConvTranspose", "BatchNormalization", "MaxPool", "GlobalAveragePool", "AveragePool")


@dataclass(frozen=True)
class Sizes:
    """Tensors of the float model on one feed.

    Attributes:
        bytes: Name -> bytes.
        dtypes: Name -> dtype.
        ranks: Name -> rank.
    """

    bytes: dict[str, int]
    dtypes: dict[str, np.dtype]
    ranks: dict[str, int]


def measure_sizes(inspected: Inspected, feed: Feed, *, threads: int = 0) -> Sizes:
    """Run the float model on one feed with all matched tensors as outputs."""
    names = [pair.name for pair in inspected.matching.pairs.values()]
    inputs = {value.name for value in inspected.original.graph.inputs}
    wanted = [name for name in names if name not in inputs]
    with Session(_with_outputs(inspected.original, wanted), threads=threads) as session:
        arrays = {**session.run(feed, wanted), **{name: feed[name] for name in names if name in feed}}
    arrays = {name: array for name, array in arrays.items() if isinstance(array, np.ndarray)}
    return Sizes(
        {name: array.nbytes for name, array in arrays.items()},
        {name: array.dtype for name, array in arrays.items()},
        {name: array.ndim for name, array in arrays.items()},
    )


def layer_inputs(
    inspected: Inspected, layers: Sequence[ir.Node], feed: Feed, *, threads: int = 0
) -> dict[str, NDArray]:
    """What the float model's layers, and the nodes fused into them, read on one feed: name -> array."""
    found: dict[str, ir.Value] = {}
    for layer in layers:
        for pair in inspected.layers[layer]:
            found.update({bound.name or "": bound for bound in inspected.float_region(layer, pair).boundary})
    inputs = {value.name for value in inspected.original.graph.inputs}
    wanted = [name for name in found if name not in inputs]
    with Session(_with_outputs(inspected.original, wanted), threads=threads) as session:
        arrays = session.run(feed, wanted) if wanted else {}
    return {**{name: array for name, array in feed.items() if name in found}, **arrays}


def observe_tensors(
    inspected: Inspected, samples: Samples, sizes: Sizes, *, budget: int, threads: int = 0
) -> tuple[dict[str, TensorFacts], int]:
    """Gather the facts of every matched float tensor.

    Args:
        inspected: Both models.
        samples: The feeds.
        sizes: Of the tensors on a feed.
        budget: Bytes that the tensors of one pass may take together.
        threads: Threads within an operator; 0 leaves the choice to onnxruntime.

    Returns:
        Tensor name -> its facts, in the float graph's order; and how often the samples were gone through.
    """
    pairs = [pair for pair in inspected.matching.pairs.values() if _is_float(sizes.dtypes.get(pair.name))]
    facts = {pair.name: _empty_facts(pair, sizes) for pair in pairs}
    groups = _groups(pairs, sizes.bytes, budget)
    for index, group in enumerate(groups):
        what = "comparing tensors" + (f", pass {index + 1} of {len(groups)}" if len(groups) > 1 else "")
        _observe_group(inspected, group, samples, sizes, facts, what=what, threads=threads)
    return facts, len(groups)


def _observe_group(
    inspected: Inspected,
    group: Sequence[Pair],
    samples: Samples,
    sizes: Sizes,
    facts: Mapping[str, TensorFacts],
    *,
    what: str,
    threads: int,
) -> None:
    apart, held = own_model(inspected, list(group), sizes.dtypes)
    needed = [value.name or "" for value in apart.graph.inputs]
    inputs = {value.name for value in inspected.original.graph.inputs}
    wanted = [name for name in dict.fromkeys([pair.name for pair in group] + needed) if name not in inputs]
    changed = _seen_model(inspected, group)
    with (
        Session(_with_outputs(inspected.original, wanted), threads=threads) as float_session,
        Session(changed, threads=threads, optimize=False) as quantized_session,
        _apart_session(apart, held, threads) as own_session,
    ):
        for feed in track(samples, what, samples.feeds):
            arrays = {**feed, **(float_session.run(feed, wanted) if wanted else {})}
            seen = quantized_session.run(feed, [_SEEN + pair.name for pair in group])
            own = own_session.run({name: arrays[name] for name in needed}) if held else {}
            for pair in group:
                facts[pair.name].add(arrays[pair.name], seen[_SEEN + pair.name], own.get(RESULT + pair.name))


def _apart_session(model: ir.Model, held: Sequence[Pair], threads: int) -> Session:
    if held:
        return Session(model, threads=threads, optimize=False)
    nothing = ir.Value(name="nothing")
    node = ir.node("Constant", inputs=[], attributes={"value_float": 0.0}, outputs=[nothing])
    graph = ir.Graph([], [nothing], nodes=[node], opset_imports=model.graph.opset_imports, name="empty")
    return Session(ir.Model(graph, ir_version=model.ir_version), threads=threads)


def _seen_model(inspected: Inspected, group: Sequence[Pair]) -> ir.Model:
    """The quantized model with the counterparts of tensors as its outputs, as floats."""
    values: dict[str, ir.Value] = {}
    for pair in group:
        value = inspected.observable(pair)
        if value is None:
            raise InvalidModelError(f"tensor {pair.name!r} has no value to look at in the quantized model")
        values[pair.name] = value
    copy = inspected.quantized.clone()
    by_name = named_values(copy.graph)
    copy.graph.outputs.clear()
    for pair in group:
        source = by_name[values[pair.name].name or ""]
        params = pair.params
        if values[pair.name] is pair.stored and params is not None:
            point = None if params.zero_point is None else by_name[params.zero_point.name or ""]
            scale = by_name[params.scale.name or ""]
            here = type(params)(scale, point, params.axis, params.of)
            source = dequantized_value(copy.graph, source, here, f"{_SEEN}stored/{pair.name}")
        result = ir.Value(name=_SEEN + pair.name, type=ir.TensorType(ir.DataType.FLOAT))
        copy.graph.append(ir.node("Identity", inputs=[source], outputs=[result]))
        copy.graph.outputs.append(result)
    return copy


def named_values(graph: ir.Graph) -> dict[str, ir.Value]:
    """Name -> value: inputs, initializers and the results of nodes."""
    found = {value.name: value for value in graph.inputs if value.name}
    found |= {value.name: value for value in graph.initializers.values() if value.name}
    return found | {value.name: value for node in graph for value in node.outputs if value.name}


def _with_outputs(model: ir.Model, names: Sequence[str]) -> ir.Model:
    """A copy whose outputs are the named values; the model's own where there are none to add."""
    copy = model.clone()
    if not names:
        return copy
    by_name = {value.name: value for node in copy.graph for value in node.outputs}
    copy.graph.outputs.clear()
    copy.graph.outputs.extend(by_name[name] for name in names)
    return copy


def _empty_facts(pair: Pair, sizes: Sizes) -> TensorFacts:
    rank = sizes.ranks[pair.name]
    around = [pair.original.producer(), *(user for user, _ in pair.original.uses())]
    first = rank >= 3 and any(node is not None and node.op_type in _CHANNELS_FIRST for node in around)
    axis = None if rank < 2 else 1 if first else rank - 1
    return TensorFacts(pair.name, axis=axis, grid=grid_of(pair.params))


def _is_float(dtype: np.dtype | None) -> bool:
    return dtype is not None and dtype.kind == "f"


def _groups(pairs: Sequence[Pair], sizes: Mapping[str, int], budget: int) -> list[list[Pair]]:
    """Tensors in order, in groups that fit the budget; a tensor is held in three versions, plus what feeds it."""
    groups: list[list[Pair]] = []
    room = 0
    for pair in pairs:
        size = 4 * sizes[pair.name]
        if not groups or size > room:
            groups.append([])
            room = budget
        groups[-1].append(pair)
        room -= size
    return groups
