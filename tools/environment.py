"""Makes the repository's own `.venv` with nothing but the standard library; used by demo.py and check.py."""

import hashlib
import os
import platform
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
CONSTRAINTS = ROOT / "tools" / "constraints.txt"
# Holds the hash of what was installed; written last, so that an interrupted install is done again.
STAMP = VENV / "edgebig-environment"


def python() -> Path:
    """The interpreter inside `.venv`."""
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def ensure() -> Path:
    """Make `.venv` and install edgebig with all its extras, unless that is done already; return its interpreter."""
    if sys.version_info < (3, 11):  # noqa: UP036 - this runs before any installer has checked it
        sys.exit(f"edgebig needs Python 3.11 or newer; this is {platform.python_version()} ({sys.executable}).")
    wanted = _fingerprint()
    if STAMP.is_file() and STAMP.read_text() == wanted and python().exists():
        return python()
    if not _has_pip():
        print(f"Making a virtual environment in {VENV.relative_to(ROOT)}/ ...", flush=True)
        _make_venv()
    # Both wheels of onnxruntime install the same module, so only one may be there. The one with GPU providers runs
    # on machines without a GPU too, but exists for x86-64 alone.
    runtime = "gpu" if platform.machine().lower() in ("x86_64", "amd64") and sys.platform == "linux" else "cpu"
    target = f".[{runtime},train,report,dev]"
    print(f"Installing edgebig and what it needs (pip install -e {target!r}, about 2 GB) ...", flush=True)
    _pip("install", "--quiet", "--constraint", str(CONSTRAINTS), "--editable", target)
    STAMP.write_text(wanted)
    return python()


def environment() -> dict[str, str]:
    """The environment for commands run inside `.venv`: its programs first on the path."""
    return {**os.environ, "PATH": f"{python().parent}{os.pathsep}{os.environ.get('PATH', '')}"}


def _fingerprint() -> str:
    digest = hashlib.sha256(platform.python_version().encode())
    for path in (ROOT / "pyproject.toml", CONSTRAINTS):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _has_pip() -> bool:
    """Whether `.venv` is there and whole: an interrupted making leaves one without pip."""
    command = [str(python()), "-m", "pip", "--version"]
    return python().exists() and subprocess.run(command, capture_output=True, check=False).returncode == 0


def _make_venv() -> None:
    try:
        venv.create(VENV, with_pip=True, clear=True)
    except (subprocess.CalledProcessError, ModuleNotFoundError) as e:
        sys.exit(f"{sys.executable} cannot make virtual environments with pip ({e}). Install its venv module.")


def _pip(*arguments: str) -> None:
    command = [str(python()), "-m", "pip", "--disable-pip-version-check", *arguments]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        sys.exit("The install failed; pip's own message is above. Run this again to go on.")
