"""What `edgebig compress` did: every step of a recipe, with its record."""

import dataclasses
from typing import Any, ClassVar

from edgebig.records.base import Record


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinishedStep(Record):
    """One finished step, written beside its model into the work folder; its presence says that the step is done.

    Attributes:
        name: The step's name in the recipe.
        use: Its verb.
        key: Hash of all that decides its result (options, inputs, versions): another key means another result.
        seconds: How long it took.
        model_sha256: Of the model file it wrote; null for steps that judge.
        model_bytes: Size of that file and its external data; null for steps that judge.
        record: The verb's own record.
    """

    schema: ClassVar[str] = "edgebig.step"

    name: str
    use: str
    key: str
    seconds: float
    model_sha256: str | None
    model_bytes: int | None
    record: dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompressRecord(Record):
    """A whole recipe.

    Attributes:
        recipe: Its name.
        recipe_sha256: Of the recipe file.
        output: File name of the result.
        steps: Every step, in order.
        reused: Names of the steps that had been finished before and were not run again.
        provenance: The steps written into the result's metadata.
    """

    schema: ClassVar[str] = "edgebig.compress"

    recipe: str
    recipe_sha256: str
    output: str
    steps: tuple[FinishedStep, ...]
    reused: tuple[str, ...]
    provenance: tuple[dict[str, Any], ...]
