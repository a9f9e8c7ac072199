"""What a model shows to others and keeps: names, dtypes and shapes of inputs and outputs, and its shape notes."""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from edgebig.errors import InvalidModelError
from edgebig.graph.load import describe_source


@dataclass(frozen=True)
class _Declaration:
    name: str | None
    type: ir.TypeProtocol | None
    shape: ir.Shape | None


@dataclass(frozen=True)
class Interface:
    """The declarations of a model.

    Attributes:
        inputs: What a caller must give, in order.
        outputs: What it gives, in order.
        values: Names of the intermediate values that the file gives shapes of.
    """

    inputs: tuple[_Declaration, ...]
    outputs: tuple[_Declaration, ...]
    values: frozenset[str | None]

    @classmethod
    def of(cls, model: ir.Model) -> "Interface":
        """Read a model's declarations."""
        outputs = [value for graph in model.graphs() for node in graph for value in node.outputs]
        noted = frozenset(value.name for value in outputs if value.shape is not None or value.type is not None)
        return cls(_declared(_required(model)), _declared(model.graph.outputs), noted)

    def restore(self, model: ir.Model) -> None:
        """Declare the same of another model: shapes that a pass inferred are taken off again, names must be there.

        Raises:
            InvalidModelError: An input or output has another name (a mistake of a pass).
        """
        for graph in model.graphs():
            for node in graph:
                for value in node.outputs:
                    if value.name not in self.values and not value.is_graph_output():
                        value.type, value.shape = None, None
        ends = (("input", self.inputs, _required(model)), ("output", self.outputs, model.graph.outputs))
        for kind, wanted, values in ends:
            if [value.name for value in values] != [declaration.name for declaration in wanted]:
                found = ", ".join(str(value.name) for value in values)
                names = ", ".join(str(declaration.name) for declaration in wanted)
                raise InvalidModelError(f"{describe_source(model)}: its {kind}s became {found} instead of {names}")
            for value, declaration in zip(values, wanted, strict=True):
                value.type, value.shape = declaration.type, declaration.shape


def _required(model: ir.Model) -> list[ir.Value]:
    return [value for value in model.graph.inputs if not value.is_initializer()]


def _declared(values: Sequence[ir.Value]) -> tuple[_Declaration, ...]:
    return tuple(_Declaration(value.name, value.type, value.shape) for value in values)
