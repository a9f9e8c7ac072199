"""Write into a model's metadata what was done to it, and read it back."""

import json
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import onnx_ir as ir

from edgebig import __version__
from edgebig.errors import InvalidDataError
from edgebig.files import sha256
from edgebig.records.provenance import Provenance

KEY = "edgebig.provenance"
_PACKAGES = ("numpy", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "onnxruntime-gpu", "torch", "numba")


def stamp(
    model: ir.Model,
    step: str,
    options: Any,
    *,
    inputs: Sequence[Path] = (),
    machine: Mapping[str, str] | None = None,
) -> Provenance:
    """Append a step to the model's history and return it.

    Args:
        model: The result of the step; its metadata is changed.
        step: The verb.
        options: A frozen options dataclass.
        inputs: Files the step read: models, samples, weights.
        machine: Facts of the machine that decided the result.
    """
    record = Provenance(
        step=step,
        options={k: v for k, v in msgspec.to_builtins(options, enc_hook=str).items() if v is not None},
        inputs={path.name: sha256(path) for path in inputs if path.is_file()},
        versions=package_versions(),
        machine=dict(machine or {}),
    )
    steps = [*read_provenance(model), record]
    model.metadata_props[KEY] = json.dumps([step.to_dict() for step in steps])
    return record


def read_provenance(model: ir.Model) -> list[Provenance]:
    """The steps written into the model, oldest first; empty where there are none, or another tool wrote the key."""
    try:
        return [Provenance.from_dict(entry) for entry in json.loads(model.metadata_props.get(KEY, "[]"))]
    except (ValueError, TypeError, AttributeError, InvalidDataError):
        return []


def package_versions() -> dict[str, str]:
    """Versions of edgebig and of the installed packages that decide results."""
    versions = {"edgebig": __version__}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
