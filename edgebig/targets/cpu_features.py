"""Instruction sets of this machine's processor that decide how int8 runs."""

import platform
from functools import cache
from pathlib import Path


@cache
def cpu_features() -> frozenset[str]:
    """Feature names as the kernel lists them ("avx2", "avx512_vnni", "asimddp", ...); empty where it lists none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def is_x86() -> bool:
    """Whether this machine is of the x86 family."""
    return platform.machine().lower() in ("x86_64", "amd64", "i686", "x86")


def is_arm64() -> bool:
    """Whether this machine is a 64-bit ARM."""
    return platform.machine().lower() in ("aarch64", "arm64")


def has_vnni() -> bool:
    """Whether int8 dot products accumulate in 32 bits (AVX512-VNNI or AVX-VNNI) on this x86 machine."""
    return bool(cpu_features() & {"avx512_vnni", "avx_vnni"})


def cpu_model() -> str:
    """The processor's name, as the kernel gives it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model"):
            return value.strip()
    return platform.processor() or platform.machine()


def machine_facts() -> dict[str, str]:
    """The facts of this machine that decide how int8 is written and runs."""
    known = {
        "avx512_vnni": "AVX512-VNNI",
        "avx_vnni": "AVX-VNNI",
        "avx512bw": "AVX512",
        "avx2": "AVX2",
        "i8mm": "NEON i8mm",
        "asimddp": "NEON dot product",
    }
    features = cpu_features()
    best = next((name for feature, name in known.items() if feature in features), "unknown")
    return {"processor": cpu_model(), "int8 instructions": best}
