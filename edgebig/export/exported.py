"""What an exporter gives: a graph, or the reason why not."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

from edgebig.errors import EdgebigError
from edgebig.export.input_specs import Inputs


class ExporterError(EdgebigError):
    """An exporter cannot make the graph that was asked for. The message is plain; torch's own words are its cause."""


@dataclass(frozen=True)
class Exported:
    """A graph out of torch.

    Attributes:
        model: The graph.
        exporter: Which exporter made it.
        bounds: Name of a dynamic axis -> the size above which torch itself says that the graph does not hold.
        notes: What the user should know.
    """

    model: ir.Model
    exporter: str
    bounds: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def axis_places(inputs: Inputs) -> dict[tuple[int, int], str]:
    """(position of the input, axis) -> name, for every dynamic axis."""
    return {
        (position, axis): entry
        for position, spec in enumerate(inputs.specs)
        for axis, entry in enumerate(spec.shape or ())
        if isinstance(entry, str)
    }


def check_interface(model: ir.Model, inputs: Inputs) -> list[str]:
    """Refuse a graph whose inputs are not those asked for.

    Returns:
        Notes on axes that the graph ties together although they have two names.

    Raises:
        ExporterError: An input is missing, or a dynamic axis is fixed.
    """
    found = {value.name: value for value in model.graph.inputs}
    notes: dict[str, None] = {}
    tied: dict[str, str] = {}
    for spec in inputs.specs:
        value = found.get(spec.name)
        if value is None or value.shape is None:
            raise ExporterError(f"the graph has no input {spec.name!r}: the module does not use it. Leave it out.")
        for axis, (entry, size) in enumerate(zip(spec.shape or (), value.shape, strict=True)):
            if isinstance(entry, str) and isinstance(size, int):
                raise ExporterError(f"axis {axis} ({entry!r}) of {spec.name!r} is fixed at {size} in the graph")
            written = None if isinstance(size, int) else size.value
            if isinstance(entry, str) and written and tied.setdefault(written, entry) != entry:
                notes[f"axes {tied[written]!r} and {entry!r} must have one size: the module ties them"] = None
    return list(notes)


def name_interface(model: ir.Model, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Name a graph's inputs and outputs; what has such a name inside gets another.

    torch.onnx.export(dynamo=True) does not look inside: an output called "embedding" of a module with an nn.Embedding
    makes a file that onnxruntime refuses.
    """
    names = [*inputs, *outputs]
    interface = [*model.graph.inputs, *model.graph.outputs]
    own = {id(value) for value in interface}
    inner = [value for value in _values(model) if id(value) not in own]
    taken = {value.name for value in inner} | set(names)
    for value in inner:
        if value.name in names:
            value.name = next(name for n in itertools.count(1) if (name := f"{value.name}_{n}") not in taken)
            taken.add(value.name)
    # In two steps, since names may change places.
    for index, value in enumerate(interface):
        value.name = f"edgebig interface {index}"
    for value, name in zip(interface, names, strict=True):
        value.name = name


def rename_axes(model: ir.Model, names: Mapping[str, str]) -> None:
    """Give dynamic axes other names, in every shape of the graph and within expressions (`2*s0`)."""
    if not names:
        return
    known = re.compile(r"\b(" + "|".join(map(re.escape, sorted(names, key=len, reverse=True))) + r")\b")
    for value in _values(model):
        if value.shape is not None and not all(isinstance(size, int) for size in value.shape):
            value.shape = ir.Shape(
                size
                if isinstance(size, int) or size.value is None
                else known.sub(lambda match: names[match[1]], size.value)
                for size in value.shape
            )


def _values(model: ir.Model) -> Iterator[ir.Value]:
    """Every value of the graph and its subgraphs, once."""
    for graph in (model.graph, *(graph for graph in model.graphs() if graph is not model.graph)):
        yield from graph.inputs
        yield from [value for value in graph.initializers.values() if not value.is_graph_input()]
        for node in graph:
            yield from node.outputs
