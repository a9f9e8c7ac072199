"""Raise the standard operator set to the one wanted, by onnx's version converter on the model's skeleton."""

import onnx_ir as ir

from edgebig.errors import InvalidModelError
from edgebig.graph.opset import opset_version, raise_opset
from edgebig.passes.base import Pass, PassError, PassResult


class RaiseOpset(Pass):
    """Convert to a newer operator set.

    Args:
        version: The operator set; a model that has it, a newer one, or none is left alone.
    """

    def __init__(self, version: int) -> None:
        self.version = version

    def call(self, model: ir.Model) -> PassResult:
        """Convert the model where it is older.

        Raises:
            PassError: An operator has no conversion.
        """
        current = opset_version(model)
        if current is None or current >= self.version:
            return PassResult(model, False)
        try:
            raise_opset(model, self.version)
        except InvalidModelError as e:
            raise PassError(str(e), self.name) from e
        return PassResult(model, True, {f"opset {current} to {self.version}": 1})
