"""What the installed onnxruntime can do, found out by trying it in child processes (see `probe`)."""

import json
import re
import subprocess
import sys
from typing import Any

from edgebig.bench.packages import runtime_distributions
from edgebig.records.doctor import ProviderState, RuntimeState

TIMEOUT_S = 120
_MISSING = re.compile(r"(\S+?): cannot open shared object file|depends on \"?(\S+?\.dll)")
_CUDA = 'pip install "onnxruntime-gpu[cuda,cudnn]"'
_TENSORRT = (
    "install the TensorRT version that this onnxruntime was built with, and put its lib folder on LD_LIBRARY_PATH"
)
_MENDS = {
    "CUDAExecutionProvider": _CUDA,
    "TensorrtExecutionProvider": _TENSORRT,
    "NvTensorRTRTXExecutionProvider": _TENSORRT,
}


def examine_runtime() -> RuntimeState:
    """Import onnxruntime, load models of ever newer versions, and make a session on each provider."""
    distributions = runtime_distributions()
    report, output = run_probe()
    if report is None:
        return RuntimeState(
            version=None,
            distributions=distributions,
            build=None,
            newest_opset=None,
            newest_ir=None,
            providers=(),
            error=last_words(output),
        )
    return RuntimeState(
        version=report["version"],
        distributions=distributions,
        build=report["build"],
        newest_opset=report["newest_opset"],
        newest_ir=report["newest_ir"],
        providers=tuple(judge_provider(name, *run_probe(name)) for name in report["providers"]),
        error=None,
    )


def run_probe(*arguments: str) -> tuple[dict[str, Any] | None, str]:
    """Run the probe in a child process.

    Returns:
        Its report, or None where it died; and all it printed.
    """
    command = [sys.executable, "-m", "edgebig.bench.probe", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return None, f"no answer within {TIMEOUT_S} s"
    if done.returncode < 0:
        return None, f"{done.stderr}\nthe process was killed by signal {-done.returncode}"
    if done.returncode:
        return None, f"{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout.strip().splitlines()[-1]), f"{done.stdout}\n{done.stderr}"


def judge_provider(name: str, report: dict[str, Any] | None, output: str) -> ProviderState:
    """Decide whether a provider loads, and say why not.

    Args:
        name: The provider.
        report: The probe's report; None where it died.
        output: All it printed.
    """
    if report is not None and report["in_force"][:1] == [name]:
        return ProviderState(name=name, loads=True, reason=None, mend=None)
    library = missing_library(output)
    reason = f"{library} is missing" if library else last_words(output) if report is None else "it did not load"
    if report is not None and report["driver"] is False:
        # Libraries alone mend nothing here, and a machine without such a GPU needs no mending.
        return ProviderState(name=name, loads=False, reason=f"no NVIDIA driver; {reason}", mend=None)
    return ProviderState(name=name, loads=False, reason=reason, mend=_MENDS.get(name))


def missing_library(output: str) -> str | None:
    """The shared library that a loader's message names as missing, without its folder."""
    found = _MISSING.search(output)
    return re.split(r"[/\\]", found[1] or found[2])[-1] if found else None


def last_words(output: str) -> str:
    """The last line that was printed: of a traceback, the error itself."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "it ended without a word"
