"""Reading what onnxruntime prints when a provider does not load; the texts are onnxruntime 1.31's and 1.20's own."""

import subprocess
from types import SimpleNamespace

import pytest

from edgebig.bench import installed_runtime
from edgebig.bench.installed_runtime import examine_runtime, judge_provider, last_words, missing_library, run_probe
from edgebig.bench.probe import newest

CUDA = "CUDAExecutionProvider"
LINUX = (
    "[E:onnxruntime:Default, provider_bridge_ort.cc:2458 operator()] onnxruntime::Provider& "
    "onnxruntime::ProviderLibrary::Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library "
    "/opt/lib/libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open shared object file: "
    "No such file or directory"
)
FOLDER = "error: /usr/lib/x/libnvinfer.so.10: cannot open shared object file: No such file or directory"
WINDOWS = (
    'Error loading "C:\\ort\\onnxruntime_providers_cuda.dll" which depends on "cublasLt64_12.dll" which is missing. '
    "(Error 126)"
)


@pytest.mark.parametrize(
    ("output", "library"),
    [
        (LINUX, "libcublasLt.so.13"),
        (FOLDER, "libnvinfer.so.10"),
        (WINDOWS, "cublasLt64_12.dll"),
        ("all is well", None),
        ("", None),
    ],
)
def test_the_missing_library_is_named(output: str, library: str | None) -> None:
    assert missing_library(output) == library


def test_a_provider_that_is_in_force_loads() -> None:
    state = judge_provider(CUDA, {"in_force": [CUDA, "CPUExecutionProvider"], "driver": True}, "")
    assert (state.loads, state.reason, state.mend) == (True, None, None)


def test_a_missing_library_comes_with_the_line_that_mends_it() -> None:
    state = judge_provider(CUDA, {"in_force": ["CPUExecutionProvider"], "driver": True}, LINUX)
    assert not state.loads
    assert state.reason == "libcublasLt.so.13 is missing"
    assert state.mend == 'pip install "onnxruntime-gpu[cuda,cudnn]"'


def test_without_a_driver_no_library_is_asked_for() -> None:
    state = judge_provider(CUDA, {"in_force": ["CPUExecutionProvider"], "driver": False}, LINUX)
    assert (state.loads, state.mend) == (False, None)
    assert state.reason == "no NVIDIA driver; libcublasLt.so.13 is missing"


def test_a_probe_that_died_is_quoted() -> None:
    state = judge_provider("OpenVINOExecutionProvider", None, "Traceback\n  File x\nRuntimeError: bad plugin\n\n")
    assert (state.loads, state.reason, state.mend) == (False, "RuntimeError: bad plugin", None)
    assert last_words("  \n") == "it ended without a word"


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (SimpleNamespace(returncode=-11, stdout="", stderr="x"), "killed by signal 11"),
        (SimpleNamespace(returncode=1, stdout="", stderr="ImportError: no"), "ImportError: no"),
        (subprocess.TimeoutExpired("probe", 1), "no answer within"),
    ],
)
def test_a_probe_may_die_without_harm(result: object, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object, **__: object) -> object:
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(installed_runtime.subprocess, "run", run)
    report, output = run_probe("X")
    assert report is None
    assert words in last_words(output)
    state = examine_runtime()
    assert state.version is None
    assert state.error is not None
    assert words in state.error


def test_newest_is_the_last_that_loads_without_a_gap() -> None:
    assert newest(7, lambda version: version <= 26 or version == 40) == 26
    assert newest(7, lambda version: False) is None
    assert newest(7, lambda version: True) == 99


def test_the_real_runtime() -> None:
    import onnxruntime as ort

    state = examine_runtime()
    assert state.version == ort.__version__
    assert [provider.name for provider in state.providers] == ort.get_available_providers()
    assert next(p for p in state.providers if p.name == "CPUExecutionProvider").loads
    assert state.newest_opset is not None
    assert state.newest_opset >= 19
    assert state.newest_ir is not None
    assert state.newest_ir >= 9


def test_the_newest_opset_is_a_limit() -> None:
    """The same question asked in this process: one version up is refused, the newest is not."""
    import onnx
    import onnxruntime as ort

    state = examine_runtime()
    assert state.newest_opset is not None
    text = '<ir_version: 8, opset_import: ["" : {}]> g (float[1] x) => (float[1] y) {{ y = Identity (x) }}'
    ok, refused = (
        onnx.parser.parse_model(text.format(state.newest_opset + step)).SerializeToString() for step in (0, 1)
    )
    ort.InferenceSession(ok, providers=["CPUExecutionProvider"])
    with pytest.raises(Exception, match="till opset"):
        ort.InferenceSession(refused, providers=["CPUExecutionProvider"])
