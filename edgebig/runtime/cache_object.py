"""Machine code that outlives the process: an object file per compiled function, loaded without waking Numba up.

Numba's own cache would do, but it stores pickles, believes them, and takes 0.4 seconds to get ready before it reads the
first. An object file is what a compiler would have written; LLVM loads it in a millisecond or two.

Numba's entry point for C code turns exceptions into Python's and drags the interpreter in. A function that cannot raise
needs nothing of that, and gets another entry point here. One that can is not stored: it is compiled in every process.
"""

import contextlib
import ctypes
import hashlib
import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from edgebig.runtime.cache_files import read, write_whole
from edgebig.runtime.cache_numba import assembly_of

_SYMBOL_TABLE = 2  # sh_type
_ENTRY = "edgebig_entry"
_RAISES = "picklebuf"  # how Numba calls the constants that exceptions are made from
_FOREIGN = ("Py", "_Py", "numba", "NRT")  # what code that may raise calls: there is no interpreter to raise in
_LINKER = "_GLOBAL_OFFSET_TABLE_"


@dataclass(frozen=True)
class Compiled:
    """A function that C code can call.

    Attributes:
        address: Of its machine code, which exists as long as this object.
        cached: Whether the code was there before.
        owner: What holds the code.
    """

    address: int
    cached: bool
    owner: Any


@dataclass(frozen=True, eq=False)
class Linked:
    """Machine code in memory: where its function lies, and what holds it."""

    address: int
    engine: Any


# Code that is in use: file, its number and its size. What is written replaces a file, so it gets another number.
_Key = tuple[Path, int, int]
_live: WeakValueDictionary[_Key, Linked] = WeakValueDictionary()


def load_object(path: Path) -> Compiled | None:
    """The function stored in a file; None where there is no such file, or it is not whole."""
    key = _key(path)
    known = _live.get(key) if key is not None else None
    linked = known or _read_object(path)
    if linked is None or key is None:
        return None
    _live[key] = linked
    return Compiled(linked.address, True, linked)


def _key(path: Path) -> _Key | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return path, facts.st_ino, facts.st_size


def _read_object(path: Path) -> Linked | None:
    head, _, code = read(path).partition(b"\n")
    try:
        facts = json.loads(head)
    except ValueError:
        return None
    if not isinstance(facts, dict) or facts.get("sha256") != hashlib.sha256(code).hexdigest():
        return None
    return _link(code) if _complete(code) else None


def compile_object(function: Callable[..., Any], signature: Any, path: Path) -> Compiled:
    """Compile a function; store it if it takes and gives 64-bit integers or nothing, and cannot raise.

    Jitted functions that it calls cannot be called from Python afterwards.
    """
    from numba import cfunc, types

    if {*signature.args, signature.return_type} <= {types.intp, types.void}:
        code = _whole_code(*assembly_of(function, signature), len(signature.args))
        if code:
            head = json.dumps({"sha256": hashlib.sha256(code).hexdigest()})
            with contextlib.suppress(OSError):  # nothing is kept, then; whoever chose the folder has said why
                write_whole(path, head.encode() + b"\n" + code)
            linked = _link(code)
            key = _key(path)
            if key is not None:
                _live[key] = linked
            return Compiled(linked.address, False, linked)
    made = cfunc(signature)(function)
    return Compiled(int(made.address or 0), False, made)


def _whole_code(text: str, entry: str, arguments: int) -> bytes:
    """The object file of a function that needs nothing of Python; empty for one that does."""
    text = _with_entry(text, entry, arguments)
    if _RAISES in text:
        return b""
    try:
        code = _object_code(text)
    except RuntimeError:  # an LLVM that writes its assembly in another way
        return b""
    return code if _complete(code) else b""


def _with_entry(text: str, entry: str, arguments: int) -> str:
    """Assembly with an entry point of ours in place of Numba's, which is called `entry`.

    A function compiled by Numba takes the places for its result and for an exception, then its arguments.
    """
    lines = iter(text.splitlines())
    kept = []
    for line in lines:
        if line.startswith("define") and f"@{entry}(" in line.replace('"', ""):
            while line != "}":
                line = next(lines)
        else:
            kept.append(line)
    given = ", ".join(f"i64 %a{i}" for i in range(arguments))
    wrapper = f"""
define i64 @{_ENTRY}({given}) {{
  %result = alloca i64
  %exception = alloca ptr
  store i64 0, ptr %result
  %status = call i32 @"{entry.removeprefix("cfunc.")}"(ptr %result, ptr %exception, {given})
  %value = load i64, ptr %result
  ret i64 %value
}}
"""
    return "\n".join(kept) + wrapper


def _object_code(text: str) -> bytes:
    """Optimised LLVM assembly as an object file."""
    import llvmlite.binding as llvm

    module = llvm.parse_assembly(text)
    return bytes(_target_machine().emit_object(module))


def _target_machine() -> Any:
    import llvmlite.binding as llvm

    triple, name, features = target()
    chosen = llvm.Target.from_triple(triple)
    return chosen.create_target_machine(name, features, 3, reloc="default", codemodel="jitdefault", jit=True)


@cache
def target() -> tuple[str, str, str]:
    """Triple, processor and its features, as Numba compiles for them."""
    from numba.core.registry import cpu_target

    triple, name, features = cpu_target.target_context.codegen().magic_tuple()
    return str(triple), str(name), str(features)


def _link(code: bytes) -> Linked:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target_machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return Linked(engine.get_function_address(_ENTRY), engine)


def _complete(code: bytes) -> bool:
    """Whether this process has all that the code calls: LLVM would abort otherwise. Nothing of Python counts."""
    process = ctypes.CDLL(None)
    try:
        return all(not name.startswith(_FOREIGN) and hasattr(process, name) for name in undefined_symbols(code))
    except ValueError:
        return False


def undefined_symbols(code: bytes) -> Iterator[str]:
    """Names that an ELF64 object file leaves to the linker.

    Raises:
        ValueError: It is none.
    """
    if code[:6] != b"\x7fELF\x02\x01":
        raise ValueError("no ELF64 object file")
    (sections_at,) = struct.unpack_from("<Q", code, 40)
    size, count = struct.unpack_from("<HH", code, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", code, sections_at + size * i) for i in range(count)]
    for _, kind, _, _, offset, length, link, _, _, entry in sections:
        if kind != _SYMBOL_TABLE:
            continue
        names_at = sections[link][4]
        for at in range(offset + entry, offset + length, entry):
            name, _, _, section = struct.unpack_from("<IBBH", code, at)
            text = code[names_at + name : code.index(b"\0", names_at + name)].decode()
            if section == 0 and text != _LINKER:
                yield text
