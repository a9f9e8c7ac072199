"""What the processor that Numba compiles for can do.

Numba may compile for another processor than this one (NUMBA_CPU_NAME, NUMBA_CPU_FEATURES), and an instruction that the
target lacks aborts the whole process. So LLVM itself is asked: small functions in plain IR are compiled for Numba's
target, and the instructions that come out tell.
"""

import functools
import re

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core.registry import cpu_target

from edgebig.kernels.vector import F32, I8, I16, I32

# Feature: the function that is compiled, and what its assembly shows where the feature is there.
SIGNS: dict[str, tuple[str, str]] = {
    "sse2": ("add_16xi16", r"paddw.*%[xyz]mm"),
    "avx2": ("add_16xi16", r"vpaddw.*%ymm"),
    "avx512": ("add_32xi16", r"vpaddw.*%zmm"),  # with BW, the 8 and 16 bit part
    "fma256": ("fma_8xf32", r"vfmadd.*%ymm"),
    "fma512": ("fma_16xf32", r"vfmadd.*%zmm"),
    "vnni256": ("unsigned_32", r"vpdpbusd.*%ymm"),
    "vnni512": ("unsigned_64", r"vpdpbusd.*%zmm"),
    "sdot": ("signed_16", r"\bsdot\b"),
    "usdot": ("unsigned_16", r"\busdot\b"),
}


@functools.cache
def features() -> frozenset[str]:
    """Those names of `SIGNS` that the target of Numba's compiler has."""
    triple, cpu, flags = cpu_target.target_context.codegen().magic_tuple()
    return features_of(triple, cpu, flags)


def features_of(triple: str, cpu: str, flags: str = "") -> frozenset[str]:
    """Those names of `SIGNS` that a processor has, by LLVM's names for it; nothing is run.

    Args:
        triple: For instance "x86_64-unknown-linux-gnu". Its LLVM target must be initialised.
        cpu: For instance "znver4".
        flags: LLVM's feature string, for instance "+avx2,-fma".
    """
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, features=flags, opt=3)
    assembly = machine.emit_assembly(llvm.parse_assembly(str(_probes(triple))))
    bodies = dict(re.findall(r"^_?(\w+):(.*?)\bret", assembly, re.DOTALL | re.MULTILINE))
    return frozenset(name for name, (function, sign) in SIGNS.items() if re.search(sign, bodies[function]))


def _probes(triple: str) -> ir.Module:
    module = ir.Module()
    module.triple = triple
    for lanes in (16, 32):
        _probe_add(module, lanes)
    for lanes in (8, 16):
        _probe_fma(module, lanes)
    for name, lanes, extend in (("signed", 16, "sext"), *(("unsigned", lanes, "zext") for lanes in (16, 32, 64))):
        _probe_dot(module, f"{name}_{lanes}", lanes, extend)
    return module


def _probe_add(module: ir.Module, lanes: int) -> None:
    kind = ir.VectorType(I16, lanes)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [kind.as_pointer()] * 2), f"add_{lanes}xi16")
    b = ir.IRBuilder(function.append_basic_block())
    b.store(b.add(*[b.load(argument) for argument in function.args]), function.args[0])
    b.ret_void()


def _probe_fma(module: ir.Module, lanes: int) -> None:
    kind = ir.VectorType(F32, lanes)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [kind.as_pointer()] * 3), f"fma_{lanes}xf32")
    b = ir.IRBuilder(function.append_basic_block())
    # fmuladd, not fma: without the instruction it is a product and a sum, and no call into a library.
    fused = ir.Function(module, ir.FunctionType(kind, [kind] * 3), f"llvm.fmuladd.v{lanes}f32")
    b.store(b.call(fused, [b.load(argument) for argument in function.args]), function.args[0])
    b.ret_void()


def _probe_dot(module: ir.Module, name: str, lanes: int, extend: str) -> None:
    """The sum of products of bytes: LLVM picks the dot-product instruction for it where there is one."""
    bytes_, words = ir.VectorType(I8, lanes), ir.VectorType(I32, lanes)
    function = ir.Function(module, ir.FunctionType(I32, [bytes_.as_pointer()] * 2), name)
    b = ir.IRBuilder(function.append_basic_block())
    left, right = (b.load(argument) for argument in function.args)
    products = b.mul(getattr(b, extend)(left, words), b.sext(right, words))
    total = f"llvm.vector.reduce.add.v{lanes}i32"
    if total not in module.globals:
        ir.Function(module, ir.FunctionType(I32, [words]), total)
    b.ret(b.call(module.globals[total], [products]))
