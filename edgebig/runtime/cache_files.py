"""Files that several processes write and read at once, any of which may be killed at any time.

A file appears whole or not at all, since it is renamed into place; who comes later replaces it by its equal. So no
locks are needed, and none can be left behind.
"""

import contextlib
import os
import secrets
import time
from collections.abc import Iterable
from pathlib import Path

_PARTIAL = ".part"
_STALE_SECONDS = 3600  # after which an unfinished file belongs to nobody any more


def write_whole(path: Path, data: bytes) -> None:
    """Put a file in place, replacing one of that name.

    Raises:
        OSError: The system refuses it; there is then no half file.
    """
    path.parent.mkdir(mode=0o700, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(6)}{_PARTIAL}")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    except BaseException:
        remove([partial])
        raise


def read(path: Path) -> bytes:
    """A file's content; nothing where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def facts_of(path: Path) -> os.stat_result | None:
    """Size and times of a file; None where it is gone."""
    try:
        return path.stat()
    except OSError:
        return None


def remove(paths: Iterable[Path]) -> None:
    """Remove files; those that are gone, or cannot be removed, are passed over."""
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()


def stamp(path: Path) -> None:
    """Note in a file's modification time that something is used now; the file is made if it is not there."""
    with contextlib.suppress(OSError):
        path.touch(mode=0o600)


def remove_unfinished(folder: Path) -> None:
    """Remove what processes left that were killed while they wrote."""
    for path in folder.rglob("*"):
        if path.name.endswith(_PARTIAL) or ".tmp." in path.name:
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                    path.unlink()
