"""Who keeps what alive, and processes: forked, ended, many sessions after each other."""

import gc
import itertools
import json
import os
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgebig.runtime.bridge import library, register, unregister
from tests.runtime.bridge import segments
from tests.runtime.bridge.segments import add_one_program, bytes_session, options, segment_model

ROOT = Path(__file__).resolve().parents[3]
X = np.arange(16, dtype=np.uint8)


class Kept:
    """Something a weak reference can watch."""


def test_a_session_keeps_its_program_alive_until_it_is_gone() -> None:
    kept = Kept()
    watched = weakref.ref(kept)
    key = register(add_one_program(16, 3, keep=kept))
    del kept
    first, second = bytes_session(key), bytes_session(key)
    unregister(key)
    for session in (first, second):
        np.testing.assert_array_equal(session.run(None, {"x": X})[0], X + 3)
    assert watched() is not None
    del first, session
    gc.collect()
    assert watched() is not None
    np.testing.assert_array_equal(second.run(None, {"x": X})[0], X + 3)
    del second
    gc.collect()
    assert watched() is None


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_sessions_end_in_any_order(order: tuple[int, ...]) -> None:
    keys = [register(add_one_program(16, 1 + n)) for n in range(3)]
    sessions = {n: bytes_session(keys[n], keys[n], threads=1 + n % 2) for n in range(3)}
    for n in order:
        for m, session in sessions.items():
            np.testing.assert_array_equal(session.run(None, {"x": X})[0], X + 2 * (m + 1))
        del sessions[n], session
        unregister(keys[n])


def test_one_set_of_options_makes_many_sessions_and_may_go_first() -> None:
    key = register(add_one_program(16))
    model = segment_model(
        [key], inputs=[helper.make_tensor_value_info("x", TensorProto.UINT8, [16])]
    ).SerializeToString()
    shared = options()
    sessions = [segments.ort.InferenceSession(model, shared, providers=["CPUExecutionProvider"]) for _ in range(3)]
    del shared
    gc.collect()
    for session in sessions:
        np.testing.assert_array_equal(session.run(None, {"x": X})[0], X + 1)
    unregister(key)


def test_a_forked_child_runs_its_parents_session_and_makes_its_own() -> None:
    key = register(add_one_program(16, 2))
    session = bytes_session(key)
    session.run(None, {"x": X})
    child = os.fork()
    if child == 0:
        status = 1
        try:
            good = bool((session.run(None, {"x": X})[0] == X + 2).all())
            mine = register(add_one_program(16, 4))
            own = bytes_session(mine, key)
            good = good and bool((own.run(None, {"x": X})[0] == X + 6).all())
            del own
            unregister(mine)
            status = 0 if good else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    np.testing.assert_array_equal(session.run(None, {"x": X})[0], X + 2)
    unregister(key)


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    prelude = "import numpy as np\nfrom tests.runtime.bridge.segments import *\nfrom edgebig.runtime.bridge import *\n"
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", prelude + code],
        capture_output=True,
        text=True,
        check=False,
        env=env,
    )


