"""The walk over both graphs that finds the tensors they share."""

import onnx_ir as ir

from edgebig.diagnose.candidates import agreeing, closest, foldable_values
from edgebig.diagnose.carriers import carrier, is_stored, scaled_result
from edgebig.diagnose.naming import alike, names, readers, through_point
from edgebig.diagnose.operators import DROPPED_OPS, float_type
from edgebig.diagnose.pair import pair_of
from edgebig.diagnose.ranges import grid_of
from edgebig.diagnose.walk import region

_ACTIVATIONS = ("Relu", "Clip")


class Walk:
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
        for source, original in list(self.direct.items()):
            self._find_dropped(source, original)

    def _find_dropped(self, source: ir.Value, original: ir.Value) -> None:
        """A Relu or Clip that nothing stands for, where the range of the integers does its work."""
        users = list(readers(original))
        if len(users) != 1 or users[0].op_type not in _ACTIVATIONS or carrier(users[0].outputs[0]) in self.taken:
            return
        pair = pair_of(original, source, behind=False, before=False)
        grid = grid_of(pair.params)
        if grid is None or grid.low < -grid.scale / 2 or source in self.behind:
            return
        result = carrier(users[0].outputs[0])
        if is_stored(source):
            self.taken.discard(original)
            self.direct[source] = result
        else:
            self.behind[source] = result
        self.taken.add(result)

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
        if source in self.behind and through_point(value, source):
            return [self.behind[source]]
        found = []
        current = self.direct.get(source)
        while current is not None:
            found.append(current)
            users = list(readers(current))
            drops = len(users) == 1 and users[0].op_type in DROPPED_OPS and users[0].inputs[0] is not None
            current = carrier(users[0].outputs[0]) if drops else None
        return found

    def _structural_node(self, node: ir.Node) -> ir.Node | None:
        """The float node of the same operator that reads the same tensors."""
        users: dict[ir.Node, None] = {}
        for operand in node.inputs:
            for alias in self.aliases(operand) if operand is not None and operand not in self.constants else ():
                users |= dict.fromkeys(user for user in readers(alias) if user.op_type == float_type(node))
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
        for name in names(node.outputs[0]):
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
        for name in names(value):
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
            if alike(source, original) and self._same_bounds(source, original):
                self._take_activated(source, original)
        elif original in self.aliases(value):
            if through_point(value, source) and not is_stored(source):
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
        if source in self.direct and through_point(output, source):
            self.behind[source] = target
            self.taken.add(target)
        elif source not in self.direct:
            self._take(output, target)
