"""A shared library of under 700 bytes, written without compiler or linker: the door through which onnxruntime comes in.

It exports the function `RegisterCustomOps`, which jumps to the address that lies in the exported variable
`edgebig_register`. Layout of the file (ELF64, little endian; System V ABI, and its x86-64 and AArch64 supplements):

    header | program headers | hash | symbols | names | code     one segment, readable and executable
    dynamic section | the variable                               one segment, readable and writable
"""

import struct

from edgebig.runtime.bridge.errors import BridgeError

FUNCTION = "RegisterCustomOps"
VARIABLE = "edgebig_register"

_HEADER, _PROGRAM_HEADER, _SYMBOL, _DYNAMIC, _CODE = 64, 56, 24, 16, 16  # sizes of the format's records, in bytes
_ALIGN = 0x20000  # of the segments; a multiple of every page size Linux uses (4, 16 and 64 KB)
_MACHINES = {"x86_64": 62, "amd64": 62, "aarch64": 183, "arm64": 183}  # e_machine by what uname says
_LOAD, _DYNAMIC_SEGMENT, _STACK = 1, 2, 0x6474E551  # p_type
_READ_EXECUTE, _READ_WRITE = 5, 6  # p_flags
_HASH, _STRTAB, _SYMTAB, _STRSZ, _SYMENT, _SONAME, _END = 4, 5, 6, 10, 11, 14, 0  # d_tag
_GLOBAL_OBJECT, _GLOBAL_FUNCTION = 0x11, 0x12  # st_info
_DEFINED = 1  # st_shndx: any section index that does not say "undefined"; the loader looks no further


def shared_object(machine: str) -> bytes:
    """The library's bytes.

    Args:
        machine: The processor as `platform.machine()` calls it.

    Raises:
        BridgeError: There is no code for this processor.
    """
    if machine.lower() not in _MACHINES:
        raise BridgeError(f"no custom ops on a {machine} processor. Known: {', '.join(_MACHINES)}.")
    kind = _MACHINES[machine.lower()]
    names, place = _names("libedgebig_bridge.so", FUNCTION, VARIABLE)
    hash_table = struct.pack("<6I", 1, 3, 1, 0, 2, 0)  # one bucket: symbol 1, then symbol 2
    hash_at = _HEADER + 4 * _PROGRAM_HEADER
    symbols_at = hash_at + len(hash_table)
    names_at = symbols_at + 3 * _SYMBOL
    code_at = _round_up(names_at + len(names), 16)
    dynamic_at = code_at + _CODE
    dynamic = [(_SONAME, place["libedgebig_bridge.so"]), (_HASH, hash_at), (_STRTAB, names_at), (_SYMTAB, symbols_at)]
    dynamic += [(_STRSZ, len(names)), (_SYMENT, _SYMBOL), (_END, 0)]
    variable_at = dynamic_at + len(dynamic) * _DYNAMIC
    variable = variable_at + _ALIGN  # where the loader puts it
    parts = [
        _header(kind),
        _segment(_LOAD, _READ_EXECUTE, 0, 0, dynamic_at, _ALIGN),
        _segment(_LOAD, _READ_WRITE, dynamic_at, dynamic_at + _ALIGN, variable_at + 8 - dynamic_at, _ALIGN),
        _segment(_DYNAMIC_SEGMENT, _READ_WRITE, dynamic_at, dynamic_at + _ALIGN, len(dynamic) * _DYNAMIC, 8),
        _segment(_STACK, _READ_WRITE, 0, 0, 0, 16),
        hash_table,
        bytes(_SYMBOL),
        _symbol(place[FUNCTION], _GLOBAL_FUNCTION, code_at, _CODE),
        _symbol(place[VARIABLE], _GLOBAL_OBJECT, variable, 8),
        names.ljust(code_at - names_at, b"\0"),
        _jump(kind, code_at, variable),
        b"".join(struct.pack("<QQ", tag, value) for tag, value in dynamic),
        bytes(8),
    ]
    return b"".join(parts)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _names(*names: str) -> tuple[bytes, dict[str, int]]:
    """The string table, and where each name begins in it."""
    table, place = b"\0", {}
    for name in names:
        place[name] = len(table)
        table += name.encode() + b"\0"
    return table, place


def _header(machine: int) -> bytes:
    identity = b"\x7fELF\x02\x01\x01" + bytes(9)  # 64 bit, little endian, version 1
    shared = 3
    sizes = (_HEADER, _PROGRAM_HEADER, 4, 64, 0, 0)
    return struct.pack("<16sHHIQQQIHHHHHH", identity, shared, machine, 1, 0, _HEADER, 0, 0, *sizes)


def _segment(kind: int, flags: int, offset: int, address: int, size: int, align: int) -> bytes:
    return struct.pack("<IIQQQQQQ", kind, flags, offset, address, address, size, size, align)


def _symbol(name: int, info: int, value: int, size: int) -> bytes:
    return struct.pack("<IBBHQQ", name, info, 0, _DEFINED, value, size)


def _jump(machine: int, here: int, variable: int) -> bytes:
    """Code at address `here` that jumps to the address that the variable holds; arguments stay as they are."""
    if machine == _MACHINES["x86_64"]:
        endbr64, jump = (
            b"\xf3\x0f\x1e\xfa",
            b"\xff\x25",
        )  # jmp *offset(%rip), from the next instruction on
        return (endbr64 + jump + struct.pack("<i", variable - (here + 10))).ljust(_CODE, b"\xcc")
    pages = (variable >> 12) - ((here + 4) >> 12)
    landing_pad = 0xD503245F  # bti c
    page = 0x90000010 | (pages & 3) << 29 | (pages >> 2 & 0x7FFFF) << 5  # adrp x16, variable
    load = 0xF9400210 | (variable & 0xFFF) >> 3 << 10  # ldr x16, [x16, variable's place in its page]
    branch = 0xD61F0200  # br x16
    return struct.pack("<4I", landing_pad, page, load, branch)
