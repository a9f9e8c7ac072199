"""Provenance: what was done to a model, with what, written into the model and beside it."""

import dataclasses
from typing import Any, ClassVar

from edgebig.records.base import Record


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provenance(Record):
    """One step in the life of a model.

    Attributes:
        step: The verb: "export", "optimize", "prune", "quantize".
        options: The step's options by name, as JSON types.
        inputs: SHA-256 of each input file, by the file's name (no folders: they say nothing elsewhere).
        versions: Versions of edgebig and of the packages that decide the result.
        machine: Facts of the machine that decided the result, e.g. the CPU's instruction set; empty where none did.
    """

    schema: ClassVar[str] = "edgebig.provenance"

    step: str
    options: dict[str, Any]
    inputs: dict[str, str]
    versions: dict[str, str]
    machine: dict[str, str] = dataclasses.field(default_factory=dict)
