"""Packages by edgebig's own metadata, with installations that are made up."""

import re

import pytest

from edgebig.bench.packages import package_states, runtime_distributions, states_of

REQUIREMENTS = [
    "click>=8.1",
    "numpy>=1.26",
    'tomli>=1; python_version < "3.0"',
    'torch>=2.9; extra == "torch"',
    'safetensors>=0.4; extra == "torch"',
    'edgebig[torch]; extra == "train"',
    'torch>=2.9; extra == "train"',
    'lightning>=2.4; extra == "train"',
    'ruff; extra == "dev"',
]


def test_states_of_an_installation() -> None:
    installed = {"click": "8.1.7", "numpy": "1.20.0", "torch": "2.13.0+cpu"}
    found = states_of(REQUIREMENTS, ["torch", "train"], installed.get)
    assert [(s.name, s.extra, s.installed, s.fits, s.mend) for s in found] == [
        ("click", "", "8.1.7", True, None),
        ("numpy", "", "1.20.0", False, 'pip install "numpy>=1.26"'),
        ("torch", "torch", "2.13.0+cpu", True, None),
        ("safetensors", "torch", None, False, 'pip install "edgebig[torch]"'),
        ("lightning", "train", None, False, 'pip install "edgebig[train]"'),
    ]


def test_a_release_candidate_counts_as_a_version() -> None:
    (state,) = states_of(["onnx>=1.18"], [], {"onnx": "1.24.0rc1"}.get)
    assert state.fits


def test_the_real_metadata_has_the_core_and_the_extras() -> None:
    states = {state.name: state for state in package_states()}
    assert states["numpy"].extra == ""
    assert states["torch"].extra == "torch"
    assert {"onnxruntime", "onnxruntime-gpu"} <= set(states)
    assert "ruff" not in states
    assert states["numpy"].fits


def test_a_source_tree_that_is_not_installed_gives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr("edgebig.bench.packages.metadata.distribution", missing)
    assert package_states() == ()


def test_wheels_that_bring_the_same_module_are_all_found(monkeypatch: pytest.MonkeyPatch) -> None:
    both = {"onnxruntime": ["onnxruntime-gpu", "onnxruntime", "onnxruntime-gpu"], "numpy": ["numpy"]}
    monkeypatch.setattr("edgebig.bench.packages.metadata.packages_distributions", lambda: both)
    assert runtime_distributions() == ("onnxruntime", "onnxruntime-gpu")
    monkeypatch.setattr("edgebig.bench.packages.metadata.packages_distributions", dict)
    assert runtime_distributions() == ()


def test_the_real_runtime_is_one_package() -> None:
    (name,) = runtime_distributions()
    assert re.match("onnxruntime", name)
