"""What is exported: a SOURCE in the user's words, completed by the recipe of a model under `models/`."""

import dataclasses
import difflib
from pathlib import Path
from typing import Any

import edgebig
from edgebig.data.callables import is_callable_spec
from edgebig.errors import InvalidDataError, InvalidModelError, UnknownNameError, UsageError
from edgebig.records.base import options_from_dict
from edgebig.records.export import ExportOptions
from edgebig.records.recipe import read_recipe

RECIPE = "recipe.toml"

_FORMS = "package.module:factory, path/file.py:factory, a .pt2 file, or the name of a model under models/"


def complete_options(source: Any, options: ExportOptions) -> ExportOptions:
    """Fill in what the source says of itself.

    Args:
        source: A SOURCE, or the torch module itself.
        options: The user's options. For the name of a model under `models/`, those left at their defaults come from the
            export step of its recipe, paths relative to that folder.

    Returns:
        Options whose `source` is a `.pt2` file or a factory; None for a module.

    Raises:
        UnknownNameError: No model of that name; the message lists those there are.
        UsageError: The source has none of the allowed forms, or the recipe has no export step.
    """
    if not isinstance(source, str | Path):
        return dataclasses.replace(options, source=None)
    text = str(source)
    path = Path(text)
    if path.suffix == ".pt2" or is_callable_spec(text):
        return dataclasses.replace(options, source=text)
    if path.is_file():
        hint = " A file of weights alone has no network: give its factory, and the weights with --weights."
        raise UsageError(f"source {text!r} is a file of unknown kind. Give {_FORMS}.{hint if _weights(path) else ''}")
    if ":" in text or "/" in text or "\\" in text or path.suffix == ".py":
        raise UsageError(f"source {text!r} has an unknown form. Give {_FORMS}.")
    return _merge(_from_recipe(text), options)


def check_files(options: ExportOptions) -> None:
    """Refuse files that do not exist, before torch is imported and the module built.

    Raises:
        InvalidDataError: The weights or the sample are not there.
        InvalidModelError: The `.pt2` file is not there.
    """
    if options.source is not None and options.source.endswith(".pt2") and not Path(options.source).is_file():
        raise InvalidModelError(f"there is no file {options.source}")
    if options.weights is not None and not Path(options.weights).is_file():
        script = Path(options.weights).parent / "obtain.py"
        hint = f" Run {script} to get it." if script.is_file() else ""
        raise InvalidDataError(f"there is no weights file {options.weights}.{hint}")
    if options.sample is not None and not Path(options.sample).exists():
        raise InvalidDataError(f"sample {options.sample} does not exist")


def input_files(options: ExportOptions) -> tuple[Path, ...]:
    """The files that an export with these (complete) options reads."""
    source = options.source or ""
    paths = [source.rpartition(":")[0] if is_callable_spec(source) else source]
    paths += [path for path in (options.weights, options.sample) if path]
    files = [Path(path) for path in paths]
    return tuple(path for path in files if path.is_file())


def without_folders(options: ExportOptions) -> ExportOptions:
    """The options as they are written into a model: paths without folders, which say nothing elsewhere."""
    return dataclasses.replace(
        options, source=_bare(options.source), weights=_bare(options.weights), sample=_bare(options.sample)
    )


def models_folders() -> tuple[Path, ...]:
    """Where models are looked up by name: `models/` here, then the one beside the edgebig package."""
    return Path("models"), Path(edgebig.__file__).parent.parent / "models"


def _bare(text: str | None) -> str | None:
    return text if text is None or _is_module(text) else Path(text).name


def _is_module(text: str) -> bool:
    """Whether it is `package.module:name`, which names no file."""
    return is_callable_spec(text) and ".py:" not in text


def _weights(path: Path) -> bool:
    return path.suffix in (".pt", ".pth", ".bin", ".ckpt", ".safetensors")


def _from_recipe(name: str) -> ExportOptions:
    folder = next((folder / name for folder in models_folders() if (folder / name / RECIPE).is_file()), None)
    if folder is None:
        known = sorted({path.parent.name for folder in models_folders() for path in folder.glob(f"*/{RECIPE}")})
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        listed = ", ".join(known) or "none"
        raise UnknownNameError(f"no model {name!r} under models/.{hint} Models there: {listed}. Or give {_FORMS}.")
    steps = [step for step in read_recipe(folder / RECIPE).steps if step.use == "export"]
    if not steps:
        raise UsageError(f'{folder / RECIPE} has no step with use = "export", so it does not say how to export {name}')
    content = dict(steps[0].options)
    for key in ("source", "weights", "sample"):
        if isinstance(content.get(key), str):
            content[key] = _beside(content[key], folder)
    options = options_from_dict(ExportOptions, content, where=steps[0].where)
    if options.source is None:
        raise UsageError(f'{steps[0].where}: it names no source, e.g. source = "model.py:build"')
    return options


def _beside(text: str, folder: Path) -> str:
    """A path, or `file.py:name`, relative to the folder; `package.module:name` stays as it is."""
    return text if _is_module(text) else str(folder / text)


def _merge(written: ExportOptions, given: ExportOptions) -> ExportOptions:
    """`written`, changed where `given` differs from the defaults."""
    defaults, changes = ExportOptions(), {}
    for field in dataclasses.fields(ExportOptions):
        value = getattr(given, field.name)
        if field.name != "source" and value != getattr(defaults, field.name):
            changes[field.name] = value
    return dataclasses.replace(written, **changes)
