"""Write `com.microsoft` MatMulNBits and GatherBlockQuantized, both from the same packed weight.

Y = A B^T with B [N, K] in blocks along K, each with a scale and (optionally) a zero point; without zero points it is
2^(bits - 1). The rows of B are those of an embedding table, whose bytes GatherBlockQuantized reads in the same order.
"""

import numpy as np
import onnx_ir as ir

from edgebig.graph.edit import constant_array
from edgebig.quantize.weight_only.blocks import Integers
from edgebig.quantize.weight_only.groups import Group
from edgebig.quantize.weight_only.packing import nbits_arrays
from edgebig.quantize.weight_only.readers import Form, Reader
from edgebig.quantize.weight_only.size import Spec
from edgebig.quantize.weight_only.stored import Store, Stored, int64

DOMAIN = "com.microsoft"


def write_nbits(group: Group, integers: Integers, store: Store, accuracy_level: int) -> Stored:
    """Let all readers of a weight read it packed."""
    spec = group.spec
    graph = group.value.graph
    if not isinstance(graph, ir.Graph):
        raise TypeError(f"initializer {group.value.name!r} lies in no graph")
    packed, scales, points = nbits_arrays(integers, spec)
    only_tables = all(reader.form is Form.TABLE for reader in group.readers)
    if only_tables:
        packed = packed.reshape(spec.rows, -1)
    name = group.value.name or "weight"
    stored = Stored(
        store.constant(graph, f"{name}_q{spec.bits}", packed),
        store.constant(graph, f"{name}_scales", scales),
        None if points is None else store.constant(graph, f"{name}_zero_points", points),
    )
    for reader in group.readers:
        if reader.form is Form.TABLE:
            _write_gather(reader, spec, stored, store, flat=only_tables)
        else:
            _write_matmul(reader, spec, stored, store, accuracy_level)
    return stored


def _write_gather(reader: Reader, spec: Spec, stored: Stored, store: Store, *, flat: bool) -> None:
    node, graph = reader.node, reader.node.graph
    name = node.outputs[0].name or "rows"
    table = stored.integers
    if not isinstance(graph, ir.Graph):
        raise TypeError(f"node {node.name!r} lies in no graph")
    if not flat:
        shape = store.constant(graph, f"{name}_table_shape", int64(spec.rows, -1))
        table = store.node(node, "Reshape", [table, shape], f"{name}_table")
    inputs = [table, node.inputs[1], stored.scales, *([stored.points] if stored.points else [])]
    sizes = {"bits": spec.bits, "block_size": spec.written, "gather_axis": 0, "quantize_axis": 1}
    rows = store.node(
        node, "GatherBlockQuantized", inputs, f"{name}_rows", domain=DOMAIN, attributes=sizes, dtype=spec.dtype
    )
    if spec.inputs % spec.written:
        cut = [store.constant(graph, f"{name}_{what}", int64(at)) for what, at in (("from", 0), ("to", spec.inputs))]
        axes = store.constant(graph, f"{name}_axes", int64(-1))
        rows = store.node(node, "Slice", [rows, *cut, axes], f"{name}_cut", dtype=spec.dtype)
    replace(node, rows)


def _write_matmul(reader: Reader, spec: Spec, stored: Stored, store: Store, accuracy_level: int) -> None:
    node = reader.node
    name = node.outputs[0].name or "product"
    gemm = node.op_type == "Gemm"
    activation = node.inputs[0]
    if gemm and node.attributes.get_int("transA", 0) != 0:
        activation = store.node(node, "Transpose", [activation], f"{name}_turned", perm=[1, 0], dtype=spec.dtype)
    bias, summand = _gemm_bias(node, spec, store) if gemm else (None, None)
    inputs: list[ir.Value | None] = [activation, stored.integers, stored.scales, stored.points, None, bias]
    while inputs[-1] is None:
        inputs.pop()
    sizes = {"K": spec.inputs, "N": spec.rows, "bits": spec.bits, "block_size": spec.written}
    product = store.node(
        node,
        "MatMulNBits",
        inputs,
        f"{name}_q{spec.bits}",
        domain=DOMAIN,
        attributes=sizes | {"accuracy_level": accuracy_level},
        dtype=spec.dtype,
    )
    alpha = node.attributes.get_float("alpha", 1.0) if gemm else 1.0
    if alpha != 1.0:
        product = _scaled(product, alpha, node, spec, store, f"{name}_alpha")
    if summand is not None:
        product = store.node(node, "Add", [product, summand], f"{name}_sum", dtype=spec.dtype)
    replace(node, product)


def _gemm_bias(node: ir.Node, spec: Spec, store: Store) -> tuple[ir.Value | None, ir.Value | None]:
    """The bias that the product takes in, and what is added behind it: one of them, or none."""
    value = node.inputs[2] if len(node.inputs) > 2 else None
    alpha, beta = (node.attributes.get_float(name, 1.0) for name in ("alpha", "beta"))
    if value is None or beta == 0.0:
        return None, None
    array = constant_array(value)
    graph = node.graph
    if (
        alpha == 1.0
        and array is not None
        and array.shape in ((spec.rows,), (1, spec.rows))
        and isinstance(graph, ir.Graph)
    ):
        if beta == 1.0 and array.ndim == 1:
            return value, None
        bias = (array.reshape(-1) * array.dtype.type(beta)).astype(array.dtype)
        return store.constant(graph, f"{value.name}_bias", bias), None
    name = f"{node.outputs[0].name}_beta"
    return None, value if beta == 1.0 else _scaled(value, beta, node, spec, store, name)


def _scaled(value: ir.Value, factor: float, node: ir.Node, spec: Spec, store: Store, name: str) -> ir.Value:
    graph = node.graph
    if not isinstance(graph, ir.Graph):
        raise TypeError(f"node {node.name!r} lies in no graph")
    constant = store.constant(graph, name, np.asarray(factor, spec.dtype.numpy()))
    return store.node(node, "Mul", [value, constant], f"{name}_product", dtype=spec.dtype)


def replace(node: ir.Node, value: ir.Value) -> None:
    """Put a value in the place of a node's output, under its name, and remove the node."""
    old = node.outputs[0]
    value.shape = old.shape
    name, producer = old.name, value.producer()
    old.replace_all_uses_with(value, replace_graph_outputs=True)
    graph = node.graph
    if graph is not None:
        graph.remove(node, safe=True)
    if producer is not None:
        producer.name = node.name or producer.name
    value.name = name
