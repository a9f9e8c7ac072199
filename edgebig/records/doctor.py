"""What `doctor` found: what is installed, what really loads, what the processor can do, and what mends the rest."""

import dataclasses
from typing import ClassVar

from edgebig.records.base import Record
from edgebig.records.measurement import Machine


@dataclasses.dataclass(frozen=True, kw_only=True)
class PackageState:
    """A package that edgebig or one of its extras needs.

    Attributes:
        name: Its name.
        required: Versions that fit, e.g. ">=1.18".
        extra: The extra it belongs to; empty for the core.
        installed: Its version; None when missing.
        fits: Whether it is installed in a version that fits.
        mend: The command that mends it; None when it fits.
    """

    name: str
    required: str
    extra: str
    installed: str | None
    fits: bool
    mend: str | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProviderState:
    """An execution provider that the installed onnxruntime was built with.

    Attributes:
        name: onnxruntime's name of it.
        loads: Whether a session really runs on it.
        reason: Why not.
        mend: What mends it; None where it loads, or nothing is known.
    """

    name: str
    loads: bool
    reason: str | None
    mend: str | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class RuntimeState:
    """The installed onnxruntime.

    Attributes:
        version: Its version; None where it cannot be imported.
        distributions: Installed packages that bring the module `onnxruntime`; more than one is a clash.
        build: How it was built, in its own words.
        newest_opset: Newest standard operator set it loads.
        newest_ir: Newest ONNX file version (IR version) it loads.
        providers: Its execution providers.
        error: Why it cannot be imported.
    """

    version: str | None
    distributions: tuple[str, ...]
    build: str | None
    newest_opset: int | None
    newest_ir: int | None
    providers: tuple[ProviderState, ...]
    error: str | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class InstructionSetState:
    """An instruction set that decides how int8 runs.

    Attributes:
        name: Its name.
        present: Whether the processor has it; None where the system does not tell.
        meaning: What it does for int8.
    """

    name: str
    present: bool | None
    meaning: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class KernelState:
    """edgebig's own kernels.

    Attributes:
        reason: Why they cannot run inside onnxruntime here; None where they can.
        processor: The processor that Numba compiles for, by LLVM's name; None where Numba cannot be asked.
        features: Its instruction sets that kernels make use of.
        products: Ways of multiplying that it has, the fastest first.
    """

    reason: str | None
    processor: str | None
    features: tuple[str, ...]
    products: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CacheState:
    """The cache of compiled kernels and of what was measured.

    Attributes:
        folder: Where it lies.
        wanted: Where it should lie; another folder where that cannot be used.
        entries: How many things are in it.
        bytes: Their size.
        limit_bytes: The size it is kept below.
    """

    folder: str
    wanted: str
    entries: int
    bytes: int
    limit_bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that should be mended.

    Attributes:
        what: What is wrong.
        mend: The command, or what to do.
    """

    what: str
    mend: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class DoctorRecord(Record):
    """The state of an installation and its machine.

    Attributes:
        usable: Whether the core can run.
        python: Python's version.
        edgebig: edgebig's version.
        os: Operating system and its version.
        machine: The machine.
        instruction_sets: Those that its family may have.
        int8: What they mean for int8, in one sentence.
        packages: Packages of the core and the extras.
        runtime: onnxruntime.
        problems: What should be mended, the worst first.
        kernels: edgebig's kernels; None in records of versions that had none.
        cache: Their cache; None likewise.
    """

    schema: ClassVar[str] = "edgebig.doctor"

    usable: bool
    python: str
    edgebig: str
    os: str
    machine: Machine
    instruction_sets: tuple[InstructionSetState, ...]
    int8: str
    packages: tuple[PackageState, ...]
    runtime: RuntimeState
    problems: tuple[Problem, ...]
    kernels: KernelState | None = None
    cache: CacheState | None = None
