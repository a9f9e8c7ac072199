"""The inputs of the model to be: names, dtypes and dynamic axes, out of the user's options or a sample."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgebig.data.feeds import InputSpec
from edgebig.data.samples import read_npz
from edgebig.errors import InvalidDataError, UsageError
from edgebig.records.export import ExportOptions
from edgebig.records.export_syntax import AxisRequest

# What an unnamed dynamic first axis is called.
BATCH = "batch"


@dataclasses.dataclass(frozen=True)
class AxisSize:
    """A dynamic axis.

    Attributes:
        size: The size it has in the example: at least 2, since torch treats 0 and 1 as special.
        low: The smallest size that an exported program takes.
        high: The largest, or None.
    """

    size: int
    low: int = 1
    high: int | None = None


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The inputs and the sizes of their dynamic axes in the example.

    Attributes:
        specs: The inputs, in the order they were given.
        axes: Name of a dynamic axis -> its size.
    """

    specs: tuple[InputSpec, ...]
    axes: dict[str, AxisSize]

    def shape_at(self, spec: InputSpec, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """An input's shape where the dynamic axes have these sizes."""
        return tuple(entry if isinstance(entry, int) else sizes[entry or ""] for entry in spec.shape or ())


def inputs_from_options(options: ExportOptions) -> Inputs:
    """The inputs that `--input`, or else the sample, describe, with the dynamic axes of `--dynamic`.

    Raises:
        UsageError: Neither is given, or a dynamic axis names no input or axis, or two sizes have one name.
        InvalidDataError: The sample cannot be read.
    """
    if options.inputs:
        requests = options.input_requests
        dtypes = {request.name: np.dtype(request.dtype) for request in requests}
        shapes: dict[str, tuple[int | None, ...]] = {request.name: request.shape for request in requests}
    elif options.sample:
        arrays, whole = _first_arrays(Path(options.sample))
        dtypes = {name: array.dtype for name, array in arrays.items()}
        shapes = {name: array.shape for name, array in arrays.items()}
    else:
        raise UsageError(
            "export needs to know the inputs: give a sample (--sample F.npz, one array per input), or describe each "
            "with --input NAME:DTYPE:SHAPE, e.g. --input image:float32:?x3x224x224"
        )
    names = axis_names(shapes, options.axis_requests)
    if not options.inputs and not whole:
        # Axis 0 of a sample counts its samples: one at a time, where it is not dynamic.
        shapes = {n: (1, *s[1:]) if s and (n, 0) not in names else s for n, s in shapes.items()}
    specs, sizes = [], _Sizes()
    for name, shape in shapes.items():
        entries: list[int | str | None] = list(shape)
        for axis, size in enumerate(shape):
            if (name, axis) in names:
                entries[axis] = names[name, axis]
                batch = axis == 0 and not options.inputs and not whole
                sizes.add(names[name, axis], None if batch else size, first=axis == 0, where=name)
        specs.append(InputSpec(name, dtypes[name], tuple(entries)))
    return Inputs(tuple(specs), sizes.settle())


def _first_arrays(path: Path) -> tuple[Mapping[str, NDArray], bool]:
    """The sample's arrays, and whether they are one whole feed (of a folder) and no collection of samples."""
    if path.is_dir():
        files = sorted(path.glob("*.npz"))
        if not files:
            raise InvalidDataError(f"sample {path}: the folder holds no .npz files")
        return read_npz(files[0]), True
    if path.suffix != ".npz":
        raise UsageError(f"sample {path}: give an .npz with one array per input, or a folder of .npz")
    arrays = read_npz(path)
    if not arrays:
        raise InvalidDataError(f"sample {path} holds no arrays. It needs one per input.")
    return arrays, False


def axis_names(
    shapes: Mapping[str, tuple[int | None, ...]], requests: Sequence[AxisRequest]
) -> dict[tuple[str, int], str]:
    """(input, axis) -> name, for every dynamic axis: those asked for, and those without a size.

    Of the latter, all that stand at one place are one axis: the batch, the length of ids and of their mask.

    Raises:
        UsageError: A request names no input, or no axis of it.
    """
    names: dict[tuple[str, int], str] = {}
    for request in requests:
        if request.input not in shapes:
            raise UsageError(f"dynamic axis of unknown input {request.input!r}. Inputs: {', '.join(shapes)}.")
        rank = len(shapes[request.input])
        if not -rank <= request.axis < rank:
            raise UsageError(f"{request.input!r} has {rank} axes, so it has no axis {request.axis} to be dynamic")
        names[request.input, request.axis % rank] = request.name
    for name, shape in shapes.items():
        for axis, size in enumerate(shape):
            if size is None:
                names.setdefault((name, axis), BATCH if axis == 0 else f"axis{axis}")
    return names


# Sizes for axes that nothing else decides: different ones, so that no two axes are taken for one.
FREE_SIZES = (2, 7, 5, 11, 13, 17, 19, 23)


class _Sizes:
    """Gathers the sizes of named axes."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, str]] = {}
        self._names: dict[str, bool] = {}

    def add(self, name: str, size: int | None, *, first: bool, where: str) -> None:
        """Add a place of an axis; None where its size is free."""
        self._names[name] = self._names.get(name, False) or first
        if size is None:
            return
        known, other = self._known.setdefault(name, (size, where))
        if known != size:
            raise UsageError(f"axis {name!r} is {known} in {other!r} but {size} in {where!r}; one name is one size")

    def settle(self) -> dict[str, AxisSize]:
        """The sizes of all axes; free ones are small, first axes smallest, and differ."""
        free = [name for name in sorted(self._names, key=lambda n: not self._names[n]) if name not in self._known]
        chosen = {name: FREE_SIZES[min(index, len(FREE_SIZES) - 1)] for index, name in enumerate(free)}
        return {n: AxisSize(max(self._known[n][0] if n in self._known else chosen[n], 2)) for n in self._names}
