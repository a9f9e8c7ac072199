"""Examine an installation: what is there, what really loads, and the line that mends what does not."""

import platform
from collections.abc import Iterator, Sequence

from edgebig import __version__
from edgebig.bench.installed_runtime import examine_runtime
from edgebig.bench.instruction_sets import int8_advice, known_sets, present_sets
from edgebig.bench.kernel_state import cache_problem, examine_cache, examine_kernels
from edgebig.bench.machine import read_machine
from edgebig.bench.packages import package_states
from edgebig.records.doctor import DoctorRecord, InstructionSetState, PackageState, Problem, RuntimeState
from edgebig.targets.cpu_features import cpu_features

_CPU = "CPUExecutionProvider"


def examine() -> DoctorRecord:
    """Look at this machine and installation."""
    packages, runtime, cache = package_states(), examine_runtime(), examine_cache()
    of_cache = cache_problem(cache)
    listed, present = bool(cpu_features()), present_sets()
    return DoctorRecord(
        usable=is_usable(packages, runtime),
        python=platform.python_version(),
        edgebig=__version__,
        os=platform.platform(),
        machine=read_machine(),
        instruction_sets=tuple(
            InstructionSetState(name=e.name, present=e.name in present if listed else None, meaning=e.meaning)
            for e in known_sets()
        ),
        int8=int8_advice(),
        packages=packages,
        runtime=runtime,
        problems=(*find_problems(packages, runtime), *([of_cache] if of_cache else [])),
        kernels=examine_kernels(),
        cache=cache,
    )


def is_usable(packages: Sequence[PackageState], runtime: RuntimeState) -> bool:
    """Whether the core can run: its packages are there, and onnxruntime runs a model on the processor."""
    core = all(package.installed is not None for package in packages if not package.extra)
    return core and any(provider.loads for provider in runtime.providers if provider.name == _CPU)


def find_problems(packages: Sequence[PackageState], runtime: RuntimeState) -> Iterator[Problem]:
    """What should be mended, the worst first. A missing extra is no problem: it may not be wanted."""
    for package in packages:
        if not package.extra and not package.fits:
            yield Problem(what=_complaint(package), mend=package.mend or "")
    if not runtime.distributions:
        yield Problem(what="onnxruntime is not installed.", mend='pip install "edgebig[cpu]"  (or "edgebig[gpu]")')
    elif runtime.error is not None:
        yield Problem(
            what=f"onnxruntime cannot be imported: {runtime.error}",
            mend=f"pip install --force-reinstall {runtime.distributions[0]}",
        )
    if len(runtime.distributions) > 1:
        names = " ".join(runtime.distributions)
        yield Problem(
            what=f"{' and '.join(runtime.distributions)} are both installed and overwrite each other's files.",
            mend=f'pip uninstall -y {names}; pip install "edgebig[cpu]"  (or "edgebig[gpu]")',
        )
    for package in packages:
        if package.extra and package.installed is not None and not package.fits:
            yield Problem(what=_complaint(package), mend=package.mend or "")
    for provider in runtime.providers:
        if not provider.loads and provider.name == _CPU:
            yield Problem(
                what=f"{provider.name} does not run a model: {provider.reason}",
                mend=f"pip install --force-reinstall {' '.join(runtime.distributions)}",
            )


def _complaint(package: PackageState) -> str:
    if package.installed is None:
        return f"{package.name} is not installed."
    return f"{package.name} {package.installed} is installed; edgebig needs {package.required}."
