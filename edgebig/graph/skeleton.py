"""A model as a small protobuf message, for onnx's own functions: large tensors are references instead of data.

Shape inference and version conversion need the graph and its small constants (shapes, axes), never the weights. So
models of any size pass through them, and the weights are put back by their reference.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import onnx
import onnx_ir as ir

from edgebig.graph.edit import copy_to_write
from edgebig.graph.load import all_nodes

# Tensors above this many bytes become references.
LARGE = 1024
_MARK = "edgebig-tensor-"


@dataclass(frozen=True)
class Skeleton:
    """A model without the data of its large tensors.

    Attributes:
        proto: The message; a large tensor in it is external data at a location that no folder has.
        tensors: The large tensors, in the order of their locations.
    """

    proto: onnx.ModelProto
    tensors: tuple[ir.TensorProtocol, ...]

    def restore(self, proto: onnx.ModelProto) -> ir.Model:
        """Read a message that came from this one, and put the large tensors back."""
        model = ir.from_proto(proto)
        for value in _initializers(model):
            tensor = value.const_value
            if isinstance(tensor, ir.ExternalTensor) and str(tensor.location).startswith(_MARK):
                value.const_value = self.tensors[int(str(tensor.location).removeprefix(_MARK))]
        for node in all_nodes(model):
            for name, attribute in list(node.attributes.items()):
                if _is_tensor(attribute) and str(getattr(attribute.value, "location", "")).startswith(_MARK):
                    index = int(str(attribute.value.location).removeprefix(_MARK))
                    node.attributes[name] = ir.AttrTensor(name, self.tensors[index])
        return model


def skeleton(model: ir.Model) -> Skeleton:
    """The model as a message without the data of its large tensors; the model stays as it is."""
    copy = copy_to_write(model)
    tensors: list[ir.TensorProtocol] = []
    for value in _initializers(copy):
        if value.const_value is not None and _is_large(value.const_value):
            value.const_value = _reference(value.const_value, len(tensors), tensors)
    for node in all_nodes(copy):
        for name, attribute in list(node.attributes.items()):
            if _is_tensor(attribute) and _is_large(attribute.value):
                node.attributes[name] = ir.AttrTensor(name, _reference(attribute.value, len(tensors), tensors))
    return Skeleton(ir.to_proto(copy), tuple(tensors))


def model_bytes(model: ir.Model) -> int:
    """Bytes of the model as a file (or files): the graph, and the data of all tensors."""
    bones = skeleton(model)
    for tensor in _references(bones.proto.graph):
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
    return bones.proto.ByteSize() + sum(tensor.nbytes for tensor in bones.tensors)


def _references(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from (tensor for tensor in graph.initializer if tensor.external_data)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.t.external_data:
                yield attribute.t
            for inner in (attribute.g, *attribute.graphs):
                yield from _references(inner)


def _reference(tensor: ir.TensorProtocol, index: int, tensors: list[ir.TensorProtocol]) -> ir.ExternalTensor:
    tensors.append(tensor)
    shape = ir.Shape(tensor.shape.numpy())
    return ir.ExternalTensor(
        f"{_MARK}{index}", 0, tensor.nbytes, tensor.dtype, shape=shape, name=tensor.name or "", base_dir=""
    )


def _is_large(tensor: ir.TensorProtocol) -> bool:
    return tensor.dtype != ir.DataType.STRING and tensor.nbytes > LARGE


def _is_tensor(attribute: ir.Attr) -> bool:
    return attribute.type == ir.AttributeType.TENSOR and attribute.value is not None


def _initializers(model: ir.Model) -> Iterator[ir.Value]:
    for graph in model.graphs():
        yield from graph.initializers.values()
