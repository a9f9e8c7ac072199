"""A part of a model as a session of its own, that holds no copies of weights beyond what onnxruntime repacks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.dependencies import require
from edgebig.errors import InvalidModelError
from edgebig.graph.load import describe_source
from edgebig.graph.skeleton import LARGE, skeleton

# What onnxruntime takes by reference from NumPy; other dtypes go through the message.
_BY_REFERENCE = frozenset("bBhHiIlLqQefd?")
ArrayCache = dict[int, tuple[ir.TensorProtocol, NDArray]]


def extract_part(model: ir.Model, inputs: Sequence[ir.Value], outputs: Sequence[ir.Value]) -> ir.Model:
    """The part of a model between some values of its top-level graph, all of which keep their names.

    Args:
        model: The model; it stays as it is. The part shares its tensors.
        inputs: Values that are given to the part.
        outputs: Values that it gives.

    Raises:
        ValueError: The outputs depend on inputs of the graph that are not given.
    """
    graph = ir.convenience.extract(model.graph, inputs, outputs)
    graph.name = f"part of {describe_source(model)}"
    return ir.Model(graph, ir_version=model.ir_version, functions=tuple(model.functions.values()))


class PartSession:
    """An onnxruntime session of a model in memory; its large initializers are passed by reference.

    Args:
        model: The model.
        threads: Threads within an operator; 0 leaves the choice to onnxruntime.
        optimize: Whether onnxruntime rewrites the graph, or runs it as written.
        cache: Arrays of tensors that several sessions share, by the tensor's id; it is read and not changed.

    Raises:
        InvalidModelError: onnxruntime refuses the model; its reason is in the message.
    """

    def __init__(
        self, model: ir.Model, *, threads: int = 0, optimize: bool = True, cache: ArrayCache | None = None
    ) -> None:
        ort = require("onnxruntime", extra="cpu", purpose="running a model")
        bones = skeleton(model)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        levels = ort.GraphOptimizationLevel
        options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
        arrays = _take_references(bones.proto, bones.tensors, cache or {})
        # onnxruntime reads these as long as the session lives.
        self._values: list[Any] = [ort.OrtValue.ortvalue_from_numpy(array) for array in arrays.values()]
        options.add_external_initializers(list(arrays), self._values)
        self.name = describe_source(model)
        self.bytes = sum(array.nbytes for array in arrays.values())
        try:
            self.inner: Any = ort.InferenceSession(
                bones.proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as e:  # onnxruntime raises many classes without a common base
            raise InvalidModelError(f"{self.name}: onnxruntime {ort.__version__} cannot load it: {_line(e)}") from e
        self.input_names = tuple(value.name for value in self.inner.get_inputs())
        self.output_names = tuple(value.name for value in self.inner.get_outputs())

    def run(self, values: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """Run once.

        Args:
            values: Name -> array; what is no input is left out.

        Returns:
            Output name -> array.

        Raises:
            InvalidModelError: onnxruntime fails; its reason is in the message.
        """
        feed = {name: values[name] for name in self.input_names}
        try:
            return dict(zip(self.output_names, self.inner.run(None, feed), strict=True))
        except Exception as e:  # onnxruntime raises many classes without a common base
            raise InvalidModelError(f"{self.name}: onnxruntime failed: {_line(e)}") from e


def _take_references(
    proto: onnx.ModelProto, tensors: Sequence[ir.TensorProtocol], cache: ArrayCache
) -> dict[str, NDArray]:
    """Initializer name -> array to pass by reference; all other large tensors are put back into the message."""
    arrays: dict[str, NDArray] = {}
    for initializer in proto.graph.initializer:
        if initializer.external_data:
            tensor = tensors[_index(initializer)]
            if (array := _array(tensor, cache)) is not None:
                arrays[initializer.name] = array
            else:
                _put_back(initializer, tensor)
    for message in _others(proto):
        _put_back(message, tensors[_index(message)])
    return arrays


def _array(tensor: ir.TensorProtocol, cache: ArrayCache) -> NDArray | None:
    if id(tensor) in cache:
        return cache[id(tensor)][1]
    array = tensor.numpy()
    return np.ascontiguousarray(array) if array.dtype.char in _BY_REFERENCE else None


def _put_back(message: onnx.TensorProto, tensor: ir.TensorProtocol) -> None:
    message.ClearField("external_data")
    message.ClearField("data_location")
    message.raw_data = tensor.tobytes()


def _index(message: onnx.TensorProto) -> int:
    location = next(entry.value for entry in message.external_data if entry.key == "location")
    return int(location.rpartition("-")[2])


def _others(proto: onnx.ModelProto) -> list[onnx.TensorProto]:
    """Large tensors of subgraphs and attributes, which onnxruntime takes in the message alone."""
    found: list[onnx.TensorProto] = []

    def visit(nodes: Sequence[onnx.NodeProto]) -> None:
        for node in nodes:
            for attribute in node.attribute:
                found.extend(tensor for tensor in (attribute.t, *attribute.tensors) if tensor.external_data)
                for graph in (attribute.g, *attribute.graphs):
                    found.extend(tensor for tensor in graph.initializer if tensor.external_data)
                    visit(graph.node)

    visit(proto.graph.node)
    for function in proto.functions:
        visit(function.node)
    return found


def shared_arrays(model: ir.Model) -> ArrayCache:
    """The arrays of a model's large tensors, read once; those of external data stay in their file."""
    cache: ArrayCache = {}
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if tensor is not None and tensor.dtype != ir.DataType.STRING and tensor.nbytes > LARGE:
            array = tensor.numpy()
            if array.dtype.char in _BY_REFERENCE:
                cache[id(tensor)] = (tensor, np.ascontiguousarray(array))
    return cache


def _line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
