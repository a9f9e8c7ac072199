"""What a cache entry depends on besides its own text: the processor and everything that takes part in compiling."""

import hashlib
import importlib.metadata
import platform
from functools import cache
from pathlib import Path

import edgebig
from edgebig.runtime.cache_object import target

_COMPILERS = ("numba", "llvmlite")
_RUNTIMES = ("onnxruntime", "onnxruntime-gpu")
_SOURCES = ("kernels/*.py", "runtime/bridge/operands.py")  # whose text ends up in compiled functions


@cache
def compilers() -> str:
    """A digest of all that a compiled function depends on besides its source: the versions of edgebig and of what
    compiles for it, the text of its kernels, the processor as Numba sees it (NUMBA_CPU_NAME and such count).
    """
    facts = [edgebig.__version__, platform.python_version(), *target(), *map(_version, _COMPILERS)]
    digest = hashlib.sha256("\n".join(facts).encode())
    for path in _sources():
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@cache
def environment() -> str:
    """A digest of all that a measurement of compiled functions inside onnxruntime depends on."""
    return hashlib.sha256("\n".join([compilers(), *map(_version, _RUNTIMES)]).encode()).hexdigest()


def _sources() -> list[Path]:
    root = Path(edgebig.__file__).parent
    return [path for pattern in _SOURCES for path in sorted(root.glob(pattern))]


def _version(package: str) -> str:
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"no {package}"
