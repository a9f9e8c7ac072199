"""Functions that a user names: `package.module:name` or `path/file.py:name`."""

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from edgebig.errors import UsageError


def is_callable_spec(text: str) -> bool:
    """Whether `text` has the form MODULE:NAME or FILE.py:NAME."""
    module, _, name = text.rpartition(":")
    return bool(module) and name.isidentifier() and (module.endswith(".py") or not any(c in module for c in "/\\"))


def load_callable(spec: str, *, purpose: str) -> Callable[..., Any]:
    """Import the module or file of `spec` and return the function it names.

    Running it runs the user's own Python code, as naming it asks for.

    Args:
        spec: `package.module:name`, or `path/file.py:name`; the file's own folder is importable while it loads.
        purpose: What it is for, for messages, e.g. "--task".

    Raises:
        UsageError: The form is wrong, or there is no such module, file or callable; or importing it failed.
    """
    if not is_callable_spec(spec):
        raise UsageError(f"{purpose}: {spec!r} is not of the form package.module:name or path/file.py:name")
    location, _, name = spec.rpartition(":")
    module = _load_file(Path(location), purpose) if location.endswith(".py") else _load_module(location, purpose)
    function = getattr(module, name, None)
    if not callable(function):
        public = ", ".join(n for n, v in vars(module).items() if callable(v) and not n.startswith("_")) or "none"
        raise UsageError(f"{purpose}: {location} has no callable {name!r}. Callables there: {public}.")
    return function


def _load_module(name: str, purpose: str) -> ModuleType:
    with _importable(Path.cwd()):
        try:
            return importlib.import_module(name)
        except (Exception, SystemExit) as e:  # the user's module may fail in any way
            raise UsageError(f"{purpose}: importing {name!r} failed: {type(e).__name__}: {e}") from e


def _load_file(path: Path, purpose: str) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"{purpose}: there is no file {path}")
    # A name of its own, so that two files called model.py do not replace each other in sys.modules.
    unique = f"edgebig_user_{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    if unique in sys.modules:
        return sys.modules[unique]
    spec = importlib.util.spec_from_file_location(unique, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{purpose}: {path} cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[unique] = module
    folder = path.resolve().parent
    with _importable(folder), _own_siblings(folder):
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as e:  # the user's file may fail in any way
            del sys.modules[unique]
            raise UsageError(f"{purpose}: importing {path} failed: {type(e).__name__}: {e}") from e
    return module


_siblings: dict[str, Path] = {}
"""Modules that user files imported from their own folder: name -> folder."""


@contextmanager
def _own_siblings(folder: Path) -> Iterator[None]:
    """Let `import data` in a/model.py and in b/model.py mean a/data.py and b/data.py, in one process."""
    for name, other in list(_siblings.items()):
        if other != folder and ((folder / f"{name}.py").is_file() or (folder / name).is_dir()):
            for loaded in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
                del sys.modules[loaded]
            del _siblings[name]
    before = set(sys.modules)
    try:
        yield
    finally:
        for name in set(sys.modules) - before:
            file = Path(getattr(sys.modules[name], "__file__", None) or "").resolve()
            if file in (folder / f"{name}.py", folder / name / "__init__.py"):
                _siblings[name] = folder


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Put a folder first on the import path, and take it away again."""
    entry = str(folder)
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        with suppress(ValueError):  # the user's module may have taken it away itself
            sys.path.remove(entry)
