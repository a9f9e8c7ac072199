"""What a model takes and gives, as its file declares it."""

import numpy as np
import onnx_ir as ir

from edgebig.data.feeds import InputSpec
from edgebig.errors import InvalidModelError
from edgebig.graph.load import describe_source


def input_specs(model: ir.Model) -> tuple[InputSpec, ...]:
    """The inputs a run must be given, in order (initializers listed as inputs have defaults and are left out)."""
    return tuple(_spec(model, value) for value in model.graph.inputs if value.name not in model.graph.initializers)


def output_names(model: ir.Model) -> tuple[str, ...]:
    """The names of the outputs, in order."""
    return tuple(value.name or "" for value in model.graph.outputs)


def _spec(model: ir.Model, value: ir.Value) -> InputSpec:
    if value.dtype is None:
        raise InvalidModelError(
            f"{describe_source(model)}: input {value.name!r} has type {value.type}; only tensor inputs are supported"
        )
    dtype = np.dtype(object) if value.dtype == ir.DataType.STRING else np.dtype(value.dtype.numpy())
    if value.shape is None:
        return InputSpec(value.name or "", dtype, None)
    shape = tuple(size if isinstance(size, int) else size.value for size in value.shape)
    return InputSpec(value.name or "", dtype, shape)
