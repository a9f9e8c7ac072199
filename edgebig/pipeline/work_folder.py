"""The folder that holds what each step made, so that a killed run goes on where it stopped.

Per step a model (for verbs that make one) and a JSON file, which is written last: without it, or with another key in
it, the step counts as not done. Both are written beside their final place and renamed, so nothing half-written is
ever found.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebig.errors import InvalidDataError, OutputError
from edgebig.files import sha256
from edgebig.records.compress import FinishedStep


@dataclass(frozen=True)
class WorkFolder:
    """Where the results of the steps lie.

    Attributes:
        path: The folder; made when the first step is to be written.
    """

    path: Path

    def make(self) -> None:
        """Create the folder.

        Raises:
            OutputError: It cannot be created.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise OutputError(f"cannot create the work folder {self.path}: {e.strerror or e}") from e

    def model(self, name: str) -> Path:
        """Where the model of a step lies."""
        return self.path / f"{name}.onnx"

    def record(self, name: str) -> Path:
        """Where the record of a step lies."""
        return self.path / f"{name}.json"

    def finished(self, name: str, key: str) -> FinishedStep | None:
        """The step's record if it is done with this key and its model is what it wrote, else None."""
        try:
            step = FinishedStep.from_json(self.record(name).read_bytes())
        except (OSError, InvalidDataError):
            return None
        if step.key != key:
            return None
        if step.model_sha256 is not None:
            model = self.model(name)
            if not model.is_file() or sha256(*model_files(model)) != step.model_sha256:
                return None
        return step

    def write(self, step: FinishedStep) -> None:
        """Say that a step is done."""
        step.write_json(self.record(step.name))


def model_files(path: Path) -> list[Path]:
    """A model file and its external data, where it has some, as edgebig writes them."""
    data = path.with_name(path.name + ".data")
    return [path, data] if data.exists() else [path]


def key_of(**parts: Any) -> str:
    """A short hash of all that decides a step's result."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:20]


def fingerprint(reference: str | None) -> str | None:
    """A hash of what a path or `file.py:name` refers to; the text itself where it is neither."""
    if reference is None:
        return None
    path = Path(reference.rpartition(":")[0] if ".py:" in reference else reference)
    if path.is_dir():
        return sha256(*sorted(file for file in path.glob("*.npz") if file.is_file()))
    return sha256(path) if path.is_file() else reference
