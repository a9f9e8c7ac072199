"""Where the cache lies, and whether what lies there may be believed.

Compiled functions are stored by Numba as pickles and machine code: whoever can write them can run code as this user.
So a folder is used only if it belongs to the user and nobody else may write to it.
"""

import atexit
import os
import shutil
import stat
import sys
import tempfile
import warnings
from functools import cache
from pathlib import Path

VARIABLE = "EDGEBIG_CACHE"
_PARTS = ("", "modules", "objects", "records")


class CacheWarning(UserWarning):
    """Nothing is kept from this process to the next, or not all of it."""


def default_folder() -> Path:
    """`EDGEBIG_CACHE` if it is set, else the place for caches on this system."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "edgebig" / "cache"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "edgebig"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache").absolute() / "edgebig"


def usable_folder(folder: Path) -> Path:
    """The folder, made if need be; or a temporary one where this one cannot be written or believed, with a warning."""
    reason = next(filter(None, (_open(folder / part) for part in _PARTS)), None)
    if reason is None:
        return folder
    warn_once(f"{reason}. What is compiled now is compiled anew next time. Let {VARIABLE} name a folder of your own.")
    return temporary_folder()


def warn_once(text: str) -> None:
    """Say something, the first time only."""
    if text not in _said:
        _said.add(text)
        warnings.warn(text, CacheWarning, stacklevel=2)


_said: set[str] = set()


def _open(folder: Path) -> str | None:
    """Make the folder; returns why it cannot be used."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        facts = folder.stat()
    except OSError as e:
        return f"the cache folder {folder} cannot be written ({e.strerror or e})"
    if hasattr(os, "geteuid") and facts.st_uid != os.geteuid():
        return f"the cache folder {folder} belongs to another user"
    if os.name == "posix" and stat.S_IMODE(facts.st_mode) & 0o022:
        return f"other users may write to the cache folder {folder} (chmod go-w mends it)"
    return None


@cache
def temporary_folder() -> Path:
    """A private folder for this process, removed at its end."""
    folder = tempfile.mkdtemp(prefix="edgebig-cache-")
    atexit.register(_remove, folder, os.getpid())
    return Path(folder)


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # a forked child leaves its parent's folder alone
        shutil.rmtree(folder, ignore_errors=True)
