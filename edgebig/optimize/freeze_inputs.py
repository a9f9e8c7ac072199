"""Initializers that are also inputs of the model: defaults that a caller may override, so no pass may rely on them.

Files of IR version 3 and below had to list every initializer so; there it means nothing, and they become constants.
In newer files it is a choice (or an exporter's habit), and they become constants only when asked for.
"""

import onnx_ir as ir
from onnx_ir.passes.common import RemoveInitializersFromInputsPass

from edgebig.passes.base import Pass, PassResult, Skipped

# The first version in which an initializer need not be an input.
FREE_IR_VERSION = 4


class FreezeInputs(Pass):
    """Take initializers out of the model's inputs.

    Args:
        always: Also in files where listing them is a choice.
    """

    def __init__(self, *, always: bool = False) -> None:
        self.always = always

    def call(self, model: ir.Model) -> PassResult:
        """Freeze, or report how many inputs have defaults."""
        names = [value.name or "" for value in model.graph.inputs if value.is_initializer()]
        if not names:
            return PassResult(model, False)
        if not self.always and model.ir_version >= FREE_IR_VERSION:
            reason = f"{len(names)} initializers are inputs too, which a caller may override: none of them is folded"
            return PassResult(model, False, skipped=(Skipped(names[0], reason),))
        RemoveInitializersFromInputsPass()(model)
        model.ir_version = max(model.ir_version, FREE_IR_VERSION)
        return PassResult(model, True, {"inputs frozen": len(names)})
