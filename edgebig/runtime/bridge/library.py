"""The shared library as a file that both onnxruntime and this process have loaded."""

import atexit
import ctypes
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from edgebig.runtime.bridge import elf
from edgebig.runtime.bridge.errors import BridgeError


class Library:
    """A loaded copy of the shared library.

    Args:
        register: Address of the function that the library's one function jumps to.

    Raises:
        BridgeError: There is no place from which this system loads a library; says what was tried.
    """

    def __init__(self, register: int) -> None:
        data = elf.shared_object(platform.machine())
        failures: list[str] = []
        for place in (_memory_file, *_folders()):
            try:
                self.path = place(data)
                # Never unloaded: ctypes keeps what it has opened.
                loaded = ctypes.CDLL(self.path)
            except OSError as e:
                failures.append(str(e))
                continue
            ctypes.c_void_p.in_dll(loaded, elf.VARIABLE).value = register
            self._identity = _identity(self.path)
            return
        raise BridgeError(
            "cannot load a library made at run time: " + "; ".join(failures) + ". Let TMPDIR name a folder on a file "
            "system that allows execution (no noexec)."
        )

    def valid(self) -> bool:
        """Whether the path still names the file (a program may close all descriptors, or clean up a folder)."""
        return _identity(self.path) == self._identity


def _identity(path: str) -> tuple[int, int] | None:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def _memory_file(data: bytes) -> str:
    """A file that lies in no folder. It stays open, since its path goes through the open descriptor."""
    if not hasattr(os, "memfd_create"):
        raise OSError("no memfd on this system")
    descriptor = os.memfd_create("edgebig_bridge")
    with os.fdopen(os.dup(descriptor), "wb") as stream:
        stream.write(data)
    return f"/proc/self/fd/{descriptor}"


def _folders() -> Iterator[Callable[[bytes], str]]:
    """Writers into folders, one for each that may allow execution."""
    for parent in dict.fromkeys([tempfile.gettempdir(), str(Path.home() / ".cache"), str(Path.cwd())]):
        yield lambda data, parent=parent: _folder_file(data, parent)  # type: ignore[misc]


def _folder_file(data: bytes, parent: str) -> str:
    folder = tempfile.mkdtemp(prefix="edgebig-", dir=parent)
    atexit.register(_remove, folder, os.getpid())
    path = Path(folder) / "libedgebig_bridge.so"
    path.write_bytes(data)
    return str(path)


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # a forked child leaves its parent's file alone
        shutil.rmtree(folder, ignore_errors=True)
