"""Open a `.pt2` file (torch.export.save) without running what a hostile one could carry.

`torch.export.load` trusts its file. Read in torch 2.13, these parts of a file would run code: pickled weights,
constants and example inputs (it falls back to full unpickling); compiled libraries under `data/aotinductor`; symbolic
sizes, given to sympy's `sympify`, which evaluates them as Python; guards, compiled as Python when the module is built;
operators named as any attribute of torch, `torch.ops.load_library` among them. So the archive is looked through first,
and every part that torch's own `save` of a plain module does not write is refused; pickles are read as plain tensors
only; guards are dropped.
"""

import ast
import json
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebig.dependencies import require
from edgebig.errors import InvalidModelError

if TYPE_CHECKING:
    from torch.export import ExportedProgram

# What torch's own `save` writes for a module of plain tensors.
_MEMBER = re.compile(
    r"[^/]+/(archive_format|archive_version|byteorder|version|\.format_version|\.data/\w+|models/[^/]+\.json|extra/.+"
    r"|data/weights/(weight_\d+|[^/]+_weights_config\.json)|data/constants/(tensor_\d+|[^/]+_constants_config\.json)"
    r"|data/sample_inputs/[^/]+\.pt)"
)
_OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims|higher_order|quantized_decomposed)\.\w+(\.\w+)?|_operator\.\w+|math\.\w+|torch\.sym_\w+"
)
# They reach the file system, or what lies behind an attribute's name.
_REFUSED_OPERATORS = re.compile(r"from_file|attrgetter|methodcaller|_operator\.(call|__)")
# The names that symbolic sizes are written with: sympy's, and those of torch.utils._sympy.functions.
_SIZE_FUNCTION = re.compile(
    r"Symbol|Integer|Float|Rational|Add|Mul|Pow|Max|Min|Abs|Mod|Eq|Ne|Lt|Le|Gt|Ge|And|Or|Not|floor|ceiling|sqrt|"
    r"FloorDiv|ModularIndexing|Where|PythonMod|CleanDiv|CeilToInt|FloorToInt|CeilDiv|LShift|RShift|PowByNatural|"
    r"FloatPow|FloatTrueDiv|IntTrueDiv|IsNonOverlappingAndDenseIndicator|TruncToFloat|TruncToInt|RoundToInt|"
    r"RoundDecimal|ToFloat|Identity"
)
_SIZE_SYNTAX = (
    ast.Expression,
    ast.Call,
    ast.keyword,
    ast.Name,
    ast.Load,
    ast.Constant,
    ast.BinOp,
    ast.UnaryOp,
    ast.Compare,
    ast.operator,
    ast.unaryop,
    ast.cmpop,
)


def load_program(path: Path) -> "ExportedProgram":
    """Load an exported program.

    Raises:
        InvalidModelError: Damaged, of another version of torch, or holding what could run code.
    """
    torch = require("torch", extra="torch", purpose="edgebig export")
    try:
        with tempfile.TemporaryDirectory(prefix="edgebig-") as folder, _plain_pickles():
            program = torch.export.load(_checked_copy(path, Path(folder)))
    except InvalidModelError:
        raise
    except Exception as e:  # torch raises many classes for damaged files
        reason = str(e).strip().split("\n")[0] or type(e).__name__
        raise InvalidModelError(
            f"{path} cannot be loaded by torch {torch.__version__}: {reason}. It must be written by torch.export.save."
        ) from e
    # They are Python source in the file, and compiled when the module is built.
    program._guards_code = []
    return program


@contextmanager
def _plain_pickles() -> Iterator[None]:
    """Make every torch.load inside read tensors and plain containers only (torch's own switch)."""
    switch = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(switch)
    os.environ[switch] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[switch]
        else:
            os.environ[switch] = before


def _checked_copy(path: Path, folder: Path) -> Path:
    """Look through an archive, and write what was looked at anew.

    torch reads zip files with code of its own, which may see other members in a crafted one than Python does; of the
    copy both see the same.
    """
    copy = folder / f"{path.stem}.pt2"
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(path, archive)
            for name in filter(_is_description, archive.namelist()):
                for key, value in _entries(json.loads(archive.read(name))):
                    _check_entry(path, name, key, value)
            with zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as target:
                for name in archive.namelist():
                    with archive.open(name) as source, target.open(name, "w", force_zip64=True) as sink:
                        shutil.copyfileobj(source, sink, 1 << 20)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError) as e:
        raise InvalidModelError(
            f"{path} is no readable .pt2 file (truncated, or another format): {e}. It must be written by "
            "torch.export.save."
        ) from e
    return copy


def _check_members(path: Path, archive: zipfile.ZipFile) -> None:
    names = archive.namelist()
    if not any("/models/" in name for name in names):
        raise InvalidModelError(
            f"{path} holds no exported program of torch 2.8 or newer. It must be written by torch.export.save."
        )
    for info in archive.infolist():
        if not _MEMBER.fullmatch(info.filename):
            raise _refusal(path, f"it holds {info.filename!r}")
        if names.count(info.filename) > 1:
            raise _refusal(path, f"it holds {info.filename!r} twice")
        if info.compress_type != zipfile.ZIP_STORED:
            raise _refusal(path, f"it holds {info.filename!r} compressed")


def _is_description(name: str) -> bool:
    return bool(_MEMBER.fullmatch(name)) and name.endswith(".json") and "/extra/" not in name


def _check_entry(path: Path, name: str, key: str, value: Any) -> None:
    """Refuse an entry of a JSON file in the archive that could run code."""
    if key == "use_pickle" and value:
        raise _refusal(path, f"{name} names pickled tensors")
    if key == "path_name" and not re.fullmatch(r"(weight|tensor)_\d+", str(value)):
        raise _refusal(path, f"{name} names {value!r}, which is no plain tensor")
    if key == "expr_str" and not _is_plain_size(str(value)):
        raise _refusal(path, f"{name} holds the size {str(value)[:80]!r}")
    operator = key == "as_operator" or (key == "target" and str(value).startswith(("torch", "_operator", "math", "#")))
    if operator and (not _OPERATOR.fullmatch(str(value)) or _REFUSED_OPERATORS.search(str(value))):
        raise _refusal(path, f"{name} calls {str(value)[:80]!r}")
    named = key in ("__enum__", "default_factory_module")
    if named or (key == "range_constraints" and not all(map(_is_plain_size, value or ()))):
        raise _refusal(path, f"{name} holds {key} = {str(value)[:80]!r}")


def _entries(content: Any) -> Iterator[tuple[str, Any]]:
    """Every key and value of nested JSON; JSON inside of text (torch keeps its trees so) included."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield key, value
            yield from _entries(value)
    elif isinstance(content, list):
        for value in content:
            yield from _entries(value)
    elif isinstance(content, str) and content.startswith(("[", "{")):
        try:
            yield from _entries(json.loads(content))
        except ValueError:
            return


def _is_plain_size(text: str) -> bool:
    """Whether a symbolic size holds only arithmetic, symbols and known functions."""
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    for node in ast.walk(tree):
        if not isinstance(node, _SIZE_SYNTAX):
            return False
        if isinstance(node, ast.Call) and not (
            isinstance(node.func, ast.Name) and _SIZE_FUNCTION.fullmatch(node.func.id)
        ):
            return False
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not re.fullmatch(r"\w+", node.value):
            return False
        if isinstance(node, ast.Name) and node.id.startswith("__"):
            return False
    return True


def _refusal(path: Path, what: str) -> InvalidModelError:
    return InvalidModelError(
        f"{path} is refused: {what}, which could run code of the file's maker. Export from the module's source instead."
    )
