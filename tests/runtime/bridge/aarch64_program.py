"""A program for aarch64 Linux, written by hand, that uses the library: it puts the address of its own function into the
variable, calls the library's function with 40 and 2, and ends with what came back as its exit code.
"""

import struct

_LOAD, _DYNAMIC = 1, 2
_NEEDED, _HASH, _STRTAB, _SYMTAB, _RELA, _RELA_SIZE, _RELA_ENTRY, _STRSZ, _SYMENT = 1, 4, 5, 6, 7, 8, 9, 10, 11
_GLOB_DAT = 1025
_CODE_AT, _TABLE_AT, _DYNAMIC_AT = 0x100, 0x140, 0x150


def _adr(register: int, here: int, target: int) -> int:
    distance = target - here
    return 0x10000000 | (distance & 3) << 29 | (distance >> 2 & 0x7FFFF) << 5 | register


def program(library: str, function: str, variable: str) -> bytes:
    """The file; its loader finds the library by name."""
    names = b"\0" + b"\0".join(name.encode() for name in (library, function, variable)) + b"\0"
    at = {name: names.index(name.encode()) for name in (library, function, variable)}
    code = struct.pack(
        "<12I",
        _adr(19, _CODE_AT, _TABLE_AT),
        0xF9400260,  # ldr x0, [x19]: the variable's address
        _adr(1, _CODE_AT + 8, _CODE_AT + 40),
        0xF9000001,  # str x1, [x0]
        0xD2800000 | 40 << 5,  # mov x0, 40
        0xD2800001 | 2 << 5,  # mov x1, 2
        0xF9400670,  # ldr x16, [x19, 8]: the function's address
        0xD63F0200,  # blr x16
        0xD2800008 | 93 << 5,  # mov x8, exit
        0xD4000001,  # svc 0
        0x8B010000,  # the program's own function: add x0, x0, x1
        0xD65F03C0,  # ret
    )
    relocations_at = _DYNAMIC_AT + 10 * 16
    symbols_at = relocations_at + 2 * 24
    names_at = symbols_at + 3 * 24
    hash_at = names_at + len(names) + -len(names) % 8
    undefined = [
        struct.pack("<IBBHQQ", at[name], info, 0, 0, 0, 0) for name, info in ((variable, 0x11), (function, 0x12))
    ]
    dynamic = [
        (_NEEDED, at[library]),
        (_HASH, hash_at),
        (_STRTAB, names_at),
        (_SYMTAB, symbols_at),
        (_STRSZ, len(names)),
        (_SYMENT, 24),
        (_RELA, relocations_at),
        (_RELA_SIZE, 48),
        (_RELA_ENTRY, 24),
        (0, 0),
    ]
    size = hash_at + 24
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01" + bytes(9), 3, 183, 1, _CODE_AT, 64, 0, 0, 64, 56, 2, 64, 0, 0
    )
    header += struct.pack("<IIQQQQQQ", _LOAD, 7, 0, 0, 0, size, size, 0x10000)
    header += struct.pack("<IIQQQQQQ", _DYNAMIC, 6, _DYNAMIC_AT, _DYNAMIC_AT, _DYNAMIC_AT, 160, 160, 8)
    return b"".join(
        [
            header.ljust(_CODE_AT, b"\0"),
            code.ljust(_TABLE_AT - _CODE_AT, b"\0"),
            bytes(16),
            b"".join(struct.pack("<QQ", *entry) for entry in dynamic),
            *(struct.pack("<QQq", _TABLE_AT + 8 * i, (i + 1) << 32 | _GLOB_DAT, 0) for i in range(2)),
            bytes(24),
            *undefined,
            names.ljust(hash_at - names_at, b"\0"),
            struct.pack("<6I", 1, 3, 1, 0, 2, 0),
        ]
    )
