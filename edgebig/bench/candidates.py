"""The models of a measurement: checked, on disk, and each with a name of its own."""

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import onnx_ir as ir

from edgebig.data.feeds import InputSpec
from edgebig.files import sha256
from edgebig.graph.interface import input_specs
from edgebig.graph.load import ModelLike, describe_source, load_model, source_files
from edgebig.graph.save import EXTERNAL_THRESHOLD, weight_bytes, write_model


@dataclass(frozen=True)
class Candidate:
    """One model to be measured.

    Attributes:
        name: Its name; unlike that of any other candidate.
        path: Its file.
        specs: Its inputs.
        bytes: Size of its file and external data.
        sha256: Of both.
    """

    name: str
    path: Path
    specs: tuple[InputSpec, ...]
    bytes: int
    sha256: str


@contextmanager
def open_candidates(models: Sequence[ModelLike]) -> Iterator[list[Candidate]]:
    """Check the models; those in memory lie in a temporary folder inside the block.

    Raises:
        InvalidModelError: A model cannot be read (see `edgebig.graph.load.load_model`).
    """
    with tempfile.TemporaryDirectory(prefix="edgebig-") as folder:
        found = [_open(model, Path(folder) / str(index)) for index, model in enumerate(models)]
        names = distinct_names([Path(candidate.name) for candidate in found])
        yield [replace(candidate, name=name) for candidate, name in zip(found, names, strict=True)]


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Short names that differ: the file's name, with as many folders as it takes; equal paths get a number."""
    names = {path: path.name for path in paths}
    for depth in range(2, max((len(path.parts) for path in paths), default=0) + 1):
        counts = Counter(names.values())
        names = {path: str(Path(*path.parts[-depth:])) if counts[name] > 1 else name for path, name in names.items()}
    totals, seen = Counter(paths), Counter[Path]()
    result = []
    for path in paths:
        seen[path] += 1
        result.append(f"{names[path]} ({seen[path]})" if totals[path] > 1 else names[path])
    return result


def _open(model: ModelLike, folder: Path) -> Candidate:
    if not isinstance(model, ir.Model):
        return _candidate(load_model(model), Path(model))
    folder.mkdir()
    path = folder / "model.onnx"
    write_model(model, path, external_data=weight_bytes(model) > EXTERNAL_THRESHOLD)
    return replace(_candidate(load_model(path), path), name=describe_source(model))


def _candidate(model: ir.Model, path: Path) -> Candidate:
    files = source_files(model)
    size = sum(file.stat().st_size for file in files)
    return Candidate(str(path), path, input_specs(model), size, sha256(*files))
