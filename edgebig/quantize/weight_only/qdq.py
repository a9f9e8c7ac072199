"""Write standard DequantizeLinear nodes: one for a weight and all its readers; tables are gathered in integers."""

import onnx_ir as ir

from edgebig.quantize.weight_only.blocks import Integers
from edgebig.quantize.weight_only.groups import Group
from edgebig.quantize.weight_only.nbits import replace
from edgebig.quantize.weight_only.packing import integer_type, qdq_arrays
from edgebig.quantize.weight_only.readers import Form, Reader
from edgebig.quantize.weight_only.size import Spec, Storage
from edgebig.quantize.weight_only.stored import Store, Stored


def write_qdq(group: Group, integers: Integers, store: Store) -> Stored:
    """Let all readers of a weight read it dequantized."""
    spec, value = group.spec, group.value
    graph = value.graph
    if not isinstance(graph, ir.Graph):
        raise TypeError(f"initializer {value.name!r} lies in no graph")
    array, scales, points = qdq_arrays(integers, spec)
    dtype, name = integer_type(spec), value.name or "weight"
    stored = Stored(
        store.constant(graph, f"{name}_q{spec.bits}", array, dtype, spec.shape),
        store.constant(graph, f"{name}_scale", scales),
        None if points is None else store.constant(graph, f"{name}_zero_point", points, dtype, scales.shape),
    )
    rows_gathered = [
        reader
        for reader in group.readers
        if reader.form is Form.TABLE and spec.storage is Storage.BLOCKED and not reader.source.turned
    ]
    for reader in rows_gathered:
        _write_gather(reader, spec, stored, store)
    if len(rows_gathered) < len(group.readers):
        attributes = {"axis": spec.axis}
        if spec.storage is Storage.BLOCKED:
            attributes["block_size"] = spec.written
        inputs = [stored.integers, stored.scales, *([stored.points] if stored.points else [])]
        result = store.node(
            graph[0], "DequantizeLinear", inputs, f"{name}_dequantized", attributes=attributes, dtype=spec.dtype
        )
        result.shape = ir.Shape(spec.shape)
        value.replace_all_uses_with(result)
    return stored


def _write_gather(reader: Reader, spec: Spec, stored: Stored, store: Store) -> None:
    """Gather integers, scales and zero points of the rows wanted, and dequantize those only."""
    node = reader.node
    name, indices = node.outputs[0].name or "rows", node.inputs[1]
    parts = [
        store.node(node, "Gather", [value, indices], f"{name}_{what}", attributes={"axis": 0}, dtype=value.dtype)
        for what, value in (("q", stored.integers), ("scale", stored.scales), ("zero_point", stored.points))
        if value is not None
    ]
    attributes = {"axis": -1, "block_size": spec.written}
    rows = store.node(node, "DequantizeLinear", parts, f"{name}_rows", attributes=attributes, dtype=spec.dtype)
    if reader.source.dtype != spec.dtype:
        to = {"to": int(reader.source.dtype)}
        rows = store.node(node, "Cast", [rows], f"{name}_cast", attributes=to, dtype=reader.source.dtype)
    replace(node, rows)
