"""The inputs that an exported program (a `.pt2` file) states, and the ranges of its dynamic axes."""

from typing import TYPE_CHECKING, Any

import numpy as np

from edgebig.data.feeds import InputSpec
from edgebig.errors import UsageError
from edgebig.export.input_specs import FREE_SIZES, AxisSize, Inputs, axis_names
from edgebig.records.export import ExportOptions

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def inputs_of_program(program: "ExportedProgram", options: ExportOptions) -> Inputs:
    """The inputs that an exported program states, its dynamic axes named by `--dynamic`.

    Raises:
        UsageError: `--input` is given, an input is no tensor, a size is composed of others, or an axis that shall be
            dynamic is fixed in the program.
    """
    import torch

    if options.inputs:
        raise UsageError("a .pt2 file states its inputs itself: leave --input out (a --sample is welcome)")
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    shapes: dict[str, tuple[int | None, ...]] = {}
    dtypes: dict[str, np.dtype] = {}
    symbols: dict[tuple[str, int], Any] = {}
    for name in program.graph_signature.user_inputs:
        value = nodes[name].meta["val"] if isinstance(name, str) and name in nodes else None
        if not isinstance(value, torch.Tensor):
            raise UsageError(f"the program's input {name!r} is no tensor; export it with tensor inputs only")
        dtypes[name] = torch.empty(0, dtype=value.dtype).numpy().dtype
        shapes[name] = tuple(size if isinstance(size, int) else None for size in value.shape)
        for axis, size in enumerate(value.shape):
            if not isinstance(size, int):
                symbols[name, axis] = _symbol(size, name, axis)
    for request in options.axis_requests:
        shape = shapes.get(request.input)
        if shape is not None and -len(shape) <= request.axis < len(shape) and shape[request.axis] is not None:
            raise UsageError(
                f"axis {request.axis} of {request.input!r} is fixed at {shape[request.axis]} in the .pt2 file. Export "
                "the program with that axis in dynamic_shapes."
            )
    names = axis_names(shapes, options.axis_requests)
    asked = {(r.input, r.axis % len(shapes[r.input])) for r in options.axis_requests}
    by_symbol: dict[Any, str] = {}
    for place in sorted(symbols, key=lambda place: place not in asked):
        taken = names[place] in by_symbol.values() and place not in asked
        by_symbol.setdefault(symbols[place], f"{place[0]}_{place[1]}" if taken else names[place])
    axes = {name: _axis(program, symbol, index) for index, (symbol, name) in enumerate(by_symbol.items())}
    specs = tuple(
        InputSpec(
            name,
            dtypes[name],
            tuple(by_symbol[symbols[name, i]] if size is None else size for i, size in enumerate(shape)),
        )
        for name, shape in shapes.items()
    )
    return Inputs(specs, axes)


def _symbol(size: Any, name: str, axis: int) -> Any:
    """The symbol of a dynamic size; torch 2.13 cannot convert a loaded program with composed ones (2*s0)."""
    if not size.node.expr.is_Symbol:
        raise UsageError(
            f"axis {axis} of {name!r} has the size {size.node.expr} in the .pt2 file, which torch cannot convert once "
            "it is loaded. Export the module from its source instead."
        )
    return size.node.expr


def _axis(program: "ExportedProgram", symbol: Any, index: int) -> AxisSize:
    limits = program.range_constraints.get(symbol)
    low = max(int(limits.lower), 1) if limits is not None else 1
    high = int(limits.upper) if limits is not None and limits.upper.is_Integer else None
    example = max(FREE_SIZES[min(index, len(FREE_SIZES) - 1)], low)
    return AxisSize(example if high is None else min(example, high), low, high)
