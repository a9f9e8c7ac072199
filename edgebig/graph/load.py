"""Load an ONNX file into onnx_ir and refuse what cannot be worked with, in plain words."""

from collections.abc import Iterator
from pathlib import Path

import onnx_ir as ir
from google.protobuf.message import DecodeError
from onnx_ir.serde import SerdeError

from edgebig.errors import InvalidModelError
from edgebig.graph.check import check_operators, check_values

Model = ir.Model
ModelLike = ir.Model | str | Path

_SOURCE = "edgebig.source"
# What protobuf and onnx_ir raise on damaged files.
_READING_ERRORS = (DecodeError, SerdeError, ValueError, TypeError, KeyError, AttributeError, AssertionError, OSError)


def load_model(path: str | Path) -> ir.Model:
    """Load an ONNX model. Weights of external data stay on disk and are memory-mapped when read.

    Args:
        path: The `.onnx` file.

    Raises:
        InvalidModelError: Missing, a folder, truncated, not ONNX, without outputs, external data missing or outside
            the model's folder, tensors whose data do not fit their shapes, values that nothing defines, or operators
            that no registered domain has.
    """
    path = Path(path)
    _check_file(path)
    try:
        # An absolute path: onnx_ir confines external data to the model's folder only when it knows that folder.
        model = ir.load(path.absolute(), format="protobuf")
    except (*_READING_ERRORS, RecursionError) as e:
        raise InvalidModelError(
            f"{path} is not a readable ONNX file (truncated, damaged, or another format): {_innermost(e)}"
        ) from e
    if not model.graph.outputs:
        raise InvalidModelError(f"{path} holds no ONNX graph with outputs: it is empty, truncated, or another format")
    for tensor in tensors(model):
        _check_tensor(tensor, path.absolute().parent, path)
    check_values(model, str(path))
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
    return [tensor for tensor in tensors(model) if isinstance(tensor, ir.ExternalTensor)]


def tensors(model: ir.Model) -> list[ir.TensorProtocol]:
    """All tensors of a model: initializers and attributes, subgraphs and functions included."""
    values = [value for graph in model.graphs() for value in graph.initializers.values()]
    found = [value.const_value for value in values if value.const_value is not None]
    for node in all_nodes(model):
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.TENSOR and attribute.value is not None:
                found.append(attribute.value)
            elif attribute.type == ir.AttributeType.TENSORS and attribute.value is not None:
                found += attribute.value
    return found


def all_nodes(model: ir.Model) -> Iterator[ir.Node]:
    """All nodes of a model, subgraphs and functions included."""
    yield from ir.traversal.RecursiveGraphIterator(model.graph)
    for function in model.functions.values():
        yield from ir.traversal.RecursiveGraphIterator(function)


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


def _check_tensor(tensor: ir.TensorProtocol, folder: Path, model_path: Path) -> None:
    """Refuse a tensor whose data cannot be read, or is not as long as its shape and dtype say."""
    try:
        if isinstance(tensor, ir.ExternalTensor):
            _check_external(tensor, folder, model_path)
        elif any(size < 0 for size in tensor.shape.numpy()):
            raise InvalidModelError(f"{model_path}: tensor {tensor.name!r} has a negative size: {tensor.shape}")
        else:
            tensor.numpy()
    except (*_READING_ERRORS, MemoryError) as e:
        raise InvalidModelError(
            f"{model_path}: the data of tensor {tensor.name!r} do not fit its shape or dtype: {_innermost(e)}"
        ) from e


def _check_external(tensor: ir.ExternalTensor, folder: Path, model_path: Path) -> None:
    """Refuse external data that leaves the model's folder (also by a link), is missing, or is too short."""
    location = Path(tensor.location)
    where = f"{model_path}: external data {str(location)!r} of tensor {tensor.name!r}"
    if location.is_absolute() or ".." in location.parts:
        raise InvalidModelError(f"{where} points outside the model's folder. Put the data beside the model.")
    target = folder / location
    if not target.is_file():
        raise InvalidModelError(f"{where} is missing. Copy it beside the model, under that name.")
    if not target.resolve().is_relative_to(folder.resolve()):
        raise InvalidModelError(f"{where} is a link to outside the model's folder. Put the data itself there.")
    if target.stat().st_nlink > 1:
        # A hard link could reach any file of the disk; onnx_ir refuses it too, when the weights are read.
        raise InvalidModelError(f"{where} has several hard links. Put a copy of the data in its place.")
    if any(size < 0 for size in tensor.shape.numpy()):
        raise InvalidModelError(f"{where} has a negative size: {tensor.shape}")
    end = (tensor.offset or 0) + (tensor.length if tensor.length is not None else tensor.nbytes)
    too_short = tensor.length is not None and tensor.length < tensor.nbytes
    if (tensor.offset or 0) < 0 or end > target.stat().st_size or too_short:
        raise InvalidModelError(
            f"{where} needs {tensor.nbytes} bytes up to byte {end}, the file has {target.stat().st_size}: truncated?"
        )


def _innermost(error: BaseException) -> str:
    """The reason that stands at the beginning of a chain of errors, shortened."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip().split("\n")[0]
    return text if len(text) < 200 else text[:200] + " ..."
