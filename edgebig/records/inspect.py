"""What `edgebig inspect` is asked for, and what it found."""

import dataclasses
from typing import ClassVar

from edgebig.errors import UsageError
from edgebig.records.base import Record
from edgebig.records.provenance import Provenance


@dataclasses.dataclass(frozen=True, kw_only=True)
class InspectOptions:
    """What to count.

    Attributes:
        dims: Size by name of a dynamic axis (INPUT:AXIS for one without a name), to count multiply-accumulates with.
        default_dim: Size of the dynamic axes that are not named.
        layers: How many of the heaviest layers to list.
    """

    dims: dict[str, int] = dataclasses.field(default_factory=dict)
    default_dim: int = 1
    layers: int = 10

    def __post_init__(self) -> None:
        for name, size in {**self.dims, "the default": self.default_dim}.items():
            if size < 1:
                raise UsageError(f"the size of a dynamic axis must be at least 1, got {size} for {name}")
        if self.layers < 0:
            raise UsageError(f"the number of layers must not be negative, got {self.layers}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """An input or output.

    Attributes:
        name: Its name.
        dtype: As ONNX calls it, e.g. "FLOAT".
        shape: Per axis a size, the axis' name, or None; None instead where the rank is unknown.
        has_default: Whether an initializer of that name stands in where a caller gives nothing.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None
    has_default: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerInfo:
    """A node that multiplies and accumulates, or holds weights.

    Attributes:
        name: The node's name.
        op: Its operator.
        output: The shape of its output at the sizes assumed; None where unknown.
        parameters: Numbers in its constant inputs.
        macs: Multiply-accumulates of one run; None where a shape is unknown.
        precision: What it computes in: "float32", "int8", "int8 weights", ...
        zeros: Share of its weights that are zero; None without weights.
        zero_blocks: Share of its blocks of 16 outputs x 4 inputs that are zero throughout; None without a matrix.
    """

    name: str
    op: str
    output: tuple[int | str | None, ...] | None
    parameters: int
    macs: int | None
    precision: str
    zeros: float | None = None
    zero_blocks: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class InspectRecord(Record):
    """What is in a model.

    Attributes:
        model: Its name.
        files: Bytes by file: the `.onnx` and its external data.
        ir_version: Version of the file format.
        opsets: Version by operator set.
        producer: What wrote the file.
        inputs: In order.
        outputs: In order.
        nodes: Number of nodes, subgraphs and functions included.
        operators: Operator -> count.
        functions: How many functions of its own the model has.
        parameters: Numbers in weights, biases and tables (integers count where they are quantized weights).
        dtypes: The parameters by dtype.
        dims: The size assumed for every dynamic axis.
        macs: Multiply-accumulates of one run; both branches of an If count.
        uncounted: Nodes whose multiply-accumulates are not known, since a shape is not.
        shape_problem: Why shape inference failed; None where it worked.
        zeros: Share of zeros in the weights of all layers; None without weights.
        zero_blocks: Share of their blocks of 16 outputs x 4 inputs that are zero throughout.
        quantized_parameters: Share of the parameters in 8 bits or fewer.
        quantized_macs: Share of the multiply-accumulates between integers; None where there are none.
        layers: The heaviest, by multiply-accumulates, then parameters.
        layers_in_all: How many layers there are.
        provenance: What edgebig did to the model, oldest first.
    """

    schema: ClassVar[str] = "edgebig.inspect"

    model: str
    files: dict[str, int]
    ir_version: int
    opsets: dict[str, int]
    producer: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    nodes: int
    operators: dict[str, int]
    functions: int
    parameters: int
    dtypes: dict[str, int]
    dims: dict[str, int]
    macs: int
    uncounted: int
    shape_problem: str | None
    zeros: float | None
    zero_blocks: float | None
    quantized_parameters: float
    quantized_macs: float | None
    layers: tuple[LayerInfo, ...]
    layers_in_all: int
    provenance: tuple[Provenance, ...]
