"""A recipe: the steps from a source, or from an `.onnx` file, to a compressed model, as a TOML file.

```toml
name = "fashion_mobilenet"
data = "calibration.npz"      # samples for every step that needs some; paths are relative to the recipe
task = "task.py:task"         # the metric of `evaluate` steps

model = "M.onnx"              # what to start from, called "model" in the steps; left out where a step exports one

[[step]]
use = "export"                # a verb; every other key is an option of it, spelled as on the command line with _
source = "model.py:build"

[[step]]
use = "quantize"
name = "int8"                 # how later steps and tables call the result; the verb where left out
input = "export"              # the step whose model is taken; the last model before where left out
```
"""

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

from edgebig.errors import UsageError

# What steps call the model that a recipe starts from.
STARTING_MODEL = "model"

_TEXT_KEYS = ("name", "model", "data", "task")
_STEP_KEYS = ("use", "name", "input", "models")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecipeStep:
    """One step as written, its options not yet checked against its verb.

    Attributes:
        use: The verb.
        name: What the step is called; unique in the recipe.
        input: The name of the step whose model it takes; None: the last model before it.
        models: For steps that judge: the names of the steps whose models they take; empty: all before it.
        options: The verb's options.
        where: Where it stands, for messages.
    """

    use: str
    name: str
    input: str | None
    models: tuple[str, ...]
    options: dict[str, Any]
    where: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """A recipe as written.

    Attributes:
        path: Its file; relative paths in it start from the file's folder.
        name: What is compressed.
        model: The `.onnx` file to start from, or None.
        data: Samples for the steps that need some, or None.
        task: The task for `evaluate` steps, or None.
        steps: The steps, in order.
    """

    path: Path
    name: str
    model: str | None
    data: str | None
    task: str | None
    steps: tuple[RecipeStep, ...]

    @property
    def folder(self) -> Path:
        """The folder that relative paths start from."""
        return self.path.parent


def read_recipe(path: Path) -> Recipe:
    """Read a recipe file and check its form (the options of each step are checked by who runs it).

    Raises:
        UsageError: Missing, not TOML, unknown keys, no steps, names that are not unique, or steps that refer to
            steps that do not come before them.
    """
    content = _read_toml(path)
    unknown = sorted(content.keys() - {*_TEXT_KEYS, "step"})
    if unknown:
        raise UsageError(f"{path}: unknown key {unknown[0]!r}. Known: {', '.join(_TEXT_KEYS)}, [[step]].")
    for key in _TEXT_KEYS:
        if not isinstance(content.get(key, ""), str):
            raise UsageError(f"{path}: {key} must be a text, got {content[key]!r}")
    tables = content.get("step", [])
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise UsageError(f"{path}: a recipe needs at least one [[step]] table")
    steps = tuple(_read_step(table, f"{path}, step {number}") for number, table in enumerate(tables, start=1))
    _check_names(steps)
    name = content.get("name", path.resolve().parent.name)
    texts = {key: content.get(key) for key in ("model", "data", "task")}
    return Recipe(path=path, name=name, steps=steps, **texts)


def _read_toml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UsageError(f"there is no recipe {path}. Give a TOML file.")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise UsageError(f"{path} is not valid TOML: {e}") from e


def _read_step(table: dict[str, Any], where: str) -> RecipeStep:
    use = table.get("use")
    if not isinstance(use, str):
        raise UsageError(f'{where}: it needs use = "VERB", for instance use = "quantize"')
    where = f"{where} ({use})"
    name, source, models = table.get("name", use), table.get("input"), table.get("models", [])
    if not isinstance(name, str) or not name or not all(c.isalnum() or c in "-_." for c in name) or name[0] == ".":
        raise UsageError(f"{where}: name must be letters, digits, '-', '_' or '.', got {name!r}")
    if not isinstance(source, str | None):
        raise UsageError(f"{where}: input must be the name of a step, got {source!r}")
    if not isinstance(models, list) or not all(isinstance(model, str) for model in models):
        raise UsageError(f"{where}: models must be a list of names of steps, got {models!r}")
    options = {key: value for key, value in table.items() if key not in _STEP_KEYS}
    return RecipeStep(use=use, name=name, input=source, models=tuple(models), options=options, where=where)


def _check_names(steps: tuple[RecipeStep, ...]) -> None:
    before = [STARTING_MODEL]
    for step in steps:
        for reference in [*([step.input] if step.input else []), *step.models]:
            if reference not in before:
                known = ", ".join(before) or "none"
                raise UsageError(f"{step.where}: there is no step {reference!r} before it. Steps before it: {known}.")
        if step.name in before:
            raise UsageError(f"{step.where}: the name {step.name!r} is taken. Give the step a name of its own.")
        before.append(step.name)
