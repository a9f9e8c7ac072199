"""Bring a model into the form that both sides of a diagnosis have: one flat graph, constants as initializers.

Functions are inlined. An If whose condition has the same value on all samples (a sample rate, a mode) is replaced by
the branch it takes, so that what lies in it can be looked at; an If that goes both ways stays as it is.
"""

import itertools

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import InlinePass, RemoveUnusedNodesPass

from edgebig.data.samples import Samples
from edgebig.graph.edit import constant_array, expose_outputs, value_names, working_copy
from edgebig.graph.session import Session
from edgebig.graph.shapes import infer_shapes


def prepare(model: ir.Model, samples: Samples, *, threads: int = 0) -> ir.Model:
    """A copy of a model as one flat graph.

    Args:
        model: The model; it stays as it is, but for the order of its nodes where that is not topological.
        samples: The feeds on which conditions are looked at.
        threads: Threads within an operator; 0 leaves the choice to onnxruntime.

    Returns:
        The copy. Its inputs, outputs, and the names of nodes and values outside of branches are the model's.
    """
    model.graph.sort()  # onnxruntime's quantize_dynamic writes files whose branches read what is computed after them
    copy = working_copy(model)
    InlinePass()(copy)
    undecided: set[ir.Node] = set()
    while open_nodes := [node for node in copy.graph if node.op_type == "If" and node not in undecided]:
        taken = _conditions(copy, open_nodes, samples, threads)
        for node in open_nodes:
            if node in taken:
                _take_branch(copy.graph, node, taken[node])
            else:
                undecided.add(node)
    # Branches bring Constant nodes of their own along.
    flat = working_copy(copy)
    RemoveUnusedNodesPass()(flat)
    flat.graph.sort()
    _rename_inlined(flat.graph)
    infer_shapes(flat)  # where it fails, dtypes are those that the file declares
    return flat


def _conditions(model: ir.Model, nodes: list[ir.Node], samples: Samples, threads: int) -> dict[ir.Node, bool]:
    """If node -> its condition, where that is the same on all samples."""
    found: dict[ir.Node, bool] = {}
    to_run: list[ir.Node] = []
    for node in nodes:
        array = constant_array(node.inputs[0])
        if array is None:
            to_run.append(node)
        else:
            found[node] = bool(array.reshape(-1)[0])
    if not to_run:
        return found
    names = {node: node.inputs[0].name or "" for node in to_run if node.inputs[0] is not None}
    seen: dict[str, set[bool]] = {name: set() for name in names.values()}
    with Session(expose_outputs(model, dict.fromkeys(names.values())), threads=threads) as session:
        for feed in samples:
            for name, array in session.run(feed).items():
                seen[name].add(bool(np.asarray(array).reshape(-1)[0]))
    found.update({node: next(iter(seen[name])) for node, name in names.items() if len(seen[name]) == 1})
    return found


def _take_branch(graph: ir.Graph, node: ir.Node, condition: bool) -> None:
    """Put the nodes of one branch in the place of the If."""
    branch = node.attributes["then_branch" if condition else "else_branch"].as_graph()
    taken = value_names(graph)
    prefix = node.name or (node.outputs[0].name or "if")
    results = list(branch.outputs)
    inner = list(branch)
    for value in itertools.chain(branch.initializers.values(), (out for item in inner for out in item.outputs)):
        if value.name and value.name in taken:
            value.name = _free_name(f"{prefix}/{value.name}", taken)
        taken.add(value.name or "")
    initializers = list(branch.initializers.values())
    branch.outputs.clear()
    for value in initializers:
        branch.initializers.pop(value.name or "", None)
    branch.remove(inner)
    for value in initializers:
        graph.register_initializer(value)
    graph.insert_before(node, inner)
    for old, new in zip(list(node.outputs), results, strict=True):
        _replace(graph, node, old, new)
    graph.remove(node, safe=True)


def _replace(graph: ir.Graph, node: ir.Node, old: ir.Value, new: ir.Value) -> None:
    """Let `new` stand wherever `old` is read; an output of the graph keeps its name by an Identity."""
    if not old.is_graph_output():
        old.replace_all_uses_with(new)
        return
    name = old.name
    old.name = _free_name(f"{name}/branch", value_names(graph))
    result = ir.node("Identity", inputs=[new], outputs=[ir.Value(name=name, shape=old.shape, type=old.type)])
    graph.insert_before(node, result)
    old.replace_all_uses_with(result.outputs[0], replace_graph_outputs=True)


def _rename_inlined(graph: ir.Graph) -> None:
    """Free the names that onnxruntime gives to the inside of functions (HardSwish): it does not look who has them."""
    for node in graph:
        for value in node.outputs:
            if (value.name or "").startswith("_inlfunc_") and not value.is_graph_output():
                value.name = f"inlined/{value.name}"


def _free_name(name: str, taken: set[str]) -> str:
    free = name
    for count in itertools.count(1):
        if free not in taken:
            break
        free = f"{name}_{count}"
    return free
