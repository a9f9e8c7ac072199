"""Groups of nodes that depend on constants only, and whether storing what they give makes the file larger.

An LSTM whose gates are put in another order is exported as Slices and a Concat of one weight. Each Slice alone would
add to the file, since the weight is still needed by the others; all of them together replace it.
"""

from collections.abc import Callable, Iterator

import onnx_ir as ir


def storable_nodes(graph: ir.Graph, is_foldable: Callable[[ir.Node], bool]) -> set[ir.Node]:
    """The nodes of a graph whose groups may be replaced by their results without the file growing.

    Args:
        graph: The graph; shapes and dtypes should have been inferred.
        is_foldable: Whether a node may be computed ahead at all.
    """
    constant: set[ir.Node] = set()
    for node in graph:
        if is_foldable(node) and all(value is None or _is_constant(value, constant) for value in node.inputs):
            constant.add(node)
    storable: set[ir.Node] = set()
    for group in _groups(constant):
        stored, freed = _stored_bytes(group), _freed_bytes(group)
        if stored is not None and stored <= freed:
            storable |= group
    return storable


def result_bytes(value: ir.Value) -> int | None:
    """Bytes of a value's data; None where its shape or dtype is not known."""
    if value.shape is None or value.dtype is None or value.dtype == ir.DataType.STRING:
        return None
    count = 1
    for size in value.shape:
        if not isinstance(size, int):
            return None
        count *= size
    return -(-count * value.dtype.bitwidth // 8)


def _is_constant(value: ir.Value, nodes: set[ir.Node]) -> bool:
    producer = value.producer()
    if producer is not None:
        return producer in nodes
    return value.is_initializer() and not value.is_graph_input()


def _groups(nodes: set[ir.Node]) -> Iterator[set[ir.Node]]:
    """Nodes that are connected through the values they read and give."""
    left = set(nodes)
    while left:
        group: set[ir.Node] = set()
        waiting = [left.pop()]
        while waiting:
            node = waiting.pop()
            group.add(node)
            values = [value for value in (*node.inputs, *node.outputs) if value is not None]
            near = {user for value in values for user, _ in value.uses()}
            near |= {value.producer() for value in values if value.producer() is not None}  # type: ignore[misc]
            found = near & left
            left -= found
            waiting += found
        yield group


def _stored_bytes(group: set[ir.Node]) -> int | None:
    """Bytes of the results that others read; None where a size is unknown."""
    total = 0
    for node in group:
        for value in node.outputs:
            if value.is_graph_output() or any(user not in group for user, _ in value.uses()):
                size = result_bytes(value)
                if size is None:
                    return None
                total += size
    return total


def _freed_bytes(group: set[ir.Node]) -> int:
    """Bytes of the initializers that nobody else reads."""
    values = {id(value): value for node in group for value in node.inputs if value is not None}
    return sum(
        value.const_value.nbytes
        for value in values.values()
        if value.is_initializer()
        and value.const_value is not None
        and not value.is_graph_output()
        and all(user in group for user, _ in value.uses())
    )
