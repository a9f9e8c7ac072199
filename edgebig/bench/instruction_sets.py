"""Instruction sets that decide how integers run, by the kernel's names, and what they mean in words."""

from dataclasses import dataclass

from edgebig.targets.cpu_features import cpu_features, has_vnni, is_x86


@dataclass(frozen=True)
class InstructionSet:
    """An instruction set.

    Attributes:
        name: Its name as people write it.
        flags: Any of these names in /proc/cpuinfo shows it.
        meaning: What it does for int8.
    """

    name: str
    flags: frozenset[str]
    meaning: str


X86 = (
    InstructionSet("AVX2", frozenset({"avx2"}), "256-bit vectors: 32 int8 values at once"),
    InstructionSet("AVX512F", frozenset({"avx512f"}), "512-bit vectors"),
    InstructionSet("AVX512-VNNI", frozenset({"avx512_vnni"}), "int8 dot products, exact in 32 bits, 512-bit"),
    InstructionSet("AVX-VNNI", frozenset({"avx_vnni"}), "int8 dot products, exact in 32 bits, 256-bit"),
    InstructionSet("AMX-INT8", frozenset({"amx_int8"}), "int8 matrix products in tiles"),
)
ARM = (
    InstructionSet("dotprod", frozenset({"asimddp"}), "int8 dot products, exact in 32 bits"),
    InstructionSet("i8mm", frozenset({"i8mm"}), "int8 matrix products, twice the rate of dotprod"),
)


def known_sets() -> tuple[InstructionSet, ...]:
    """The instruction sets that this machine's family may have."""
    return X86 if is_x86() else ARM


def present_sets() -> tuple[str, ...]:
    """Names of the instruction sets that this machine has; empty also where the kernel does not list them."""
    return tuple(entry.name for entry in known_sets() if entry.flags & cpu_features())


def int8_advice() -> str:
    """One sentence on what int8 may gain here, and what to watch for."""
    if not cpu_features():
        return "This system does not list its instruction sets: measure int8 against float with edgebig bench."
    if not is_x86():
        if "dotprod" in present_sets():
            return "int8 has dot products here: expect a gain on convolutions and matrix products."
        return "int8 has no dot products here: expect little gain over float; measure before relying on it."
    if has_vnni():
        return "int8 runs exactly and at full speed here (VNNI): U8 activations with 8-bit weights."
    return (
        "No VNNI: pairs of int8 products are added in 16 bits and can saturate, so edgebig gives weights 7 bits here, "
        "and int8 gains less over float than on newer processors."
    )
