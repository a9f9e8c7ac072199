"""The shared library: read back field by field, loaded, and (for aarch64) loaded under emulation."""

import ctypes
import platform
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from edgebig.runtime.bridge import BridgeError, elf
from tests.runtime.bridge.aarch64_program import program

MACHINES = [("x86_64", 62), ("aarch64", 183)]
ARM_LOADER = Path("/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1")


def symbols_of(data: bytes) -> dict[str, tuple[int, int, int]]:
    """Name -> (info, value, size), found the way the loader does: program header, dynamic section, hash table."""
    offset, _, size = dynamic_segment(data)
    tags = dict(struct.iter_unpack("<QQ", data[offset : offset + size]))
    found = {}
    buckets, chain = struct.unpack_from("<2I", data, tags[4])
    index = struct.unpack_from("<I", data, tags[4] + 8)[0]
    assert buckets == 1
    seen = 0
    while index:
        name, info, _, section, value, length = struct.unpack_from("<IBBHQQ", data, tags[6] + tags[11] * index)
        text = data[tags[5] + name : data.index(b"\0", tags[5] + name)].decode()
        assert section != 0
        found[text] = (info, value, length)
        index = struct.unpack_from("<I", data, tags[4] + 4 * (2 + buckets + index))[0]
        seen += 1
    assert seen == chain - 1
    return found


def program_headers(data: bytes) -> list[tuple[int, ...]]:
    assert struct.unpack_from("<HH", data, 54) == (56, 4)
    return [struct.unpack_from("<IIQQQQQQ", data, 64 + 56 * i) for i in range(4)]


def dynamic_segment(data: bytes) -> tuple[int, int, int]:
    header = next(header for header in program_headers(data) if header[0] == 2)
    return header[2], header[3], header[5]


@pytest.mark.parametrize(("machine", "number"), MACHINES)
def test_the_header_says_64_bit_shared_object_of_this_machine(machine: str, number: int) -> None:
    data = elf.shared_object(machine)
    assert data[:7] == b"\x7fELF\x02\x01\x01"
    assert struct.unpack_from("<HH", data, 16) == (3, number)
    assert len(data) < 800


@pytest.mark.parametrize(("machine", "number"), MACHINES)
def test_segments_are_aligned_and_none_is_both_writable_and_executable(machine: str, number: int) -> None:
    data = elf.shared_object(machine)
    loads = [header for header in program_headers(data) if header[0] == 1]
    assert [header[1] for header in loads] == [5, 6]
    for _, _, offset, address, _, in_file, in_memory, align in loads:
        assert offset % align == address % align
        assert align % 65536 == 0  # the largest page of any Linux on these machines
        assert in_file == in_memory
        assert offset + in_file <= len(data)
    assert next(header for header in program_headers(data) if header[0] == 0x6474E551)[1] == 6  # no executable stack


@pytest.mark.parametrize(("machine", "number"), MACHINES)
def test_exactly_the_function_and_the_variable_are_exported(machine: str, number: int) -> None:
    data = elf.shared_object(machine)
    found = symbols_of(data)
    assert set(found) == {elf.FUNCTION, elf.VARIABLE}
    info, value, size = found[elf.FUNCTION]
    assert (info, size) == (0x12, 16)
    assert value + size <= program_headers(data)[0][5]
    info, value, size = found[elf.VARIABLE]
    assert (info, size, value % 8) == (0x11, 8, 0)
    writable = program_headers(data)[1]
    assert writable[3] <= value <= writable[3] + writable[5] - 8


def test_x86_code_jumps_through_the_variable() -> None:
    data = elf.shared_object("x86_64")
    found = symbols_of(data)
    start = found[elf.FUNCTION][1]
    assert data[start : start + 6] == b"\xf3\x0f\x1e\xfa\xff\x25"
    assert start + 10 + struct.unpack_from("<i", data, start + 6)[0] == found[elf.VARIABLE][1]


def test_aarch64_code_jumps_through_the_variable() -> None:
    data = elf.shared_object("aarch64")
    found = symbols_of(data)
    start, variable = found[elf.FUNCTION][1], found[elf.VARIABLE][1]
    landing, page, load, branch = struct.unpack_from("<4I", data, start)
    assert (landing, branch) == (0xD503245F, 0xD61F0200)
    assert page & 0x9F00001F == 0x90000010  # adrp x16
    pages = (page >> 29 & 3) | (page >> 5 & 0x7FFFF) << 2
    assert load & 0xFFC003FF == 0xF9400210  # ldr x16, [x16, #]
    assert ((start + 4 >> 12) + pages << 12) + (load >> 10 & 0xFFF) * 8 == variable


def test_an_unknown_machine_is_refused_by_name() -> None:
    with pytest.raises(BridgeError, match=r"riscv64.*x86_64"):
        elf.shared_object("riscv64")


@pytest.mark.skipif(platform.system() != "Linux", reason="an ELF file is loaded by Linux only")
def test_the_loaded_function_passes_its_arguments_on(tmp_path: Path) -> None:
    path = tmp_path / "library.so"
    path.write_bytes(elf.shared_object(platform.machine()))
    library = ctypes.CDLL(str(path))
    prototype = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    seen: list[tuple[int, int]] = []
    function = prototype(lambda a, b: seen.append((a, b)) or 77)  # type: ignore[func-returns-value]
    ctypes.c_void_p.in_dll(library, elf.VARIABLE).value = ctypes.cast(function, ctypes.c_void_p).value
    entry = prototype(ctypes.cast(getattr(library, elf.FUNCTION), ctypes.c_void_p).value)
    assert entry(1 << 40, 5) == 77
    assert seen == [(1 << 40, 5)]


def test_readelf_finds_nothing_wrong(tmp_path: Path) -> None:
    readelf = shutil.which("readelf")
    if readelf is None:
        pytest.skip("readelf is not installed (Debian: apt-get install binutils)")
    for machine, _ in MACHINES:
        path = tmp_path / f"{machine}.so"
        path.write_bytes(elf.shared_object(machine))
        result = subprocess.run([readelf, "-hldDs", str(path)], capture_output=True, text=True, check=True)
        assert "rror" not in result.stderr
        assert "arning" not in result.stderr
        assert elf.FUNCTION in result.stdout


def test_the_aarch64_library_works_under_emulation(tmp_path: Path) -> None:
    emulator = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
    if emulator is None or not ARM_LOADER.is_file():
        pytest.skip("no qemu or aarch64 C library (Debian: apt-get install qemu-user libc6-arm64-cross)")
    (tmp_path / "library.so").write_bytes(elf.shared_object("aarch64"))
    (tmp_path / "program").write_bytes(program("library.so", elf.FUNCTION, elf.VARIABLE))
    command = [emulator, str(ARM_LOADER), "--library-path", str(tmp_path), str(tmp_path / "program")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 42, result.stderr
