"""torch's exporter by torch.export (dynamo): follows the module symbolically, with named dynamic axes."""

import traceback
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from edgebig.data.feeds import Feed
from edgebig.export.exported import Exported, ExporterError, axis_places, name_interface, rename_axes
from edgebig.export.input_specs import Inputs
from edgebig.export.torch_model import TorchModel
from edgebig.export.trace_watch import Watch, describe_fixed, first_line, user_line, watching

if TYPE_CHECKING:
    import torch

# Bounds above this are limits of the arithmetic, not of the module.
_LARGEST_BOUND = 1 << 24


def export_with_dynamo(model: TorchModel, inputs: Inputs, outputs: tuple[str, ...], feed: Feed, opset: int) -> Exported:
    """Export a module or a program.

    Args:
        model: The torch side.
        inputs: The inputs in `forward`'s order.
        outputs: The outputs' names.
        feed: The example; each array becomes a tensor of its own (one tensor for two inputs would make torch read the
            one for both).
        opset: The operator set.

    Raises:
        ExporterError: torch cannot trace the module, or cannot write it in this operator set.
    """
    import torch

    names = [spec.name for spec in inputs.specs]
    common: dict[str, Any] = {"dynamo": True, "opset_version": opset, "verbose": False}
    with watching() as watch, torch.no_grad():
        try:
            if model.program is not None:
                program = torch.onnx.export(model.program, **common)
            else:
                tensors = tuple(torch.from_numpy(feed[name].copy()) for name in names)
                with model.flattened() as module:
                    program = torch.onnx.export(module, tensors, dynamic_shapes=_dynamic_shapes(inputs), **common)
        except Exception as e:  # torch raises many classes without a common base
            raise ExporterError(_explain(e, watch, inputs)) from e
    assert program is not None, "torch.onnx.export returns a program where dynamo=True"
    graph = program.model
    written = graph.opset_imports.get("", opset)
    if written != opset:
        raise ExporterError(f"torch cannot write this module in opset {opset}; it comes out in {written}")
    name_interface(graph, names, outputs)
    if model.program is not None:
        _name_axes(graph, inputs)
    return Exported(graph, "dynamo", bounds=_bounds(program.exported_program, inputs))


def _dynamic_shapes(inputs: Inputs) -> Any:
    """The axes' names by input, as torch takes them for a `forward(*tensors)`; None where nothing is dynamic."""
    places = axis_places(inputs)
    if not places:
        return None
    by_input: list[dict[int, str]] = [{} for _ in inputs.specs]
    for (position, axis), name in places.items():
        by_input[position][axis] = name
    return (tuple(by_input),)


def _name_axes(graph: ir.Model, inputs: Inputs) -> None:
    """Give a program's axes (s77) the user's names; torch does that only for modules."""
    names = {}
    for spec, value in zip(inputs.specs, graph.graph.inputs, strict=True):
        for entry, size in zip(spec.shape or (), value.shape or (), strict=True):
            if not isinstance(size, int) and size.value and entry in inputs.axes:
                names[size.value] = entry
    rename_axes(graph, names)


def _bounds(program: "torch.export.ExportedProgram | None", inputs: Inputs) -> dict[str, int]:
    """The sizes above which the traced code would have taken another way."""
    if program is None:
        return {}
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    bounds: dict[str, int] = {}
    for (position, axis), name in axis_places(inputs).items():
        node = nodes.get(str(program.graph_signature.user_inputs[position]))
        size = node.meta["val"].shape[axis] if node is not None else 0
        limits = None if isinstance(size, int) else program.range_constraints.get(size.node.expr)
        if limits is not None and limits.upper.is_Integer and int(limits.upper) < _LARGEST_BOUND:
            bounds[name] = min(int(limits.upper), bounds.get(name, _LARGEST_BOUND))
    return bounds


def _explain(error: BaseException, watch: Watch, inputs: Inputs) -> str:
    """One plain line: which axis was fixed and where, or which line of the user's code torch stopped at."""
    fixed = describe_fixed(watch, [spec.name for spec in inputs.specs], axis_places(inputs))
    if fixed:
        return "; ".join(fixed)
    root: BaseException = error
    line = None
    while True:
        line = user_line(traceback.extract_tb(root.__traceback__)) or line
        following = root.__cause__ or root.__context__
        if following is None or following is root:
            break
        root = following
    place = f" at {line}" if line else ""
    if type(root).__name__ == "GuardOnDataDependentSymNode":
        return f"the code branches on a tensor's values{place}; use torch.where or torch.cond instead of Python's if"
    return f"torch stopped{place}: {type(root).__name__}: {first_line(root)}"
