"""Find each tensor of the float graph in the quantized one.

Both graphs are walked from their inputs. A node of the quantized graph stands for one of the float graph when both
are the same operator (or its integer twin) on tensors that were found to be the same; the name of the result decides
where it survived and nothing contradicts it, else the operands, and among several candidates the node's name and the
dequantized weights. A node with the right name and another operator (fused, or expanded) is taken when both are
computed from the same tensors. What is not found stays unmatched.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import onnx_ir as ir

from edgebig.diagnose.candidates import agreeing, closest, foldable_values
from edgebig.diagnose.carriers import carrier, is_stored, scaled_result
from edgebig.diagnose.operators import DROPPED_OPS, EXPANDED_OPS, QUANTIZE, float_type
from edgebig.diagnose.pair import Pair, pair_of
from edgebig.diagnose.walk import region
from edgebig.errors import InvalidModelError
from edgebig.graph.load import describe_source

_ACTIVATIONS = ("Relu", "Clip")
_SUFFIXES = ("_quantized", "_quant", "_QuantizeLinear_Output", "_output_quantized")


@dataclass
class Matching:
    """The float graph's tensors, and which of them have a counterpart.

    Attributes:
        pairs: Float value -> its counterpart, in the float graph's order.
        unmatched: Float values computed from the inputs that have none.
    """

    pairs: dict[ir.Value, Pair] = field(default_factory=dict)
    unmatched: tuple[ir.Value, ...] = ()


def match_graphs(original: ir.Model, quantized: ir.Model) -> Matching:
    """Match two prepared models.

    Raises:
        InvalidModelError: They have other inputs or outputs, or nothing between them is the same.
    """
    check_interfaces(original, quantized)
    walk = _Walk(original.graph, quantized.graph)
    walk.run()
    matching = walk.matching()
    computed = [value for value in matching.pairs if value.producer() is not None]
    inner = [value for value in computed if not value.is_graph_output()]
    if not inner and len(original.graph) > 3 and matching.unmatched:
        raise InvalidModelError(
            f"{describe_source(quantized)} is no quantized version of {describe_source(original)}: none of the "
            f"{len(matching.unmatched)} tensors between inputs and outputs was found in it. Give the float model that "
            f"it was made from."
        )
    return matching


def check_interfaces(original: ir.Model, quantized: ir.Model) -> None:
    """Refuse models that differ in the names of inputs or outputs.

    Raises:
        InvalidModelError: They do; the message lists both.
    """
    for what, ours, theirs in (
        ("inputs", _free_inputs(original), _free_inputs(quantized)),
        ("outputs", original.graph.outputs, quantized.graph.outputs),
    ):
        first, second = ([value.name or "" for value in values] for values in (ours, theirs))
        if set(first) != set(second):
            raise InvalidModelError(
                f"{describe_source(quantized)} is no quantized version of {describe_source(original)}: its {what} are "
                f"{', '.join(second)}, those of the float model are {', '.join(first)}. Give the float model that it "
                f"was made from."
            )


def _free_inputs(model: ir.Model) -> list[ir.Value]:
    return [value for value in model.graph.inputs if value.name not in model.graph.initializers]


class _Walk:
    """One walk over both graphs. `direct` and `behind` map carriers of the quantized graph to float values: the
    tensor as it is computed, and as it is behind its quantization (where that took the place of an activation)."""

    def __init__(self, original: ir.Graph, quantized: ir.Graph) -> None:
        self.original, self.quantized = original, quantized
        self.direct: dict[ir.Value, ir.Value] = {}
        self.behind: dict[ir.Value, ir.Value] = {}
        self.taken: set[ir.Value] = set()
        self.constants = foldable_values(original) | foldable_values(quantized)
        self.by_name = {value.name: carrier(value) for node in original for value in node.outputs if value.name}
        named = {value.name: value for value in original.inputs}
        for value in quantized.inputs:
            if value.name in named:
                self._take(value, named[value.name])

    def run(self) -> None:
        for node in self.quantized:
            values = [value for value in node.outputs if value.name and value not in self.constants]
            if not values or any(carrier(value) is not value for value in values):
                continue
            found = self._named_node(node)
            if found is None and self._take_named_values(values):
                continue
            found = found or self._structural_node(node)
            if found is not None:
                self._take_node(node, found)
        for output in self.quantized.outputs:
            self._take_output(output)

    def _take(self, value: ir.Value, original: ir.Value) -> None:
        self.direct[carrier(value)] = original
        self.taken.add(original)

    def _take_activated(self, value: ir.Value, original: ir.Value) -> None:
        """Take a value for a float one; where its quantization does the work of a Relu, for the Relu's input too."""
        ours, before = value.producer(), original
        while (
            (node := before.producer()) and node.op_type in _ACTIVATIONS and (not ours or ours.op_type != node.op_type)
        ):
            if node.inputs[0] is None or carrier(node.inputs[0]) in self.taken:
                break
            before = carrier(node.inputs[0])
        if before is not original and pair_of(before, carrier(value), behind=False, before=False).points:
            self._take(value, before)
            self.behind[carrier(value)] = original
            self.taken.add(original)
        else:
            self._take(value, original)

    def aliases(self, value: ir.Value) -> list[ir.Value]:
        """The float values that a value of the quantized graph may stand for: what was dropped behind it too."""
        source = carrier(value)
        if source in self.behind and _through_point(value, source):
            return [self.behind[source]]
        found = []
        current = self.direct.get(source)
        while current is not None:
            found.append(current)
            users = list(_users(current))
            drops = len(users) == 1 and users[0].op_type in DROPPED_OPS and users[0].inputs[0] is not None
            current = carrier(users[0].outputs[0]) if drops else None
        return found

    def _structural_node(self, node: ir.Node) -> ir.Node | None:
        """The float node of the same operator that reads the same tensors."""
        users: dict[ir.Node, None] = {}
        for operand in node.inputs:
            for alias in self.aliases(operand) if operand is not None and operand not in self.constants else ():
                users |= dict.fromkeys(user for user in _users(alias) if user.op_type == float_type(node))
        return closest(
            node,
            [
                user
                for user in users
                if carrier(user.outputs[0]) not in self.taken and agreeing(node, user, self.aliases, self.constants)
            ],
        )

    def _named_node(self, node: ir.Node) -> ir.Node | None:
        """The float node of the same operator whose result has the same name."""
        for name in _names(node.outputs[0]):
            original = self.by_name.get(name)
            producer = original.producer() if original is not None and original not in self.taken else None
            same = producer is not None and producer.op_type == float_type(node)
            if producer and same and agreeing(node, producer, self.aliases, self.constants, partly=True) is not None:
                return producer
        return None

    def _take_named_values(self, values: list[ir.Value]) -> bool:
        found = [self._take_named(value) for value in values]
        return any(found)

    def _take_named(self, value: ir.Value) -> bool:
        """Match a result by its name, where another operator computes it from the same tensors."""
        for name in _names(value):
            original = self.by_name.get(name)
            if original is not None and self._same_bounds(value, original):
                self._take_activated(value, original)
                return True
        return False

    def _same_bounds(self, value: ir.Value, original: ir.Value) -> bool:
        """Whether two values, neither of them matched so far, are computed from the same tensors."""
        if original in self.taken or original in self.constants or carrier(value) in self.direct:
            return False
        theirs = region(original, lambda v: carrier(v) in self.taken)
        ours = region(scaled_result(value), lambda v: carrier(v) in self.direct)
        bounds = {alias for bound in ours.boundary for alias in self.aliases(bound)}
        return bool(ours.boundary) and {carrier(bound) for bound in theirs.boundary} <= bounds

    def _take_node(self, node: ir.Node, original: ir.Node) -> None:
        pairs = agreeing(node, original, self.aliases, self.constants, partly=True) or []
        for ours, theirs in pairs:
            if ours is not None and theirs is not None and ours not in self.constants:
                self._take_operand(ours, carrier(theirs))
        for value, theirs in zip(node.outputs, original.outputs, strict=False):
            if value.name and theirs.name and carrier(theirs) not in self.taken:
                self._take(value, carrier(theirs))

    def _take_operand(self, value: ir.Value, original: ir.Value) -> None:
        """What a reader asks for tells what a value stands for: the result of a dropped operator, or one renamed."""
        if original in self.taken or original in self.constants:
            return
        source = carrier(value)
        if source not in self.direct:
            if _alike(source, original) and self._same_bounds(source, original):
                self._take_activated(source, original)
        elif original in self.aliases(value):
            if _through_point(value, source) and not is_stored(source):
                self.behind[source] = original
            else:
                self.taken.discard(self.direct[source])
                self.direct[source] = original
            self.taken.add(original)

    def _take_output(self, output: ir.Value) -> None:
        """The outputs are the same by the interface, whatever was found on the way."""
        original = next(value for value in self.original.outputs if value.name == output.name)
        source, target = carrier(output), carrier(original)
        if target in self.taken or source.producer() is None:
            return
        if source in self.direct and _through_point(output, source):
            self.behind[source] = target
            self.taken.add(target)
        elif source not in self.direct:
            self._take(output, target)

    def matching(self) -> Matching:
        inverse = {original: (source, False) for source, original in self.direct.items()}
        inverse |= {original: (source, True) for source, original in self.behind.items()}
        result, unmatched = Matching(), []
        for value in _values(self.original):
            if value in inverse:
                source, behind = inverse[value]
                before = not behind and source in self.behind
                result.pairs[value] = pair_of(value, source, behind=behind, before=before)
            elif value not in self.constants and value.name and not _is_alias(value.producer()):
                unmatched.append(value)
        result.unmatched = tuple(unmatched)
        return result


