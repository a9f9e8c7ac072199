"""Generated modules, from their text."""

import sys
from pathlib import Path
from types import ModuleType

_imported: dict[Path, ModuleType] = {}
_TEXT = "__edgebig_text__"


def import_text(path: Path, source: str) -> ModuleType:
    """The module of a generated file, from its text; its name is that of the file, and stands for its content.

    Args:
        path: The file, for messages and debuggers; it need not exist.
        source: Its text.
    """
    if path not in _imported:
        module = ModuleType(path.stem)
        module.__file__ = str(path)
        module.__dict__[_TEXT] = source
        exec(compile(source, str(path), "exec"), module.__dict__)
        sys.modules[path.stem] = _imported[path] = module  # Numba looks up a function's module by name
    return _imported[path]


def module_text(module: ModuleType) -> str:
    """The text that a module was made from."""
    generated: str | None = module.__dict__.get(_TEXT)
    return Path(str(module.__file__)).read_text(encoding="utf-8") if generated is None else generated
