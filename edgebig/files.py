"""Writing files so that an existing one is never damaged, and hashing them."""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgebig.errors import OutputError


def check_output(path: Path, *, force: bool = False, inputs: Sequence[Path] = ()) -> None:
    """Refuse an output that cannot or should not be written, before any work starts.

    Args:
        path: The file to be written.
        force: Whether an existing file may be replaced.
        inputs: Files that are read; the output may be none of them.

    Raises:
        OutputError: The output is a folder, a device, an input, exists (without `force`), or its folder is missing or
            read-only.
    """
    if path.is_dir():
        raise OutputError(f"output {path} is a folder. Name a file in it.")
    if path.exists() and not path.is_file():
        raise OutputError(f"output {path} is no ordinary file. Choose another name for the result.")
    for source in inputs:
        if path.exists() and source.exists() and path.samefile(source):
            raise OutputError(f"output {path} is also the input. Choose another name for the result.")
    if path.exists() and not force:
        raise OutputError(f"output {path} exists. Choose another name, or pass --force to replace it.")
    parent = path.absolute().parent
    if not parent.is_dir():
        raise OutputError(f"the folder of output {path} does not exist. Create it: mkdir -p {path.parent}")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"the folder of output {path} is not writable. Choose another place for the result.")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it onto `path` if the block ends well, else remove it.

    Raises:
        OutputError: The operating system refuses the write (full disk, permissions); `path` is as it was.
    """
    with replacing_folder(path.parent) as folder:
        temporary = folder / path.name
        yield temporary
        os.replace(temporary, path)


@contextmanager
def replacing_folder(parent: Path) -> Iterator[Path]:
    """Yield a temporary folder inside `parent` (so that renames out of it are atomic) and remove it afterwards.

    Raises:
        OutputError: The operating system refuses a write inside the block.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".edgebig-", dir=parent, ignore_cleanup_errors=True) as folder:
            yield Path(folder)
    except OSError as e:
        raise OutputError(f"cannot write into {parent}: {e.strerror or e}. Nothing was replaced.") from e


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file through a temporary file beside it.

    Raises:
        OutputError: The operating system refuses the write.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256(*paths: Path) -> str:
    """Hexadecimal SHA-256 of the files' contents, one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()
