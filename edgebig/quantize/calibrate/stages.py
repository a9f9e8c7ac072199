"""Cut a graph into stages that are run one after the other on the same batch, each with few tensors to hold at once.

A stage is a run of nodes in the graph's order. It takes what earlier stages computed for it and gives the tensors that
are wanted of it, so every node is computed once for a batch, however little memory there is.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

# A stage is ended where the least has to be carried over, once its own tensors take this share of the budget.
_EARLIEST = 0.5


@dataclass(frozen=True)
class Stage:
    """A part of a graph.

    Attributes:
        inputs: Names of what it reads: inputs of the graph, and results of earlier stages.
        outputs: Names of what it gives: the tensors wanted of it, and what later stages read.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def cut_into_stages(graph: ir.Graph, wanted: Collection[str], sizes: Mapping[str, int], budget: int) -> list[Stage]:
    """Divide a graph so that the wanted tensors of a stage fit a budget; one that is larger has a stage to itself.

    Args:
        graph: Its nodes are in an order in which they can run.
        wanted: Names of results of its nodes.
        sizes: Value name -> bytes, as far as they are known.
        budget: Bytes.
    """
    nodes = list(graph)
    reads = [_reads(node, graph) for node in nodes]
    produced = [sum(sizes.get(name, 0) for name in _names(node) if name in wanted) for node in nodes]
    carried = _carried(nodes, reads, sizes)
    ends = _ends(produced, carried, budget)
    stages, start = [], 0
    for end in (*ends, len(nodes)):
        later = {value.name or "" for values in reads[end:] for value in values}
        own = [name for node in nodes[start:end] for name in _names(node)]
        outputs = tuple(name for name in own if name in wanted or name in later)
        taken = dict.fromkeys(value.name or "" for values in reads[start:end] for value in values)
        if any(name in wanted for name in own) or outputs:
            stages.append(Stage(tuple(name for name in taken if name not in set(own)), outputs))
        start = end
    while stages and not set(stages[-1].outputs) & set(wanted):
        stages.pop()
    return stages


def stage_model(model: ir.Model, stage: Stage) -> ir.Model:
    """The stage as a model of its own; tensors are shared with the whole model, which stays as it is."""
    graph = ir.convenience.extract(model.graph, stage.inputs, stage.outputs)
    functions = [function.clone() for function in model.functions.values()]
    part = ir.Model(graph, ir_version=model.ir_version, functions=functions)
    part.meta.update(model.meta)
    return part


def _names(node: ir.Node) -> list[str]:
    return [value.name for value in node.outputs if value.name]


def _reads(node: ir.Node, graph: ir.Graph) -> list[ir.Value]:
    """What a node reads of the graph besides weights, the graphs inside it included."""
    inner = [reader for body in _inside(node) for reader in body.all_nodes()]
    values = [value for reader in (node, *inner) for value in reader.inputs if value is not None]
    values += [value for body in _inside(node) for value in body.outputs]
    found = dict.fromkeys(value for value in values if value.graph is graph and not value.is_initializer())
    return [value for value in found if value.producer() is not None or value.is_graph_input()]


def _inside(node: ir.Node) -> list[ir.Graph]:
    graphs: list[ir.Graph] = []
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            graphs.append(attribute.as_graph())
        elif attribute.type == ir.AttributeType.GRAPHS:
            graphs.extend(attribute.as_graphs())
    return graphs


def _carried(nodes: Sequence[ir.Node], reads: Sequence[Sequence[ir.Value]], sizes: Mapping[str, int]) -> list[float]:
    """Bytes that are computed before each node and read by it or after it; infinite where that is no plain tensor."""
    first = {value: index for index, node in enumerate(nodes) for value in node.outputs}
    last: dict[ir.Value, int] = {}
    for index, values in enumerate(reads):
        last.update(dict.fromkeys(values, index))
    changes = [0.0] * (len(nodes) + 1)
    barred = [0] * (len(nodes) + 1)
    for value, end in last.items():
        if value not in first:
            continue  # an input of the graph is there anyway
        plain = isinstance(value.type, ir.TensorType) and value.dtype is not None
        changes[first[value] + 1] += sizes.get(value.name or "", 0)
        changes[end + 1] -= sizes.get(value.name or "", 0)
        barred[first[value] + 1] += not plain
        barred[end + 1] -= not plain
    carried, total, bars = [], 0.0, 0
    for change, bar in zip(changes, barred, strict=True):
        total, bars = total + change, bars + bar
        carried.append(float("inf") if bars else total)
    return carried


def _ends(produced: Sequence[int], carried: Sequence[float], budget: int) -> list[int]:
    """Indices of the nodes that begin a new stage."""
    ends: list[int] = []
    start, spent = 0, 0
    for index, size in enumerate(produced):
        if spent and spent + size > budget:
            best, taken = index, 0
            for place in range(start, index):
                taken += produced[place]
                if taken >= _EARLIEST * spent and carried[place + 1] < carried[best]:
                    best = place + 1
            if carried[best] < float("inf"):
                ends.append(best)
                start, spent = best, sum(produced[best:index])
        spent += size
    return ends
