"""Small edits that several verbs need. They change the model they are given; clone first where it must stay."""

from collections.abc import Iterable

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import LiftConstantsToInitializersPass


def working_copy(model: ir.Model) -> ir.Model:
    """A copy to change: tensors are shared until replaced, and weights of Constant nodes are initializers."""
    copy = model.clone()
    copy.meta.update(model.meta)
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(copy)
    return copy


def copy_to_write(model: ir.Model) -> ir.Model:
    """A copy as a file should hold it: initializers are left out of the graph's value_info.

    They state their own shapes there, and tools that change a weight without its entry (onnxruntime's
    quantize_dynamic) fail on the contradiction.
    """
    copy = model.clone()
    for graph in copy.graphs():
        for value in graph.initializers.values():
            if not value.is_graph_input() and not value.is_graph_output():
                value.shape, value.type = None, None
                value.metadata_props.clear()
    return copy


def constant_array(value: ir.Value | None) -> NDArray | None:
    """The array of a constant value (initializer or Constant node's output), or None where it is not constant."""
    if value is None or value.is_graph_input():
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else np.asarray(tensor.numpy())


def add_initializer(graph: ir.Graph, name: str, array: NDArray) -> ir.Value:
    """Register an array as an initializer of `graph`, under `name` or the next free name, and return its value."""
    free, count = name, 0
    taken = value_names(graph)
    while free in taken:
        count += 1
        free = f"{name}_{count}"
    value = ir.Value(name=free, const_value=ir.tensor(array, name=free))
    value.shape, value.type = ir.Shape(array.shape), ir.TensorType(ir.DataType.from_numpy(array.dtype))
    graph.register_initializer(value)
    return value


def set_array(value: ir.Value, array: NDArray) -> None:
    """Give an initializer another array (and its shape and dtype)."""
    value.const_value = ir.tensor(array, name=value.name)
    value.shape, value.type = ir.Shape(array.shape), ir.TensorType(ir.DataType.from_numpy(array.dtype))


def expose_outputs(model: ir.Model, names: Iterable[str]) -> ir.Model:
    """A copy of the model whose outputs are the named intermediate values (of the top-level graph)."""
    copy = model.clone()
    by_name = {value.name: value for node in copy.graph for value in node.outputs}
    by_name |= {value.name: value for value in copy.graph.inputs}
    copy.graph.outputs.clear()
    copy.graph.outputs.extend(by_name[name] for name in names)
    return copy


def value_names(graph: ir.Graph) -> set[str]:
    """Names in use in a graph: inputs, initializers and the outputs of its nodes."""
    names = {value.name or "" for value in graph.inputs} | set(graph.initializers)
    return names | {value.name or "" for node in graph for value in node.outputs}