ENDINGS = {
    "sessions still alive": "",
    "registered by nobody else": "unregister(key)",
    "sessions hidden in a cycle": "cycle = [s]; cycle.append(cycle); del s, t",
    "exception": "raise SystemExit(0)",
    "run by an exit handler that comes later": (
        "import atexit\n"
        "def last():\n    assert (s.run(None, {'x': x})[0] == x + 6).all(); globals().clear()\n"
        "atexit._clear(); from edgebig.runtime.bridge.connection import _made\n"
        "atexit.register(last); [atexit.register(op._shut_down) for op in _made[0]._ops.values()]"
    ),
    "kept by a module that goes last": "import sys; sys.keep = s; import builtins; builtins.keep_too = t; del s, t",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_interpreter_that_ends_with_sessions_does_not_crash(ending: str) -> None:
    code = (
        "key = register(add_one_program(16, 3)); x = np.arange(16, dtype=np.uint8)\n"
        "s, t = bytes_session(key, key), bytes_session(key, threads=2)\n"
        "assert (s.run(None, {'x': x})[0] == x + 6).all() and (t.run(None, {'x': x})[0] == x + 3).all()\n"
    )
    result = run_python(code + ENDINGS[ending] + "\nprint('done')" * (ending != "exception"))
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""


def test_without_memfd_and_with_a_folder_that_forbids_execution(tmp_path: Path) -> None:
    """The library goes to the next folder that works."""
    code = (
        "import os, tempfile\nfrom edgebig.runtime.bridge import library\n"
        f"del os.memfd_create\ntempfile.tempdir = {str(tmp_path / 'missing')!r}\n"
        "key = register(add_one_program(16)); x = np.arange(16, dtype=np.uint8)\n"
        "assert (bytes_session(key).run(None, {'x': x})[0] == x + 1).all()\n"
    )
    result = run_python(code, HOME=str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert list(tmp_path.rglob("*.so")) == []  # removed at the end


def test_no_folder_allows_it(tmp_path: Path) -> None:
    code = (
        "import os\nfrom edgebig.runtime.bridge import library, supported\n"
        "del os.memfd_create\n"
        "def refused(*_): raise OSError('failed to map segment from shared object')\n"
        "library.ctypes = type('C', (), {'CDLL': refused})\n"
        "print(supported())\n"
        "try: attach(ort.SessionOptions())\n"
        "except BridgeError as e: print(e)\n"
    )
    result = run_python(code)
    assert result.returncode == 0, result.stderr
    first, second = result.stdout.splitlines()
    assert "no memfd on this system; failed to map segment" in first
    assert "noexec" in first
    assert second == f"Numba kernels cannot run inside onnxruntime: {first}"


@pytest.mark.parametrize(
    ("breakage", "reason"),
    [
        ("import sys; sys.platform = 'darwin'", "needs 64-bit Linux"),
        ("import platform; platform.machine = lambda: 'riscv64'", "no custom ops on a riscv64 processor"),
        ("ort.__version__ = '1.16.3'", "onnxruntime 1.16.3 is too old"),
        ("import sys; sys.modules['onnxruntime'] = None", "pip install edgebig[cpu]"),
        (
            "import sys\nfor n in list(sys.modules):\n"
            "    if n.startswith(('numba', 'edgebig.runtime.bridge.c')): del sys.modules[n]\n"
            "sys.modules['numba'] = None",
            "pip install numba",
        ),
    ],
)
def test_a_platform_without_the_bridge_gets_a_reason(breakage: str, reason: str) -> None:
    code = f"{breakage}\nprint(supported())\ntry: attach(ort.SessionOptions())\nexcept BridgeError as e: print(e)\n"
    result = run_python(code)
    assert result.returncode == 0, result.stderr
    first, second = result.stdout.splitlines()
    assert reason in first
    assert second.endswith(first)


def test_importing_the_bridge_and_the_cache_imports_nothing_heavy() -> None:
    code = (
        "import sys, edgebig.runtime, edgebig.runtime.bridge, edgebig.runtime.cache\n"
        "print([n for n in ('numba', 'llvmlite', 'onnxruntime', 'onnx', 'numpy') if n in sys.modules])"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env)
    assert result.stdout == "[]\n", result.stderr


def test_numba_switched_off_is_a_reason() -> None:
    code = "from edgebig.runtime.bridge import supported; print(supported())"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_DISABLE_JIT": "1"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env)
    assert result.returncode == 0, result.stderr
    assert "NUMBA_DISABLE_JIT" in result.stdout or "numba cannot compile here" in result.stdout


def test_a_lost_descriptor_is_noticed() -> None:
    code = (
        "import sys\n"
        "key = register(add_one_program(16)); x = np.arange(16, dtype=np.uint8)\n"
        "s = bytes_session(key)\n"
        "import os; os.closerange(3, 50)\n"
        "for i in range(3, 50): os.open(os.devnull, os.O_RDONLY)\n"
        "t = bytes_session(key)\n"
        "assert (s.run(None, {'x': x})[0] == x + 1).all() and (t.run(None, {'x': x})[0] == x + 1).all()\n"
    )
    result = run_python(code)
    assert result.returncode == 0, result.stderr


def test_the_library_is_loaded_once() -> None:
    first = bytes_session(register(add_one_program(16)))
    before = sum("edgebig_bridge" in line for line in Path("/proc/self/maps").read_text().splitlines())
    second = bytes_session(register(add_one_program(16)))
    after = sum("edgebig_bridge" in line for line in Path("/proc/self/maps").read_text().splitlines())
    assert before == after > 0
    assert first is not second
    assert library.Library


# In a process of its own: what other tests leave for the allocator to reuse or give back would drown a leak.
GROWTH = """
import gc, json
import numpy as np, psutil
from edgebig.runtime.bridge import arenas, register, unregister
from tests.runtime.bridge.segments import add_one_program, bytes_session

key = register(add_one_program(1 << 20, 2))
x = np.zeros(1 << 20, np.uint8)
memory = psutil.Process().memory_info

def sessions(count):
    for _ in range(count):
        session = bytes_session(key)
    del session
    gc.collect()
    return memory().rss

def runs(session, count):
    for _ in range(count):
        session.run(None, {"x": x})
    return memory().rss

bytes_session(key).run(None, {"x": x})
before = sessions(1000)
by_sessions = sessions(3000) - before
session = bytes_session(key)
before = runs(session, 1000)
by_runs = runs(session, 3000) - before
del session
gc.collect()
unregister(key)
print(json.dumps([by_sessions, by_runs, arenas.kept_bytes()]))
"""


@pytest.mark.slow
def test_thousands_of_sessions_and_runs_leak_nothing() -> None:
    result = run_python(GROWTH)
    assert result.returncode == 0, result.stderr
    by_sessions, by_runs, arena_bytes = json.loads(result.stdout)
    assert by_sessions < 3000 * 500  # bytes; a leaked record alone has more
    assert by_runs < 3000 * 500  # a leaked output alone has a million
    assert arena_bytes < 1 << 30
