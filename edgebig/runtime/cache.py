"""What is expensive to find out and true on this machine only: generated modules, compiled functions, verdicts.

A folder of entries:

    modules/NAME_HASH.py                   a generated module; HASH covers its text and all that compiles it
    objects/MODULE.FUNCTION_HASH.o         a function of a module, compiled
    objects/FUNCTION_HASH.o                a function that many modules share
    records/KIND/HASH.json                 a record

Everything can be made again: whatever does not fit, or cannot be read, is made again.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from edgebig.runtime.cache_code import import_text, source_of
from edgebig.runtime.cache_environment import compilers, environment
from edgebig.runtime.cache_files import facts_of, read, remove, remove_unfinished, stamp, write_whole
from edgebig.runtime.cache_folder import default_folder, temporary_folder, usable_folder, warn_once
from edgebig.runtime.cache_object import Compiled, compile_object, load_object

LIMIT_BYTES = 1 << 30
_DIGITS = 16  # hexadecimal digits of a hash in a file's name
_MODULE, _FUNCTION = "module", "function"


@dataclass(frozen=True)
class Entry:
    """One thing in the cache.

    Attributes:
        kind: "module" (with functions of its own), "function" (shared by modules, or of edgebig itself), or the kind of
            the record.
        name: Of its file, without the suffix.
        bytes: Size of all its files.
        used: When it was last used, in seconds since 1970.
        files: Its files.
    """

    kind: str
    name: str
    bytes: int
    used: float
    files: tuple[Path, ...]


class Cache:
    """The cache in a folder, shared by all processes of a user.

    Args:
        folder: Where it lies; by default `EDGEBIG_CACHE` or the system's place for caches. It must belong to the user,
            and nobody else may write to it; else a temporary folder is used, with a `CacheWarning`.
        limit_bytes: Beyond this size, entries go that have not been used for longest.
    """

    def __init__(self, folder: Path | str | None = None, limit_bytes: int = LIMIT_BYTES) -> None:
        self.folder = usable_folder(default_folder() if folder is None else Path(folder).absolute())
        self.limit_bytes = limit_bytes

    def module(self, name: str, source: str) -> ModuleType:
        """Import a generated module, written first if it is not there.

        Args:
            name: A Python identifier.
            source: Its text.

        Returns:
            The module; one and the same for the same name and text, in this process.
        """
        digest = _hash(f"{name}\n{compilers()}\n{source}")
        place = Path("modules") / f"{name}_{digest}.py"
        if read(self.folder / place) != source.encode():
            self._write(place, source.encode())
        stamp(self.folder / place)
        return import_text(self.folder / place, source)

    def compile(self, function: Callable[..., Any], signature: Any = None, text: str | None = None) -> Compiled:
        """Compile a function of a module, or take it from the cache.

        Args:
            function: A plain function at the top of a module that has a file or came from `module`.
            signature: Numba's; by default that of `f(call, task)`, a function of a segment.
            text: All that its code follows from, with which functions of many modules are one and the same; by default
                the text of its module.

        Returns:
            Its address, which a `bridge.Call` wants; keep the whole object as long as that is in use.
        """
        path = self.folder / _object_place(function, signature, text)
        found = load_object(path)
        if found:
            stamp(path)
            return found
        from numba import types

        signature = types.void(types.intp, types.intp) if signature is None else signature
        return compile_object(function, signature, path)

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """A record put by an equal environment under this key; None where there is none that can be read."""
        path = self.folder / _record_place(kind, key)
        try:
            found = json.loads(read(path))
        except ValueError:
            return None
        if not isinstance(found, dict) or found.get("head") != _head(kind, key):
            return None
        stamp(path)
        value = found.get("value")
        return value if isinstance(value, dict) else None

    def put(self, kind: str, key: str, value: dict[str, Any]) -> None:
        """Keep a record.

        Args:
            kind: Of record; a Python identifier.
            key: What it depends on besides `cache_environment.environment()`, in any form.
            value: What JSON can hold.
        """
        text = json.dumps({"head": _head(kind, key), "value": value}, indent=1)
        self._write(_record_place(kind, key), text.encode())

    def entries(self) -> tuple[Entry, ...]:
        """All entries, the last used first."""
        objects: dict[str, list[Path]] = {}
        for path in self.folder.glob("objects/*.o"):
            objects.setdefault(path.name.partition(".")[0], []).append(path)
        found = [
            _entry(_MODULE, [path, *objects.pop(path.stem, ())]) for path in sorted(self.folder.glob("modules/*.py"))
        ]
        found += [_entry(_FUNCTION, [path]) for paths in objects.values() for path in paths]
        found += [_entry(path.parent.name, [path]) for path in self.folder.glob("records/*/*.json")]
        there = [entry for entry in found if entry.files]  # another process may have removed some meanwhile
        return tuple(sorted(there, key=lambda entry: (-entry.used, entry.name)))

    def size(self) -> int:
        """Bytes of all entries."""
        return sum(entry.bytes for entry in self.entries())

    def clear(self) -> None:
        """Remove all entries. What is in use in some process goes on working there."""
        self._remove(self.entries())

    def trim(self) -> None:
        """Remove the entries that were not used for longest, until the rest is within the limit. One always stays."""
        remove_unfinished(self.folder)
        total, old = 0, []
        for index, entry in enumerate(self.entries()):
            total += entry.bytes
            if index and total > self.limit_bytes:
                old.append(entry)
        self._remove(old)

    def _write(self, place: Path, data: bytes) -> None:
        """Write a file of this cache; where that fails, go on in a temporary folder."""
        try:
            write_whole(self.folder / place, data)
        except OSError as e:
            warn_once(f"the cache folder {self.folder} cannot be written any more ({e.strerror or e}): nothing is kept")
            self.folder = usable_folder(temporary_folder())
            with contextlib.suppress(OSError):  # then without any cache
                write_whole(self.folder / place, data)
        self.trim()

    def _remove(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            remove(entry.files)


def _object_place(function: Callable[..., Any], signature: Any, text: str | None) -> Path:
    if text is not None:
        name = function.__name__.rstrip("0123456789").rstrip("_")
        return Path("objects") / f"{name}_{_hash(f'{signature}{compilers()}{text}')}.o"
    stem, text = source_of(function)
    facts = f"{function.__name__}\n{signature}\n{compilers()}\n{text}"
    return Path("objects") / f"{stem}.{function.__name__}_{_hash(facts)}.o"


def _record_place(kind: str, key: str) -> Path:
    return Path("records") / kind / (_hash(f"{kind}\n{environment()}\n{key}") + ".json")


def _head(kind: str, key: str) -> dict[str, str]:
    return {"kind": kind, "environment": environment(), "key": key}


def _entry(kind: str, files: Iterable[Path]) -> Entry:
    facts = {path: found for path in files if (found := facts_of(path)) is not None}
    used = max((found.st_mtime for found in facts.values()), default=0.0)
    name = next(iter(facts), Path()).stem
    return Entry(kind, name, sum(found.st_size for found in facts.values()), used, tuple(facts))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
