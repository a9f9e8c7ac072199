"""Shape inference that says when it failed, and never touches the weights.

onnx's C++ inference runs on the model's skeleton. It believes what a file declares even against the operators, and
then goes on from there; so it runs without declarations first, and with those of the values it could not do after.
Names of dynamic axes are the file's.
"""

from collections.abc import Iterator

import onnx
import onnx_ir as ir

from edgebig.graph.skeleton import skeleton


def infer_shapes(model: ir.Model) -> str | None:
    """Give the values of the model (subgraphs included) the shapes and dtypes that can be inferred, in place.

    Args:
        model: The model. Shapes that it declares and that contradict its operators are replaced.

    Returns:
        None where inference worked, else why it failed; the model is then as it was.
    """
    proto = skeleton(model).proto
    declared = [list(graph.value_info) for graph in _graphs(proto.graph)]
    outputs = [output.type.SerializeToString() for output in proto.graph.output]
    for graph in _graphs(proto.graph):
        graph.ClearField("value_info")
    for output in proto.graph.output:
        output.type.tensor_type.ClearField("shape")
    inferred = _infer(proto)
    if isinstance(inferred, str):
        return inferred
    unknown = 0
    for graph, found, infos in zip(_graphs(proto.graph), _graphs(inferred.graph), declared, strict=True):
        known = {info.name for info in found.value_info if info.type.tensor_type.HasField("shape")}
        helpful = [info for info in infos if info.name not in known]
        graph.value_info.extend(helpful)
        unknown += len(helpful)
    for output, found_output, text in zip(proto.graph.output, inferred.graph.output, outputs, strict=True):
        if not found_output.type.tensor_type.HasField("shape"):
            output.type.ParseFromString(text)
    if unknown and not isinstance(helped := _infer(proto), str):
        inferred = helped
    _merge(model, ir.from_proto(inferred))
    return None


def static_shape(value: ir.Value | None) -> tuple[int, ...] | None:
    """The value's shape where every size is known, else None."""
    if value is None or value.shape is None or not all(isinstance(size, int) for size in value.shape):
        return None
    return tuple(int(size) for size in value.shape)  # type: ignore[arg-type]


def _infer(proto: onnx.ModelProto) -> onnx.ModelProto | str:
    """The message with shapes, or why there are none."""
    reason = ""
    for data_propagation in (True, False):
        try:
            return onnx.shape_inference.infer_shapes(proto, data_prop=data_propagation)
        except Exception as e:  # the C++ code raises several classes without a common base
            reason = reason or str(e).strip().split("\n")[0]
    return reason


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _graphs(attribute.g)
            for inner in attribute.graphs:
                yield from _graphs(inner)


def _merge(model: ir.Model, inferred: ir.Model) -> None:
    for graph, other in zip(model.graphs(), inferred.graphs(), strict=True):
        found = {value.name: value for node in other for value in node.outputs}
        for node in graph:
            for value in node.outputs:
                source = found.get(value.name)
                if source is None or not value.name:
                    continue
                value.shape = _merged(value.shape, source.shape)
                if source.type is not None:
                    value.type = source.type


def _merged(declared: ir.Shape | None, inferred: ir.Shape | None) -> ir.Shape | None:
    """The sizes known to either; where both are names, the file's."""
    if declared is None or inferred is None or len(declared) != len(inferred):
        return inferred if inferred is not None else declared
    return ir.Shape(
        [
            theirs if isinstance(theirs, int) or (not isinstance(ours, int) and ours.value is None) else ours
            for ours, theirs in zip(declared, inferred, strict=True)
        ]
    )
