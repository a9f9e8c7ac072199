"""Builds a plan: keeps the tensors, makes them lie as a kernel wants them, and collects the steps."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from math import prod
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.edit import constant_array
from edgebig.graph.shapes import static_shape
from edgebig.kernels.convert import Flip
from edgebig.kernels.convert_transpose import Transpose
from edgebig.kernels.numbers import NUMBERS, Numbered
from edgebig.kernels.step import Step
from edgebig.runtime.lower.refusal import Refusal
from edgebig.runtime.lower.tensors import Tensor
from edgebig.runtime.plan import ELEMENT_BYTES, Buffer, Element, Order, Part, Place, PlannedStep, View, lying, natural

NHWC: Order = (0, 2, 3, 1)
_ELEMENTS: dict[ir.DataType, Element] = {
    ir.DataType.FLOAT: "f32",
    ir.DataType.UINT8: "u8",
    ir.DataType.INT8: "u8",
}
# Work under this many multiplications is not worth waking another thread for.
WORK_PER_TASK = 60_000

# Computes a tensor from its source; in the order wanted where that costs nothing more.
Maker = Callable[["Builder", Tensor, Any, Order | None], View]
Given = Buffer | Part | View | NDArray | Callable[[], NDArray]


class Builder:
    """State of one segment's lowering.

    Args:
        threads: Threads that will share the work.
        inside: The segment's nodes.
        makers: How to compute tensors that lie nowhere yet, by the type of their source.
    """

    def __init__(self, threads: int, inside: Sequence[ir.Node], makers: Mapping[type, "Maker"]) -> None:
        self.threads = threads
        self._makers = makers
        self.inside = frozenset(inside)
        self.steps: list[PlannedStep] = []
        self.done: set[ir.Node] = set()
        self.tensors: dict[ir.Value, Tensor] = {}
        self._covered: list[str] = []

    def begin(self, node: ir.Node) -> None:
        """From now on steps do this node's work."""
        self._covered = [node.name or node.op_type]

    def cover(self, nodes: Sequence[ir.Node]) -> None:
        """The next steps do the work of these nodes as well; they need no lowering of their own."""
        self.done.update(nodes)
        self._covered += [node.name or node.op_type for node in nodes]

    def tasks(self, work: int) -> int:
        """Into how many parts to split work of this many multiplications (or bytes moved)."""
        return 1 if self.threads == 1 else max(1, min(self.threads, work // WORK_PER_TASK))

    # -- tensors

    def input(self, value: ir.Value, index: int) -> None:
        """Declare an input of the segment."""
        shape, element = shape_of(value), element_of(value)
        raw: Element = "s8" if value.dtype == ir.DataType.INT8 else element
        buffer = Buffer(prod(shape) * ELEMENT_BYTES[raw], Place.INPUT, index, label=value.name or "")
        view = View(buffer, raw, shape, natural(len(shape)))
        self.tensors[value] = Tensor(value.name or "", element, shape, [self._flipped(view)] if raw == "s8" else [view])

    def tensor(self, value: ir.Value | None) -> Tensor:
        """The tensor of a value: computed earlier, or a constant."""
        if value is None:
            raise Refusal("an input is missing")
        if value not in self.tensors:
            array = constant_array(value)
            if array is None:
                raise Refusal(f"its input {value.name!r} is not known here")
            if array.dtype != np.float32:
                raise Refusal(f"its constant input {value.name!r} is {array.dtype}, not float32")
            buffer = Buffer(array.nbytes, Place.CONSTANT, array=np.ascontiguousarray(array), label=value.name or "")
            view = View(buffer, "f32", array.shape, natural(array.ndim))
            self.tensors[value] = Tensor(value.name or "", "f32", array.shape, [view])
        return self.tensors[value]

    def define(self, value: ir.Value, tensor: Tensor) -> None:
        """Say what a value is."""
        self.tensors[value] = tensor

    def result(self, value: ir.Value, element: Element, order: Order | None = None) -> View:
        """New memory for a value that the next step writes."""
        shape = shape_of(value)
        view = self.new(element, shape, order or natural(len(shape)), value.name or "")
        self.tensors[value] = Tensor(value.name or "", element, shape, [view])
        return view

    def new(self, element: Element, shape: tuple[int, ...], order: Order, label: str = "") -> View:
        """New memory in the arena."""
        return View(Buffer(prod(shape) * ELEMENT_BYTES[element], label=label), element, shape, order)

    # -- steps

    def emit(self, step: Step, operands: Mapping[str, Given], *, writes: Sequence[str] = ("y",)) -> None:
        """Add a step.

        Args:
            step: The kernel.
            operands: What lies behind each of its operands; arrays (or functions that give them) are constants. Its
                own numbers need not be among them.
            writes: The operands it writes.
        """
        if isinstance(step, Numbered):
            operands = {NUMBERS: step.numbers(), **operands}
        parts = {name: _part(operands[name], name) for name in step.operands}
        written = tuple(parts[name].buffer for name in writes if name in parts)
        buffers = tuple(parts[name].buffer for name in step.operands)
        offsets = tuple(parts[name].offset for name in step.operands)
        self.steps.append(PlannedStep(step, buffers, offsets, written, tuple(self._covered)))

    def constants(self, make: Callable[[], Mapping[str, NDArray]], names: Sequence[str]) -> dict[str, Given]:
        """Constant operands that are packed when the segment is known to be built, and not before."""
        packed = cache(make)
        return {name: (lambda name=name: packed()[name]) for name in names}  # type: ignore[misc]

    # -- layouts

    def view(self, tensor: Tensor, order: Order | None = None) -> View:
        """Where the tensor lies, with its axes in this order (None: any)."""
        if not tensor.views:
            make = self._makers.get(type(tensor.source))
            if make is None:
                raise Refusal(f"{tensor.name!r} is not computed yet")
            tensor.views.append(make(self, tensor, tensor.source, order))
        found = self._lying(tensor, order)
        if found is None:
            found = self._reordered(tensor.views[0], order or ())
            tensor.views.append(found)
        return found

    def write_output(self, value: ir.Value, index: int) -> None:
        """Bring a value into the segment's output, as ONNX stores it."""
        tensor = self.tensor(value)
        view = self.view(tensor, natural(len(tensor.shape)))
        if value.dtype == ir.DataType.INT8:
            view = self._flipped(view)
        elif view.buffer.place is not Place.ARENA:
            view = self._copied(view)
        view.buffer.place, view.buffer.index = Place.OUTPUT, index

    def _lying(self, tensor: Tensor, order: Order | None) -> View | None:
        if order is None:
            return tensor.views[0] if tensor.views else None
        key = lying(tensor.shape, order)
        return next((view for view in tensor.views if view.key == key), None)

    def nearest(self, tensor: Tensor, order: Order | None) -> View:
        """The tensor in this order where it already lies so, or in whatever order it lies."""
        if not tensor.views:
            return self.view(tensor, order)
        return (self._lying(tensor, order) if order is not None else None) or tensor.views[0]

    def _reordered(self, view: View, order: Order) -> View:
        made = self.new(view.element, view.shape, order, view.buffer.label)
        kept = view.key
        shape = tuple(view.shape[axis] for axis in kept)
        permutation = tuple(kept.index(axis) for axis in made.key)
        self.emit(Transpose(shape, permutation, ELEMENT_BYTES[view.element]), {"x": view, "y": made})
        return made

    def _flipped(self, view: View) -> View:
        element: Element = "u8" if view.element == "s8" else "s8"
        made = self.new(element, view.shape, view.order, view.buffer.label)
        self.emit(Flip(view.size), {"x": view, "y": made})
        return made

    def _copied(self, view: View) -> View:
        made = self.new(view.element, view.shape, view.order, view.buffer.label)
        self.emit(Transpose((view.size,), (0,), ELEMENT_BYTES[view.element]), {"x": view, "y": made})
        return made


def shape_of(value: ir.Value | None) -> tuple[int, ...]:
    """The static shape of a value.

    Raises:
        Refusal: It has none.
    """
    shape = static_shape(value)
    if shape is None:
        raise Refusal(f"the shape of {value.name if value is not None else None!r} is not known")
    if 0 in shape:
        raise Refusal("a tensor is empty")
    return shape


def element_of(value: ir.Value) -> Element:
    """What a value's tensor is held as.

    Raises:
        Refusal: Kernels do not take its dtype.
    """
    if value.type is not None and not isinstance(value.type, ir.TensorType):
        raise Refusal(f"{value.name!r} is no tensor")
    if value.dtype not in _ELEMENTS:
        raise Refusal(
            f"{value.name!r} is {value.dtype.name.lower() if value.dtype is not None else 'of unknown dtype'}"
        )
    return _ELEMENTS[value.dtype]


def _part(given: Given, name: str) -> Part:
    if isinstance(given, Part):
        return given
    if isinstance(given, View):
        return Part(given.buffer, 0)
    return Part(given if isinstance(given, Buffer) else Buffer(0, Place.CONSTANT, array=given, label=name), 0)
