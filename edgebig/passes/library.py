"""Passes of onnx_ir and onnxscript under edgebig's contract."""

from collections.abc import Sequence
from typing import Any, Protocol

import onnx_ir as ir

from edgebig.graph.quiet import quiet_libraries
from edgebig.passes.base import Pass, PassResult
from edgebig.passes.fingerprint import count_operators, fingerprint


class InPlace(Protocol):
    """A pass of onnx_ir or onnxscript that changes the model it is given."""

    def __call__(self, model: ir.Model, /) -> Any:
        """Change the model."""
        ...


class LibraryPass(Pass):
    """Run passes of a library, and find out what they changed instead of believing them.

    Args:
        name: The name in reports, verb first.
        steps: The library's passes, run in this order.
    """

    def __init__(self, name: str, steps: Sequence[InPlace]) -> None:
        self._name = name
        self.steps = tuple(steps)

    @property
    def name(self) -> str:
        """The name given."""
        return self._name

    def call(self, model: ir.Model) -> PassResult:
        """Run the library's passes; counts are the operators and initializers that went and came."""
        before, operators, constants = fingerprint(model), count_operators(model), _initializers(model)
        with quiet_libraries():
            for step in self.steps:
                step(model)
        counts = {f"removed {name}": n for name, n in sorted((operators - count_operators(model)).items())}
        counts |= {f"added {name}": n for name, n in sorted((count_operators(model) - operators).items())}
        if (fewer := constants - _initializers(model)) > 0:
            counts["removed initializers"] = fewer
        return PassResult(model, fingerprint(model) != before, counts)


def _initializers(model: ir.Model) -> int:
    return sum(len(graph.initializers) for graph in model.graphs())
