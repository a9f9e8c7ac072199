"""Check a whole recipe before any work starts, and turn it into steps that can be run."""

import dataclasses
from pathlib import Path
from typing import Any

from edgebig.data.callables import is_callable_spec, load_callable
from edgebig.errors import UsageError
from edgebig.pipeline.steps import StepKind, step_kinds
from edgebig.records.base import options_from_dict
from edgebig.records.recipe import STARTING_MODEL, Recipe, RecipeStep


@dataclasses.dataclass(frozen=True)
class PlannedStep:
    """A step whose options are checked and whose paths are resolved.

    Attributes:
        name: Its name.
        use: Its verb.
        kind: How the verb is run.
        options: The verb's options.
        input: The step whose model it takes; None for a step that starts from something else, or that judges.
        models: For a step that judges: the steps whose models it takes.
    """

    name: str
    use: str
    kind: StepKind
    options: Any
    input: str | None
    models: tuple[str, ...]


def with_sources(recipe: Recipe, *, model: str | None, data: str | None, task: str | None) -> Recipe:
    """The recipe with what it starts from: what is given here, else what it names, relative to its own folder."""

    def located(given: str | None, written: str | None) -> str | None:
        return given if given is not None or written is None else resolve_reference(written, recipe.folder)

    return dataclasses.replace(
        recipe, model=located(model, recipe.model), data=located(data, recipe.data), task=located(task, recipe.task)
    )


def plan(recipe: Recipe) -> tuple[PlannedStep, ...]:
    """Check every step of a recipe.

    Args:
        recipe: A recipe as `with_sources` gives it.

    Raises:
        UsageError: An unknown verb or option, a value out of range, a missing file, or a step without what it needs.
    """
    planned: list[PlannedStep] = []
    for step in recipe.steps:
        models = [STARTING_MODEL] if recipe.model is not None else []
        models += [before.name for before in planned if before.kind.makes_model]
        planned.append(_plan_step(step, recipe, models))
    if not any(step.kind.makes_model for step in planned):
        raise UsageError(f'{recipe.path}: no step makes a model. Add one, for instance use = "quantize".')
    for key in ("model", "data", "task"):
        _check_reference(getattr(recipe, key), f"{recipe.path}: {key}")
    return tuple(planned)


def resolve_reference(text: str, folder: Path) -> str:
    """A path, or `file.py:name`, seen from the working folder; a module's function or a model's name stays as it is."""
    location = text.rpartition(":")[0] if is_callable_spec(text) else text
    return text if _is_name(location) and not (folder / location).exists() else str(folder / text)


def _is_name(location: str) -> bool:
    """Whether a text can be a dotted module or the name of a reference model, rather than a path with an ending."""
    return all(part.replace("-", "_").isidentifier() for part in location.split(".")) and not location.endswith(
        (".py", ".onnx", ".npz", ".npy", ".pt2", ".safetensors")
    )


def _plan_step(step: RecipeStep, recipe: Recipe, models: list[str]) -> PlannedStep:
    if step.use not in step_kinds:
        raise UsageError(f"{step.where}: unknown step {step.use!r}. Known: {', '.join(step_kinds.names())}.")
    kind = step_kinds.get(step.use)
    for reference in [*([step.input] if step.input else []), *step.models]:
        if reference not in models:
            known = ", ".join(models) or "none"
            raise UsageError(f"{step.where}: {reference!r} is no model before it. Models before it: {known}.")
    if not models and (kind.takes_model or not kind.makes_model):
        raise UsageError(
            f'{step.where}: there is no model before it. Start with a step that makes one (use = "export"), or give '
            'the model to start from: model = "M.onnx" at the top of the recipe, or MODEL on the command line.'
        )
    if kind.needs_data and recipe.data is None:
        raise UsageError(f'{step.where}: it needs samples. Write data = "FILE.npz" at the top of the recipe.')
    if kind.needs_task and recipe.task is None:
        raise UsageError(f'{step.where}: it needs a task. Write task = "task.py:task" at the top of the recipe.')
    options = options_from_dict(kind.options, _with_paths(step, kind, recipe.folder), where=step.where)
    takes = (step.input or models[-1]) if kind.makes_model and kind.takes_model else None
    judges = () if kind.makes_model else step.models or tuple(models)
    return PlannedStep(step.name, step.use, kind, options, takes, judges)


def _with_paths(step: RecipeStep, kind: StepKind, folder: Path) -> dict[str, Any]:
    options = dict(step.options)
    for key in kind.paths:
        if isinstance(options.get(key), str):
            options[key] = resolve_reference(options[key], folder)
            _check_reference(options[key], f"{step.where}: {key}")
    return options


def _check_reference(text: str | None, where: str) -> None:
    """Refuse a path that is not there, or a function that cannot be imported."""
    if text is None:
        return
    if is_callable_spec(text):
        load_callable(text, purpose=where)
    elif not Path(text).exists() and not _is_name(text):
        raise UsageError(f"{where}: there is no {text}")
