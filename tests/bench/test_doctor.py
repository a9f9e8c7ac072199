"""The doctor's verdicts on installations that are made up, and its look at this one."""

from dataclasses import replace

import pytest

from edgebig.bench.doctor import examine, find_problems, is_usable
from edgebig.bench.instruction_sets import int8_advice, known_sets
from edgebig.records.doctor import DoctorRecord, PackageState, ProviderState, RuntimeState

NUMPY = PackageState(name="numpy", required=">=1.26", extra="", installed="2.0", fits=True, mend=None)
TORCH = PackageState(name="torch", required=">=2.9", extra="torch", installed=None, fits=False, mend="pip ...")
CPU = ProviderState(name="CPUExecutionProvider", loads=True, reason=None, mend=None)
CUDA = ProviderState(name="CUDAExecutionProvider", loads=False, reason="libcublas.so.12 is missing", mend="pip ...")
RUNTIME = RuntimeState(
    version="1.31.1",
    distributions=("onnxruntime",),
    build=None,
    newest_opset=26,
    newest_ir=13,
    providers=(CPU,),
    error=None,
)
NONE = replace(RUNTIME, version=None, distributions=(), providers=(), newest_opset=None, newest_ir=None, error="x")


def whats(packages: list[PackageState], runtime: RuntimeState) -> list[str]:
    return [problem.what for problem in find_problems(packages, runtime)]


def test_a_good_installation_has_no_problems_and_a_missing_extra_is_none() -> None:
    assert whats([NUMPY, TORCH], replace(RUNTIME, providers=(CUDA, CPU))) == []
    assert is_usable([NUMPY, TORCH], RUNTIME)


def test_no_onnxruntime_is_not_usable() -> None:
    (problem,) = find_problems([NUMPY], NONE)
    assert problem.what == "onnxruntime is not installed."
    assert 'pip install "edgebig[cpu]"' in problem.mend
    assert not is_usable([NUMPY], NONE)


def test_a_broken_onnxruntime_is_not_usable() -> None:
    broken = replace(NONE, distributions=("onnxruntime-gpu",), error="ImportError: libfoo.so")
    (problem,) = find_problems([NUMPY], broken)
    assert "ImportError: libfoo.so" in problem.what
    assert problem.mend == "pip install --force-reinstall onnxruntime-gpu"
    assert not is_usable([NUMPY], broken)


def test_both_wheels_at_once_are_a_problem() -> None:
    (problem,) = find_problems([NUMPY], replace(RUNTIME, distributions=("onnxruntime", "onnxruntime-gpu")))
    assert problem.what.startswith("onnxruntime and onnxruntime-gpu are both installed")
    assert problem.mend.startswith("pip uninstall -y onnxruntime onnxruntime-gpu; pip install")


@pytest.mark.parametrize(
    ("package", "what", "usable"),
    [
        (replace(NUMPY, installed=None, fits=False, mend="m"), "numpy is not installed.", False),
        (
            replace(NUMPY, installed="1.0", fits=False, mend="m"),
            "numpy 1.0 is installed; edgebig needs >=1.26.",
            True,
        ),
        (replace(TORCH, installed="1.9", mend="m"), "torch 1.9 is installed; edgebig needs >=2.9.", True),
    ],
)
def test_packages_that_do_not_fit(package: PackageState, what: str, usable: bool) -> None:
    (problem,) = find_problems([package], RUNTIME)
    assert (problem.what, problem.mend) == (what, "m")
    assert is_usable([package], RUNTIME) == usable


def test_a_processor_provider_that_fails_is_not_usable() -> None:
    bad = replace(RUNTIME, providers=(replace(CPU, loads=False, reason="killed by signal 4"),))
    (problem,) = find_problems([NUMPY], bad)
    assert "killed by signal 4" in problem.what
    assert not is_usable([NUMPY], bad)


@pytest.mark.parametrize(
    ("features", "x86", "words"),
    [
        (frozenset({"avx2"}), True, "7 bits"),
        (frozenset({"avx2", "avx_vnni"}), True, "VNNI): U8 activations"),
        (frozenset({"asimddp"}), False, "has dot products"),
        (frozenset({"asimd"}), False, "no dot products"),
        (frozenset(), True, "does not list"),
    ],
)
def test_int8_is_explained(features: frozenset[str], x86: bool, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("edgebig.bench.instruction_sets", "edgebig.targets.cpu_features"):
        monkeypatch.setattr(f"{module}.cpu_features", lambda: features)
    monkeypatch.setattr("edgebig.bench.instruction_sets.is_x86", lambda: x86)
    assert words in int8_advice()
    assert ("dotprod" in [entry.name for entry in known_sets()]) != x86


def test_this_machine() -> None:
    record = examine()
    assert record.usable
    assert {state.name for state in record.instruction_sets} == {entry.name for entry in known_sets()}
    assert any(package.name == "numpy" and package.fits for package in record.packages)
    assert DoctorRecord.from_json(record.to_json()) == record
