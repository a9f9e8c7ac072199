"""QDQ as integer operators (QLinearConv, QLinearMatMul, QGemm, QLinearAdd, ...): onnxruntime's older form.

Results are those of the QDQ model in onnxruntime, which fuses to the same operators as it loads. What has no integer
operator keeps its QuantizeLinear and DequantizeLinear.
"""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgebig.graph.edit import add_initializer, constant_array
from edgebig.quantize.formats.qoperator_folds import FOLDS, MICROSOFT, STANDARD, Folded, quantizer_of, read_by
from edgebig.targets.ort_cpu import MOVING_OPS


def to_qoperator(model: ir.Model) -> ir.Model:
    """A copy of a QDQ model with integer operators.

    Args:
        model: A model with QuantizeLinear and DequantizeLinear around float operators; it stays as it is.

    Returns:
        The copy. Tensors are shared with `model`.
    """
    copy = model.clone()
    copy.meta.update(model.meta)
    graph = copy.graph
    _give_biases_in_float(graph)
    for node in list(graph):
        if node.domain not in STANDARD or node.graph is not graph:
            continue
        if node.op_type in MOVING_OPS:
            _move_integers(node)
        elif node.op_type in FOLDS:
            folded = FOLDS[node.op_type](node)
            if folded is not None:
                _replace(node, folded, graph)
    RemoveUnusedNodesPass()(copy)
    if any(node.domain == MICROSOFT for node in graph):
        copy.opset_imports.setdefault(MICROSOFT, 1)
    return copy


def _give_biases_in_float(graph: ir.Graph) -> None:
    """What is added behind a MatMul becomes a float vector: its integer operators take a bias in that form alone."""
    for node in list(graph):
        for index, value in enumerate(node.inputs if node.op_type == "Add" else ()):
            vector = _as_vector(value, node.inputs[1 - index])
            if vector is not None and value is not None:
                node.replace_input_with(index, add_initializer(graph, f"{value.name}_vector", vector))


def _as_vector(bias: ir.Value | None, product: ir.Value | None) -> NDArray | None:
    """A constant as a float vector, where adding that to the product of a MatMul gives the same."""
    node = None if product is None else product.producer()
    if node is None or product is None or node.op_type != "MatMul" or product.shape is None:
        return None
    source = read_by(bias, 0)
    if source is None:
        array = constant_array(bias)
    else:
        integers, scale = constant_array(source[0]), constant_array(source[1])
        known = integers is not None and scale is not None and integers.dtype == np.int32
        array = integers * scale if known else None  # type: ignore[operator]
    if array is None or array.ndim > len(product.shape) or array.shape[-1:] != (array.size,) or array.size == 1:
        return None
    return None if source is None and array.ndim == 1 else array.reshape(-1).astype(np.float32)


def _replace(node: ir.Node, folded: Folded, graph: ir.Graph) -> None:
    """Put the integer operator where the node is, and its output in the place of that of the last node folded."""
    new = ir.Node(folded.domain, folded.op_type, folded.inputs, folded.attributes.values(), name=node.name)
    graph.insert_before(node, new)
    output = new.outputs[0]
    old = folded.output
    name = old.name
    old.name, output.name = f"{name}_folded", name
    output.shape, output.type = old.shape, old.type
    ir.convenience.replace_all_uses_with(old, output, replace_graph_outputs=True)


def _move_integers(node: ir.Node) -> None:
    """An operator that moves elements works on the integers, where what is written has the scale of what is read."""
    source = read_by(node.inputs[0])
    quantizers = [quantizer_of(output) for output in node.outputs]
    if source is None or any(quantizer is None or not _same(quantizer, source) for quantizer in quantizers):
        return
    node.replace_input_with(0, source[0])
    for output, quantizer in zip(node.outputs, quantizers, strict=True):
        assert quantizer is not None  # seen above
        integers = quantizer.outputs[0]
        name = integers.name
        integers.name, output.name = f"{name}_folded", name
        output.type, output.shape = integers.type, integers.shape
        ir.convenience.replace_all_uses_with(integers, output, replace_graph_outputs=True)


def _same(quantizer: ir.Node, source: tuple[ir.Value, ir.Value, ir.Value]) -> bool:
    for mine, its in zip(quantizer.inputs[1:3], source[1:], strict=True):
        one, other = constant_array(mine), constant_array(its)
        if one is None or other is None or one.dtype != other.dtype or (one != other).any():
            return False
    return True
