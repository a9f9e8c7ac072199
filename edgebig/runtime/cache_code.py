"""Generated modules, from their text."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import WeakValueDictionary

_imported: WeakValueDictionary[Path, ModuleType] = WeakValueDictionary()
_TEXT = "__edgebig_text__"


def import_text(path: Path, source: str) -> ModuleType:
    """The module of a generated file, from its text; its name is that of the file, and stands for its content.

    Args:
        path: The file, for messages and debuggers; it need not exist.
        source: Its text.

    Returns:
        The module; one and the same for the same path, as long as somebody holds it.
    """
    module = _imported.get(path)
    if module is None:
        module = ModuleType(path.stem)
        module.__file__ = str(path)
        module.__dict__[_TEXT] = source
        exec(compile(source, str(path), "exec"), module.__dict__)
        _imported[path] = module
    return module


def source_of(function: Callable[..., Any]) -> tuple[str, str]:
    """The name of the file that a function comes from, without the suffix, and its text."""
    place, generated = function.__globals__["__file__"], function.__globals__.get(_TEXT)
    return Path(place).stem, Path(place).read_text(encoding="utf-8") if generated is None else generated
