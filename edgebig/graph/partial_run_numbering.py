"""Which values of two models are computed in the same way from the same things, whatever they are called.

Value numbering: a value's number stands for its operator, attributes, opset version and the numbers of what it reads,
down to the graph's inputs (by name) and constants (by content). Equal numbers mean equal computations; unequal ones
may still be equal, which costs time and no correctness.

Source of the method: B. Alpern, M. N. Wegman, F. K. Zadeck, "Detecting equality of variables in programs", POPL 1988.
"""

import hashlib
import itertools
from collections.abc import Collection, Hashable, Iterable

import onnx_ir as ir

from edgebig.graph.load import tensors

# Constants up to this many bytes are compared by content at once, larger ones by identity first.
SMALL = 1024
_GRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
_TENSORS = (ir.AttributeType.TENSOR, ir.AttributeType.TENSORS)
Numbers = dict[ir.Value, int]


class Numbering:
    """Numbers the values of one model, and those of changed models alike.

    Args:
        base: The model; its tensors are remembered, so that clones of it, which share them, need not be read.
    """

    def __init__(self, base: ir.Model) -> None:
        self._counter = itertools.count()
        self._known: dict[Hashable, int] = {}
        self._tensors = _BaseTensors(base)
        self._base = base

    def of_base(self, leaves: Collection[str] = ()) -> Numbers:
        """The numbers of the top-level values of the base; see `of`."""
        return _Numberer(self._base, self._known, {}, self._counter, self._tensors).number(leaves)

    def of(self, model: ir.Model, leaves: Collection[str] = ()) -> Numbers:
        """The numbers of the top-level values of a model; comparable with the base's numbers only.

        Args:
            model: The model, in topological order.
            leaves: Names of values that stand for themselves, however they are computed.
        """
        return _Numberer(model, {}, self._known, self._counter, self._tensors).number(leaves)


class _BaseTensors:
    """Keys of the base's tensors: equal for equal content."""

    def __init__(self, base: ir.Model) -> None:
        self._keys: dict[int, tuple[ir.TensorProtocol, Hashable]] = {}
        self._alike: dict[Hashable, list[ir.TensorProtocol]] = {}
        for tensor in tensors(base):
            if id(tensor) not in self._keys and tensor.dtype != ir.DataType.STRING and tensor.nbytes > SMALL:
                self._keys[id(tensor)] = (tensor, ("base", len(self._keys)))
                self._alike.setdefault(_form(tensor), []).append(tensor)
        self._digests: dict[int, bytes] = {}

    def key(self, tensor: ir.TensorProtocol) -> Hashable | None:
        """The key of a large tensor; None where the base has none like it."""
        found = self._keys.get(id(tensor))
        if found is not None:
            return found[1]
        candidates = self._alike.get(_form(tensor), [])
        digest = _digest(tensor) if candidates else b""
        for candidate in candidates:
            if id(candidate) not in self._digests:
                self._digests[id(candidate)] = _digest(candidate)
            if self._digests[id(candidate)] == digest:
                return self._keys[id(candidate)][1]
        return None


class _Numberer:
    """Numbers one model."""

    def __init__(
        self,
        model: ir.Model,
        numbers: dict[Hashable, int],
        known: dict[Hashable, int],
        counter: "itertools.count[int]",
        tensors: _BaseTensors,
    ) -> None:
        self._model = model
        self._numbers, self._known, self._counter = numbers, known, counter
        self._tensors = tensors
        self._new_tensors: dict[int, tuple[ir.TensorProtocol, Hashable]] = {}
        self._functions: dict[tuple[str, str, str], bytes] = {
            name: ir.to_proto(function).SerializeToString(deterministic=True)
            for name, function in model.functions.items()
        }

    def number(self, leaves: Collection[str]) -> Numbers:
        graph = self._model.graph
        found: Numbers = {}
        for value in graph.initializers.values():
            found[value] = self._constant(value.const_value)
        for value in graph.inputs:
            if value not in found:
                found[value] = self._number(("leaf" if value.name in leaves else "input", value.name))
        for node in graph:
            self._visit(node, found, 0)
            for output in node.outputs:
                if output.name and output.name in leaves:
                    found[output] = self._number(("leaf", output.name))
        return found

    def _number(self, key: Hashable) -> int:
        found = self._known.get(key)
        if found is None:
            found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = next(self._counter)
        return found

    def _visit(self, node: ir.Node, found: Numbers, depth: int) -> None:
        constant = ir.convenience.get_const_tensor(node.outputs[0]) if node.op_type == "Constant" else None
        if constant is not None:
            found[node.outputs[0]] = self._constant(constant)
            return
        reads = tuple(None if value is None else found[value] for value in node.inputs)
        identity = (node.domain, node.op_type, node.overload, self._version(node))
        attributes = tuple(
            (name, self._attribute(node.attributes[name], found, depth)) for name in sorted(node.attributes)
        )
        key = (identity, attributes, reads, len(node.outputs))
        for index, output in enumerate(node.outputs):
            found[output] = self._number((key, index))

    def _version(self, node: ir.Node) -> Hashable:
        function = self._functions.get(node.op_identifier())
        imports = self._model.graph.opset_imports
        return function if function is not None else imports.get(node.domain, imports.get("ai.onnx", 0))

    def _attribute(self, attribute: ir.Attr, found: Numbers, depth: int) -> Hashable:
        value = attribute.value
        if attribute.type in _GRAPHS:
            graphs: Iterable[ir.Graph] = value if attribute.type == ir.AttributeType.GRAPHS else (value,)
            return tuple(self._graph(graph, found, depth + 1) for graph in graphs)
        if attribute.type in _TENSORS:
            tensors = value if attribute.type == ir.AttributeType.TENSORS else (value,)
            return tuple(self._constant(tensor) for tensor in tensors)
        if isinstance(value, (str, bytes, int, float)) or value is None:
            return (attribute.type.name, repr(value), attribute.ref_attr_name)
        if isinstance(value, (list, tuple)):
            return (attribute.type.name, repr(tuple(value)))
        return next(self._counter)  # a kind that cannot be compared: different from all

    def _graph(self, graph: ir.Graph, outer: Numbers, depth: int) -> Hashable:
        """A body's number: what it gives, as a function of its own inputs (by place) and of the values around it."""
        found = dict(outer)
        for value in graph.initializers.values():
            found[value] = self._constant(value.const_value)
        for index, value in enumerate(graph.inputs):
            found[value] = self._number(("formal", depth, index))
        for node in graph:
            self._visit(node, found, depth)
        return (len(graph.inputs), tuple(found[value] for value in graph.outputs))

    def _constant(self, tensor: ir.TensorProtocol | None) -> int:
        if tensor is None:
            return next(self._counter)
        if tensor.dtype == ir.DataType.STRING or tensor.nbytes <= SMALL:
            return self._number(("tensor", _form(tensor), _content(tensor)))
        key = self._tensors.key(tensor)
        if key is None:
            new = (tensor, ("new", next(self._counter)))
            key = self._new_tensors.setdefault(id(tensor), new)[1]
        return self._number(key)


def _form(tensor: ir.TensorProtocol) -> Hashable:
    return (tensor.dtype.name, tuple(tensor.shape.numpy()))


def _content(tensor: ir.TensorProtocol) -> bytes:
    return repr(tensor.numpy().tolist()).encode() if tensor.dtype == ir.DataType.STRING else tensor.tobytes()


def _digest(tensor: ir.TensorProtocol) -> bytes:
    return hashlib.blake2b(_content(tensor), digest_size=16).digest()
