"""A model as it is handed in: opened for running, and named for a record."""

from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from edgebig.files import sha256
from edgebig.graph.load import ModelLike, describe_source, load_model, source_files
from edgebig.records.evaluation import ModelFile


@dataclass(frozen=True)
class OpenedModel:
    """A checked model.

    Attributes:
        graph: Its graph.
        source: What a session is made from: the file itself where there is one.
        file: Its name, hash and size.
    """

    graph: ir.Model
    source: ir.Model | Path
    file: ModelFile


def open_model(model: ModelLike) -> OpenedModel:
    """Load and check a model file, or take a model in memory as it is (it may differ from the file it came from).

    Raises:
        InvalidModelError: See `edgebig.graph.load.load_model`.
    """
    if isinstance(model, ir.Model):
        name = Path(describe_source(model)).name
        return OpenedModel(model, model, ModelFile(name=name, sha256=None, bytes=None))
    graph = load_model(model)
    files = source_files(graph)
    size = sum(path.stat().st_size for path in files)
    return OpenedModel(graph, Path(model), ModelFile(name=Path(model).name, sha256=sha256(*files), bytes=size))
