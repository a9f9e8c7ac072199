"""Lower a whole segment: its nodes in order, its inputs and outputs."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgebig.graph.edit import constant_array
from edgebig.kernels.errors import KernelError
from edgebig.runtime.lower.builder import Builder, element_of, shape_of
from edgebig.runtime.lower.handlers import HANDLERS, INTEGER_PRODUCTS, QUANTIZED, RAW, Handler, handler_of
from edgebig.runtime.lower.making import MAKERS
from edgebig.runtime.lower.parameters import is_constant_dequantize
from edgebig.runtime.lower.refusal import Refusal
from edgebig.runtime.plan import Plan, Port


class Refused(Exception):  # noqa: N818 - the segment is cut there, nothing failed
    """A node of a segment turned out not to fit.

    Attributes:
        node: The node.
        reason: Why.
    """

    def __init__(self, node: ir.Node, reason: str) -> None:
        super().__init__(reason)
        self.node, self.reason = node, reason


def refusal_of(node: ir.Node) -> str | None:
    """Why a node cannot be in a segment, as far as it shows from outside; None where it may."""
    if handler_of(node) is None:
        return f"no kernel for {node.op_type}"
    try:
        for value in node.outputs:
            if value.uses() or value.is_graph_output():
                shape_of(value)
                if not _is_sums(value):
                    element_of(value)
        for given in node.inputs:
            _check_input(node, given)
    except Refusal as refusal:
        return refusal.reason
    return None


def _check_input(node: ir.Node, value: ir.Value | None) -> None:
    if value is None or value.dtype is None or constant_array(value) is not None:
        return
    shape_of(value)
    if value is not node.inputs[0] or (node.op_type == "Cast" and _is_sums(value)):
        return
    if element_of(value) != "f32" and node.op_type in HANDLERS and node.op_type not in RAW | QUANTIZED:
        raise Refusal(f"its input is {value.dtype.name.lower()}")


def _is_sums(value: ir.Value) -> bool:
    """Whether a value is the 32-bit sums of an integer product, which never leave the step that computes them."""
    producer = value.producer()
    return value.dtype == ir.DataType.INT32 and producer is not None and producer.op_type in INTEGER_PRODUCTS


def lower_segment(nodes: Sequence[ir.Node], threads: int) -> Plan:
    """Turn a segment's nodes into steps.

    Args:
        nodes: In topological order; nodes that dequantize constants need not be among them.
        threads: Threads that will share the work.

    Returns:
        The plan.

    Raises:
        Refused: A node does not fit; the segment has to do without it.
    """
    b = Builder(threads, nodes, MAKERS)
    inputs, outputs = boundary(nodes)
    node = nodes[0]
    try:
        for index, value in enumerate(inputs):
            node = next(node for node in nodes if value in node.inputs)
            b.input(value, index)
        for node in nodes:
            if node in b.done:
                continue
            b.begin(node)
            _handler(node)(b, node)
        for index, value in enumerate(outputs):
            node = value.producer() or node
            b.begin(node)
            b.write_output(value, index)
    except (Refusal, KernelError) as e:
        raise Refused(node, e.reason if isinstance(e, Refusal) else str(e)) from e
    return Plan(
        tuple(_port(value) for value in inputs),
        tuple(_port(value) for value in outputs),
        tuple(b.steps),
        tuple(node.name or node.op_type for node in nodes),
    )


def _handler(node: ir.Node) -> Handler:
    handler = handler_of(node)
    if handler is None:
        raise Refusal(f"no kernel for {node.op_type}")
    return handler


def boundary(nodes: Sequence[ir.Node]) -> tuple[list[ir.Value], list[ir.Value]]:
    """What goes into a group of nodes (constants apart), and what comes out of it."""
    inside = set(nodes)
    inputs: dict[ir.Value, None] = {}
    outputs: dict[ir.Value, None] = {}
    for node in nodes:
        for value in node.inputs:
            producer = value.producer() if value is not None else None
            if value is None or producer in inside or constant_array(value) is not None:
                continue
            if producer is not None and is_constant_dequantize(producer):
                continue
            inputs[value] = None
        for value in node.outputs:
            if value.is_graph_output() or any(use.node not in inside for use in value.uses()):
                outputs[value] = None
    return list(inputs), list(outputs)


def _port(value: ir.Value) -> Port:
    dtype = value.dtype.numpy() if value.dtype is not None else np.dtype(np.float32)
    return Port(value.name or "", np.dtype(dtype), shape_of(value))
