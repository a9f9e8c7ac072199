"""A model for one set of input shapes: shapes become numbers, and what depends on shapes alone becomes constant."""

from collections.abc import Mapping

import numpy as np
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from edgebig.errors import InvalidModelError
from edgebig.graph.edit import constant_array, working_copy
from edgebig.graph.load import describe_source
from edgebig.graph.shapes import infer_shapes, static_shape
from edgebig.runtime.contrib_shapes import declare_shapes
from edgebig.runtime.fold_quantized import fold_quantized_constants

# Shapes, axes and indices are this small; weights are not touched.
SMALL = 1024
_NEVER = frozenset(
    {"DequantizeLinear", "QuantizeLinear", "RandomNormal", "RandomUniform", "Multinomial", "If", "Loop", "Scan"}
)
_ROUNDS = 4

Shapes = Mapping[str, tuple[int, ...]]


def dynamic_inputs(model: ir.Model) -> tuple[str, ...]:
    """Names of the inputs that have an axis without a size."""
    return tuple(
        value.name or ""
        for value in model.graph.inputs
        if value.name not in model.graph.initializers and static_shape(value) is None
    )


def specialise(model: ir.Model, shapes: Shapes) -> ir.Model:
    """A copy of the model for inputs of these shapes.

    Args:
        model: Any model; it stays as it is.
        shapes: Shape of each input that has dynamic axes (others may be given too).

    Returns:
        The copy: its values have the shapes that follow; nodes that compute shapes, and those that quantize constants,
        are folded into constants.

    Raises:
        InvalidModelError: A shape contradicts the model's input.
    """
    copy = working_copy(model)
    fold_quantized_constants(copy.graph)
    for value in copy.graph.inputs:
        shape = shapes.get(value.name or "")
        if shape is not None:
            _check_shape(model, value, shape)
            value.shape = ir.Shape(shape)
    for _ in range(_ROUNDS):  # a folded shape lets inference see further, and the other way round
        infer_shapes(copy)
        if not declare_shapes(copy) + fold_shapes(copy.graph):
            break
    return copy


def fold_shapes(graph: ir.Graph) -> int:
    """Replace nodes whose small results follow from constants and shapes by initializers.

    Args:
        graph: Changed in place; the nodes stay where they are used no more, for onnxruntime to drop.

    Returns:
        The number of values that became constants.
    """
    folded = 0
    for node in list(graph):
        found = _evaluate(node)
        if found is None:
            continue
        for value, array in zip(list(node.outputs), found, strict=True):
            constant = ir.Value(name=f"{value.name}_folded", const_value=ir.tensor(array, name=f"{value.name}_folded"))
            constant.shape, constant.type = ir.Shape(array.shape), value.type
            graph.register_initializer(constant)
            value.replace_all_uses_with(constant)
            folded += 1
        if not any(value.is_graph_output() for value in node.outputs):
            graph.remove(node, safe=True)
    return folded


def _evaluate(node: ir.Node) -> list[np.ndarray] | None:
    """What a node gives, where that is small and known; None otherwise."""
    if node.domain not in ("", "ai.onnx") or node.op_type in _NEVER or any(v.is_graph_output() for v in node.outputs):
        return None
    if node.op_type == "Shape":
        shape = static_shape(node.inputs[0])
        if shape is None:
            return None
        start = node.attributes.get_int("start", 0)
        end = node.attributes.get_int("end", len(shape))
        return [np.array(shape[start:end], dtype=np.int64)]
    arrays = [constant_array(value) if value is not None else None for value in node.inputs]
    known = all(array is not None or value is None for array, value in zip(arrays, node.inputs, strict=True))
    if not node.inputs or not known or any(array is not None and array.size > SMALL for array in arrays):
        return None
    if any(array is not None and array.dtype.kind == "f" and array.ndim > 1 for array in arrays):
        return None  # a weight, not a shape
    return _run_node(node, arrays)


def _run_node(node: ir.Node, arrays: list[np.ndarray | None]) -> list[np.ndarray] | None:
    names = [f"i{i}" if array is not None else "" for i, array in enumerate(arrays)]
    proto = ir.to_proto(node)
    del proto.input[:]
    proto.input.extend(names)
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            [proto],
            "node",
            [onnx.helper.make_value_info(name, onnx.TypeProto()) for name in names if name],
            [onnx.helper.make_value_info(name, onnx.TypeProto()) for name in proto.output],
        ),
        opset_imports=[onnx.helper.make_opsetid("", node.version or 21)],
    )
    try:
        given = {name: array for name, array in zip(names, arrays, strict=True) if name}
        results = ReferenceEvaluator(model).run(None, given)
    except Exception:  # the reference lacks the operator, or this use of it: the node simply stays
        return None
    found = [np.asarray(result) for result in results]
    return found if all(array.size <= SMALL for array in found) else None


def _check_shape(model: ir.Model, value: ir.Value, shape: tuple[int, ...]) -> None:
    declared = value.shape
    if declared is None:
        return
    fits = len(declared) == len(shape) and all(
        not isinstance(size, int) or size == given for size, given in zip(declared, shape, strict=True)
    )
    if not fits:
        raise InvalidModelError(
            f"{describe_source(model)}: input {value.name!r} of shape {list(declared)} was given {list(shape)}"
        )
