"""Save a model in one step: whole or not at all, with its weights beside it when they are large."""

import os
from pathlib import Path

import onnx_ir as ir

from edgebig.errors import OutputError
from edgebig.files import check_output, replacing_folder
from edgebig.graph.edit import copy_to_write
from edgebig.graph.load import all_nodes, external_tensors, tensors

# protobuf refuses messages of 2 GiB; the graph itself needs room too.
PROTOBUF_LIMIT = 2_000_000_000
# Weights that lie in files of their own stay so above this size: putting them into one message takes several copies.
MOST_INLINED = 1 << 28
# Smaller tensors stay in the .onnx file: onnxruntime wants shapes and axes there.
EXTERNAL_THRESHOLD = 1024


def save_model(
    model: ir.Model, path: str | Path, *, force: bool = False, external_data: bool | None = None
) -> tuple[Path, ...]:
    """Write a model to `path`, and its weights to `path + ".data"` when they are external.

    Everything is written into a temporary folder beside the target and renamed last, so that an existing file is
    replaced whole or left as it was.

    Args:
        model: The model; it stays as it is.
        path: The `.onnx` file to write.
        force: Whether existing files may be replaced.
        external_data: Weights in a file of their own: yes, no, or (None) when they exceed what protobuf can hold, or
            more than 256 MiB of them lie outside of memory as it is.

    Returns:
        The files written, the `.onnx` first.

    Raises:
        OutputError: The target exists (without `force`), cannot be written, the disk is full, or the weights
            exceed protobuf's 2 GB while `external_data` is False.
    """
    path = Path(path)
    check_output(path, force=force)
    size = weight_bytes(model)
    if external_data is None:
        outside = sum(tensor.nbytes for tensor in external_tensors(model))
        external_data = size > PROTOBUF_LIMIT or outside > MOST_INLINED
    elif not external_data and size > PROTOBUF_LIMIT:
        raise OutputError(f"{path}: {size} bytes of weights exceed protobuf's limit of 2 GB. Use external data.")
    data_path = path.with_name(path.name + ".data")
    if external_data:
        check_output(data_path, force=force)
    with replacing_folder(path.absolute().parent) as folder:
        write_model(model, folder / path.name, external_data=external_data)
        # The data first: a new model never stands beside old weights. A graph of small tensors has no data file.
        written = [path]
        if (folder / data_path.name).exists():
            os.replace(folder / data_path.name, data_path)
            written.append(data_path)
        os.replace(folder / path.name, path)
    return tuple(written)


def write_model(model: ir.Model, path: Path, *, external_data: bool) -> None:
    """Write a model plainly; `save_model` adds the care that a user's file needs."""
    copy = copy_to_write(model)
    for graph in copy.graphs():
        for value in graph.initializers.values():
            if not external_data and isinstance(value.const_value, ir.ExternalTensor):
                value.const_value = _loaded(value.const_value)
    for node in all_nodes(copy):
        # Only initializers can go to the data file; what attributes hold must come into the graph.
        for name, attribute in list(node.attributes.items()):
            if isinstance(attribute.value, ir.ExternalTensor):
                node.attributes[name] = ir.AttrTensor(name, _loaded(attribute.value))
    if external_data:
        ir.save(copy, path, external_data=path.name + ".data", size_threshold_bytes=EXTERNAL_THRESHOLD)
    else:
        ir.save(copy, path)


def weight_bytes(model: ir.Model) -> int:
    """Bytes of all tensors as a file holds them: initializers and attributes, subgraphs and functions included."""
    return sum(tensor.nbytes for tensor in tensors(model) if tensor.dtype != ir.DataType.STRING)


def _loaded(tensor: ir.ExternalTensor) -> ir.TensorProtocol:
    return ir.tensor(tensor.numpy(), dtype=tensor.dtype, name=tensor.name)
