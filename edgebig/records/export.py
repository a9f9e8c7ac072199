"""What `edgebig export` is asked, and what it did."""

import dataclasses
from typing import ClassVar

from edgebig.errors import UsageError
from edgebig.records.base import Record
from edgebig.records.export_syntax import AxisRequest, InputRequest, parse_axis, parse_input, parse_sizes

EXTERNAL_DATA = ("auto", "yes", "no")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Options of `export_model`.

    Attributes:
        source: `package.module:factory`, `path/file.py:factory`, a `.pt2` file, or a name under `models/`; None where
            the module itself is given.
        weights: A `.safetensors` file that is loaded into the module, every key and shape matching.
        sample: Real samples: an `.npz` with one array per input, samples on axis 0; or a folder of `.npz`, a feed each.
        inputs: Inputs as `NAME:DTYPE:2x3x?`, `?` a dynamic axis (one that `dynamic` does not name is one with those at
            the same place of other inputs); with `:LOW..HIGH` behind it, the range of the random data. Given together
            with `sample`, they state the shapes and the sample the values.
        dynamic: Dynamic axes as `INPUT:AXIS=NAME`.
        outputs: Names of the outputs, in order; empty: made from what the module returns.
        opset: The version of ONNX's operator set; None: the newest that serves (see `edgebig.export.opset`).
        external_data: Weights in a file of their own: "yes", "no", or "auto" (where they exceed 2 GB).
        tolerance: The largest error of an output's entry, relative to the root mean square of that output, that counts
            as equal. The bar is raised to ten times the module's own float32 noise where that is larger.
        sizes: Sizes at which a dynamic axis is verified, as `AXIS=1,2,8`; by default 1, 2, 3, the sample's, its double
            and one more.
        samples: How many real samples the outputs are compared on, at most.
        seed: Seed of the random data.
    """

    source: str | None = None
    weights: str | None = None
    sample: str | None = None
    inputs: tuple[str, ...] = ()
    dynamic: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    opset: int | None = None
    external_data: str = "auto"
    tolerance: float = 1e-4
    sizes: tuple[str, ...] = ()
    samples: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        if self.external_data not in EXTERNAL_DATA:
            raise UsageError(f"external_data is {self.external_data!r}. Known: {', '.join(EXTERNAL_DATA)}.")
        if not 0 < self.tolerance < 1:
            raise UsageError(f"tolerance is {self.tolerance}; it must lie between 0 and 1, e.g. 1e-4")
        if self.samples < 1:
            raise UsageError(f"samples is {self.samples}; at least one is compared")
        if len(set(self.outputs)) < len(self.outputs) or not all(self.outputs):
            raise UsageError(f"outputs {', '.join(map(repr, self.outputs))}: each output needs a name of its own")
        _refuse_repeats([request.name for request in self.input_requests], "input")
        _refuse_repeats([f"{request.input}:{request.axis}" for request in self.axis_requests], "dynamic axis")
        _refuse_repeats([text.partition("=")[0] for text in self.sizes], "sizes of axis")
        self.size_requests  # noqa: B018  # parsed to be checked

    @property
    def input_requests(self) -> tuple[InputRequest, ...]:
        """`inputs`, read."""
        return tuple(parse_input(text) for text in self.inputs)

    @property
    def axis_requests(self) -> tuple[AxisRequest, ...]:
        """`dynamic`, read."""
        return tuple(parse_axis(text) for text in self.dynamic)

    @property
    def size_requests(self) -> dict[str, tuple[int, ...]]:
        """`sizes`, read."""
        return dict(parse_sizes(text) for text in self.sizes)

    @property
    def external(self) -> bool | None:
        """`external_data` as `save_model` takes it."""
        return {"auto": None, "yes": True, "no": False}[self.external_data]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interface:
    """An input or output of the exported model.

    Attributes:
        name: Its name.
        dtype: Its dtype.
        shape: A size per axis, or the name of a dynamic one.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutputParity:
    """How equal torch and onnxruntime are on one output.

    Attributes:
        output: Its name.
        worst_error: The largest error of an entry over all runs, relative to the root mean square of the output in
            that run; for whole numbers and booleans the largest share of entries that differ.
        tolerance: The bar it stayed under; above the tolerance asked where the module's own noise is larger.
        at: The run of the largest error.
    """

    output: str
    worst_error: float
    tolerance: float
    at: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class SkippedSizes:
    """Sizes that the torch module itself refuses.

    Attributes:
        sizes: The sizes, e.g. "batch=1, length=3".
        reason: The module's words, first line.
    """

    sizes: str
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportRecord(Record):
    """What was exported, how, and how equal it is.

    Attributes:
        source: Where the module came from.
        exporter: "dynamo" or "torchscript".
        opset: The version of ONNX's operator set.
        ir_version: The version of the file format.
        inputs: The model's inputs.
        outputs: The model's outputs.
        parameters: How many numbers the model's weights hold.
        parity: A row per output.
        sizes: The sizes of the dynamic axes at which the outputs were compared.
        skipped: Sizes that the module itself refuses.
        real_samples: How many real samples the outputs were compared on.
        notes: What the user should know: an exporter that failed, axes that turned out equal.
        export_seconds: Time to make the graph, failed tries included.
        parity_seconds: Time to run both.
        files: The files written, the `.onnx` first; empty before they are.
        bytes: Their size.
    """

    schema: ClassVar[str] = "edgebig.export"

    source: str
    exporter: str
    opset: int
    ir_version: int
    inputs: tuple[Interface, ...]
    outputs: tuple[Interface, ...]
    parameters: int
    parity: tuple[OutputParity, ...]
    sizes: tuple[str, ...]
    skipped: tuple[SkippedSizes, ...]
    real_samples: int
    notes: tuple[str, ...]
    export_seconds: float
    parity_seconds: float
    files: tuple[str, ...] = ()
    bytes: int | None = None

    def describe_sizes(self) -> str:
        """What was compared, axis by axis, e.g. "batch 1, 2, 3; length 7, 14 (5 combinations)"."""
        axes: dict[str, set[int]] = {}
        for entry in self.sizes:
            for name, _, size in (part.partition("=") for part in entry.split(", ") if "=" in part):
                axes.setdefault(name, set()).add(int(size))
        text = "; ".join(f"{name} {', '.join(map(str, sorted(sizes)))}" for name, sizes in axes.items())
        count = f" ({len(self.sizes)} combinations)" if len(axes) > 1 else ""
        real = f", and on {self.real_samples} real samples" if self.real_samples else ""
        return (text or "fixed sizes") + count + real


def _refuse_repeats(names: list[str], what: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{what} {name!r} is given twice")
