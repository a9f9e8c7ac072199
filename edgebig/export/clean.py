"""Take out of a graph what torch writes for its own developers."""

from collections.abc import MutableMapping

import onnx_ir as ir

from edgebig.export.opset import stamp_ir_version

_NOTES = ("pkg.torch", "namespace")


def clean_graph(model: ir.Model) -> None:
    """Remove torch's notes (stack traces with the maker's folders among them), and stamp the file version.

    A small net's file is four fifths notes; nothing that runs a model reads them. Names, shapes and types stay.
    """
    _forget(model.metadata_props)
    graphs: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    for graph in graphs:
        _forget(graph.metadata_props)
        for node in ir.traversal.RecursiveGraphIterator(graph):
            _forget(node.metadata_props)
            node.doc_string = None
            for value in node.outputs:
                _forget(value.metadata_props)
        for value in graph.inputs:
            _forget(value.metadata_props)
    for value in model.graph.initializers.values():
        _forget(value.metadata_props)
    stamp_ir_version(model)


def _forget(notes: MutableMapping[str, str]) -> None:
    for key in [key for key in notes if key.startswith(_NOTES)]:
        del notes[key]
