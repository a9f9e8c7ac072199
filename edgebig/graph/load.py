"""Load an ONNX file into onnx_ir and refuse what cannot be worked with, in plain words."""

from pathlib import Path

import onnx_ir as ir
from google.protobuf.message import DecodeError

from edgebig.errors import InvalidModelError
from edgebig.graph.check import check_operators

Model = ir.Model
ModelLike = ir.Model | str | Path

_SOURCE = "edgebig.source"


def load_model(path: str | Path) -> ir.Model:
    """Load an ONNX model. Weights of external data stay on disk and are memory-mapped when read.

    Args:
        path: The `.onnx` file.

    Raises:
        InvalidModelError: Missing, a folder, truncated, not ONNX, without outputs, external data missing or outside
            the model's folder, or operators that no registered domain has.
    """
    path = Path(path)
    _check_file(path)
    try:
        # An absolute path: onnx_ir confines external data to the model's folder only when it knows that folder.
        model = ir.load(path.absolute(), format="protobuf")
    except (DecodeError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
        raise InvalidModelError(f"{path} is not a readable ONNX file (truncated, or another format): {e}") from e
    if not model.graph.outputs:
        raise InvalidModelError(f"{path} holds no ONNX graph with outputs: it is empty, truncated, or another format")
    for tensor in external_tensors(model):
        _check_external(tensor, path.absolute().parent, path)
    check_operators(model, str(path))
    model.meta[_SOURCE] = path
    return model


def resolve_model(model: ModelLike) -> ir.Model:
    """Return the model itself, or load it where a path is given."""
    return model if isinstance(model, ir.Model) else load_model(model)


def source_files(model: ir.Model) -> tuple[Path, ...]:
    """The files a loaded model lies in: the `.onnx` and its external data. Empty for a model made in memory."""
    source = model.meta.get(_SOURCE)
    if source is None:
        return ()
    return (source, *sorted({Path(tensor.path) for tensor in external_tensors(model)}))


def describe_source(model: ir.Model) -> str:
    """A name of the model for messages: its path, or its graph's name."""
    return str(model.meta.get(_SOURCE) or model.graph.name or "model")


def external_tensors(model: ir.Model) -> list[ir.ExternalTensor]:
    """All tensors whose data lies in other files: initializers and attributes, subgraphs and functions included."""
    tensors: list[object] = [v.const_value for graph in model.graphs() for v in graph.initializers.values()]
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        tensors += [a.value for a in node.attributes.values() if a.type == ir.AttributeType.TENSOR]
    return [tensor for tensor in tensors if isinstance(tensor, ir.ExternalTensor)]


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise InvalidModelError(f"{path} is a folder. Give the .onnx file in it.")
    if not path.exists():
        raise InvalidModelError(f"there is no file {path}")
    try:
        with path.open("rb") as stream:
            empty = not stream.read(1)
    except OSError as e:
        raise InvalidModelError(f"{path} cannot be read: {e.strerror or e}") from e
    if empty:
        raise InvalidModelError(f"{path} is empty")


def _check_external(tensor: ir.ExternalTensor, folder: Path, model_path: Path) -> None:
    """Refuse external data that leaves the model's folder (also by a symlink), is missing, or is too short."""
    location = Path(tensor.location)
    where = f"{model_path}: external data {str(location)!r} of tensor {tensor.name!r}"
    if location.is_absolute() or ".." in location.parts:
        raise InvalidModelError(f"{where} points outside the model's folder. Put the data beside the model.")
    target = folder / location
    if not target.is_file():
        raise InvalidModelError(f"{where} is missing. Copy it beside the model, under that name.")
    if not target.resolve().is_relative_to(folder.resolve()):
        raise InvalidModelError(f"{where} is a link to outside the model's folder. Put the data itself there.")
    end = (tensor.offset or 0) + (tensor.length if tensor.length is not None else tensor.nbytes)
    if (tensor.offset or 0) < 0 or end > target.stat().st_size or (tensor.length or tensor.nbytes) < tensor.nbytes:
        raise InvalidModelError(
            f"{where} needs {tensor.nbytes} bytes up to byte {end}, the file has {target.stat().st_size}: truncated?"
        )