def _values(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from graph.inputs
    for node in graph:
        yield from node.outputs


def _names(value: ir.Value) -> Iterator[str]:
    """The names that a tensor may have had before it was quantized."""
    for candidate in dict.fromkeys((value, scaled_result(value))):
        name = candidate.name or ""
        yield name
        for suffix in _SUFFIXES:
            if name.endswith(suffix):
                yield name.removesuffix(suffix)
    for user, _ in value.uses():
        if user.op_type == "DequantizeLinear":
            yield user.outputs[0].name or ""


def _users(value: ir.Value) -> Iterator[ir.Node]:
    """The nodes that read a float value, through Identity too."""
    for user, _ in value.uses():
        if _is_alias(user):
            yield from _users(user.outputs[0])
        else:
            yield user


def _alike(value: ir.Value, original: ir.Value) -> bool:
    """Whether a value may stand for a float one of another name: the same operator, activations left out, or one
    that quantizers write as several nodes."""
    ours, theirs = value.producer(), original.producer()
    while ours is not None and theirs is not None:
        if theirs.op_type == float_type(ours) or theirs.op_type in EXPANDED_OPS:
            return True
        if theirs.op_type not in DROPPED_OPS or theirs.inputs[0] is None:
            return False
        theirs = carrier(theirs.inputs[0]).producer()
    return False


def _is_alias(node: ir.Node | None) -> bool:
    return node is not None and bool(node.outputs) and carrier(node.outputs[0]) is not node.outputs[0]


def _through_point(value: ir.Value, source: ir.Value) -> bool:
    """Whether a QuantizeLinear lies between a carrier and a value that represents it."""
    while value is not source:
        node = value.producer()
        if node is None:
            return False
        if node.op_type == QUANTIZE:
            return True
        value = next(v for v in node.inputs if v is not None and carrier(v) is source)
    return False
