"""Compiled functions that survive the process: Numba's own cache, made safe against files that are not whole.

Numba renames its files into place, but believes what it finds: a damaged file is an exception at best. So the digests
of a function's files are written beside them once they are complete, and files that do not fit are thrown away unread.
"""

import contextlib
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from edgebig.runtime.cache_files import read, remove, write_whole

_imported: dict[Path, ModuleType] = {}


def import_text(path: Path, source: str) -> ModuleType:
    """The module of a generated file, from its text; its name is that of the file, and stands for its content."""
    if path not in _imported:
        module = ModuleType(path.stem)
        module.__file__ = str(path)
        exec(compile(source, str(path), "exec"), module.__dict__)
        sys.modules[path.stem] = _imported[path] = module  # Numba looks a stored function's module up by name
    return _imported[path]


def compile_function(function: Callable[..., Any], signature: Any = None) -> Any:
    """Compile a module-level function, or take it from the cache beside its module's file.

    Args:
        function: By default one `f(call, task)` of a segment.
        signature: Numba's, of another kind of function.

    Returns:
        A Numba cfunc; its `address` is what a `bridge.Call` wants.
    """
    from numba import cfunc, types

    signature = types.void(types.intp, types.intp) if signature is None else signature
    module = Path(function.__code__.co_filename)
    if not _complete(module, function.__name__):
        remove(_files(module, function.__name__))
    try:
        made = cfunc(signature, cache=True)(function)
    except Exception:  # Numba raises whatever a full disk, a vanished folder or a foreign file makes it raise
        return cfunc(signature)(function)  # what is wrong with the function itself is raised here again
    if not made.cache_hits:
        _seal(module, function.__name__)
    return made


def _folder(module: Path) -> Path:
    return module.parent / "__pycache__"


def _files(module: Path, name: str) -> list[Path]:
    """A function's index and data files."""
    return sorted(_folder(module).glob(f"{module.stem}.{name}-*.nb[ic]"))


def _seal_path(module: Path, name: str) -> Path:
    return _folder(module) / f"{module.stem}.{name}.json"


def _complete(module: Path, name: str) -> bool:
    try:
        sealed = json.loads(_seal_path(module, name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(sealed == _digests(module, name))


def _seal(module: Path, name: str) -> None:
    content = _digests(module, name)
    with contextlib.suppress(OSError):
        write_whole(_seal_path(module, name), json.dumps(content).encode())


def _digests(module: Path, name: str) -> dict[str, str]:
    return {path.name: hashlib.sha256(read(path)).hexdigest() for path in _files(module, name)}
