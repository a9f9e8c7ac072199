"""The public surface: the names of the package, and what importing it costs."""

import subprocess
import sys

import edgebig

NAMES = [
    "__version__",
    "bench_models",
    "compare_models",
    "compress_model",
    "diagnose_models",
    "evaluate_model",
    "export_model",
    "lint_model",
    "load_model",
    "optimize_model",
    "prune_model",
    "quantize_model",
    "save_model",
]


def test_public_names_are_these_and_all_load() -> None:
    assert sorted(edgebig.__all__) == NAMES
    for name in NAMES[1:]:
        assert callable(getattr(edgebig, name)), name
        assert getattr(edgebig, name).__doc__, f"{name} has no docstring"


def test_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(edgebig, "compres_model")


def test_importing_edgebig_imports_nothing_heavy() -> None:
    heavy = {"torch", "onnx", "onnxruntime", "numba", "numpy", "rich"}
    code = f"import sys, edgebig; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
