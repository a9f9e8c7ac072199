"""The cache: what comes back, what is thrown away, and what happens to it in bad company."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from numba import types

from edgebig.runtime import cache as cache_module
from edgebig.runtime import cache_environment, cache_folder, cache_object
from edgebig.runtime.cache import Cache
from edgebig.runtime.cache_files import remove_unfinished
from edgebig.runtime.cache_folder import CacheWarning, default_folder

ROOT = Path(__file__).resolve().parents[2]
SOURCE = '''"""Adds {amount}."""

from edgebig.runtime.bridge.operands import operand
from edgebig.runtime.bridge.words import load, store


def first(call, task):
    store(operand(call, 0), load(operand(call, 0)) + {amount})


def first_again(call, task):
    store(operand(call, 0), load(operand(call, 0)) + 2 * {amount})
'''
# Compiles both functions in a process of its own, runs them, and says how many came from the cache.
CHILD = """
import ctypes, sys, warnings
from edgebig.runtime.cache import Cache
cache = Cache(sys.argv[1])
module = cache.module("part", sys.argv[2])
print("ready", flush=True)
hits = 0
for name, factor in (("first", 1), ("first_again", 2)):
    made = cache.compile(getattr(module, name))
    word = ctypes.c_int64(100)
    bases = (ctypes.c_int64 * 1)(ctypes.addressof(word))
    operands = (ctypes.c_int64 * 2)(0, 0)
    call = (ctypes.c_int64 * 2)(ctypes.addressof(bases), ctypes.addressof(operands))
    ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(made.address)(ctypes.addressof(call), 0)
    assert word.value == 100 + factor * module.AMOUNT, word.value
    hits += made.cached
print(hits)
"""


def source_of(amount: int) -> str:
    return SOURCE.format(amount=amount) + f"\n\nAMOUNT = {amount}\n"


def start(folder: Path, amount: int, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, *arguments, "-c", CHILD, str(folder), source_of(amount)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def hits(process: subprocess.Popen[str]) -> int:
    out, err = process.communicate()
    assert process.returncode == 0, err
    return int(out.split()[-1])


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def test_a_module_is_written_once_and_imported_once(cache: Cache) -> None:
    module = cache.module("part", source_of(1))
    assert module.AMOUNT == 1
    path = Path(str(module.__file__))
    assert path.parent == cache.folder / "modules"
    assert path.read_text() == source_of(1)
    before = path.stat()
    assert cache.module("part", source_of(1)) is module
    assert path.stat().st_ino == before.st_ino  # a new file would have replaced it
    assert cache.module("part", source_of(2)) is not module
    assert cache.module("other", source_of(1)) is not module


def test_a_damaged_module_is_written_anew(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    path = Path(str(cache.module("part", source_of(3)).__file__))
    path.write_text("raise RuntimeError")
    assert Cache(tmp_path / "cache").module("part", source_of(3)).AMOUNT == 3
    assert path.read_text() == source_of(3)


def test_the_second_process_compiles_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    assert hits(start(folder, 5)) == 0
    assert hits(start(folder, 5)) == 2
    names = [path.name.split(".")[1].rsplit("_", 1)[0] for path in (folder / "objects").iterdir()]
    assert sorted(name for name in names if "first" in name) == ["first", "first_again"]


def test_damaged_compiled_functions_are_made_again(tmp_path: Path) -> None:
    """Code cut short or changed by one bit, rubbish, a file of another kind: none is run."""
    folder = tmp_path / "cache"
    assert hits(start(folder, 6)) == 0
    (path,) = (path for path in folder.glob("objects/*.first_*.o") if "again" not in path.name)
    whole = path.read_bytes()
    flipped = whole[:-200] + bytes([whole[-200] ^ 1]) + whole[-199:]
    for damaged in (whole[:-50], flipped, b"rubbish", b"", whole.partition(b"\n")[2]):
        path.write_bytes(damaged)
        assert hits(start(folder, 6)) == 1
        assert path.read_bytes() == whole


def test_four_processes_at_once_and_one_that_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    processes = [start(folder, 7) for _ in range(4)]
    assert processes[0].stdout is not None
    assert processes[0].stdout.readline() == "ready\n"
    time.sleep(0.3)  # somewhere in the middle of compiling or writing
    processes[0].send_signal(signal.SIGKILL)
    processes[0].communicate()
    for process in processes[1:]:
        assert hits(process) in (0, 1, 2)
    assert hits(start(folder, 7)) in (0, 1, 2)
    assert hits(start(folder, 7)) == 2


def test_another_processor_gets_its_own_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cache"
    assert hits(start(folder, 8)) == 0
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    assert hits(start(folder, 8)) == 0
    monkeypatch.delenv("NUMBA_CPU_NAME")
    assert hits(start(folder, 8)) == 2
    assert len(Cache(folder).entries()) == 2


def test_records_come_back_and_are_told_apart(cache: Cache) -> None:
    assert cache.get("verdict", "a") is None
    cache.put("verdict", "a", {"keep": True, "ratios": [1.5, 2.0]})
    cache.put("verdict", "b", {"keep": False})
    cache.put("shape", "a", {})
    assert cache.get("verdict", "a") == {"keep": True, "ratios": [1.5, 2.0]}
    assert cache.get("verdict", "b") == {"keep": False}
    assert cache.get("shape", "a") == {}
    cache.put("verdict", "a", {"keep": False})
    assert Cache(cache.folder).get("verdict", "a") == {"keep": False}


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"value": {"keep": true}}', '{"head": {"kind": "verdict"}, "value": {}}', "\x80\x04"],
)
def test_damaged_and_foreign_records_are_ignored_and_replaced(cache: Cache, content: str) -> None:
    cache.put("verdict", "a", {"keep": True})
    (path,) = cache.folder.glob("records/verdict/*.json")
    path.write_text(content, encoding="latin-1")
    assert cache.get("verdict", "a") is None
    cache.put("verdict", "a", {"keep": False})
    assert cache.get("verdict", "a") == {"keep": False}


def test_a_record_of_another_key_under_this_ones_name_is_foreign(cache: Cache) -> None:
    cache.put("verdict", "a", {"keep": True})
    (path,) = cache.folder.glob("records/verdict/*.json")
    text = json.loads(path.read_text())
    text["head"]["key"] = "b"
    path.write_text(json.dumps(text))
    assert cache.get("verdict", "a") is None


def test_another_version_does_not_see_the_records(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.put("verdict", "a", {"keep": True})
    monkeypatch.setattr(cache_module, "environment", lambda: "another")
    assert cache.get("verdict", "a") is None


def test_the_environment_follows_versions_and_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def now() -> tuple[str, str]:
        cache_environment.compilers.cache_clear()
        cache_environment.environment.cache_clear()
        return cache_environment.compilers(), cache_environment.environment()

    before = now()
    assert now() == before
    with monkeypatch.context() as patch:
        patch.setattr(cache_environment, "_RUNTIMES", ())
        assert now()[0] == before[0]
        assert now()[1] != before[1]
    changed = tmp_path / "kernel.py"
    sources = cache_environment._sources()
    assert any(path.name == "operands.py" for path in sources)
    for text in ("a", "b"):
        changed.write_text(text)
        with monkeypatch.context() as patch:
            patch.setattr(cache_environment, "_sources", lambda: [*sources, changed])
            assert now()[0] != before[0]
            before = (*now(),)
    now()


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    seen: set[Path] = set()
    for index, name in enumerate("abc"):
        cache.put("verdict", name, {"text": "x" * 1000})
        (path,) = set(cache.folder.glob("records/verdict/*.json")) - seen
        seen.add(path)
        os.utime(path, (index, index))
    cache.get("verdict", "a")  # used now
    small = Cache(tmp_path / "cache", limit_bytes=3 * 1200)
    small.put("verdict", "d", {"text": "x" * 1000})
    assert [small.get("verdict", name) is not None for name in "abcd"] == [True, False, True, True]
    assert small.size() <= 3 * 1200


def test_a_module_goes_with_its_compiled_functions(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    module = cache.module("part", source_of(9))
    cache.compile(module.first)
    (entry,) = cache.entries()
    assert entry.kind == "module"
    assert {path.suffix for path in entry.files} == {".py", ".o"}
    assert entry.bytes == cache.size() == sum(path.stat().st_size for path in entry.files)
    Cache(tmp_path / "cache", limit_bytes=10).put("verdict", "a", {})
    assert [entry.kind for entry in cache.entries()] == ["verdict"]
    assert list(cache.folder.rglob("part_*")) == []


def test_functions_of_edgebig_itself_are_entries_of_their_own(cache: Cache) -> None:
    from edgebig.runtime.bridge import compute

    cache.compile(compute._forget, types.void(types.intp))
    (entry,) = cache.entries()
    assert entry.kind == "function"
    assert entry.name.startswith("compute._forget_")
    cache.clear()
    assert cache.entries() == ()


def test_what_is_larger_than_the_limit_is_still_usable(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", limit_bytes=1)
    module = cache.module("part", source_of(10))
    assert cache.compile(module.first).address
    cache.put("verdict", "a", {"keep": True})
    assert cache.get("verdict", "a") == {"keep": True}


def test_clear_leaves_nothing_but_folders(cache: Cache) -> None:
    module = cache.module("part", source_of(11))
    cache.compile(module.first)
    cache.put("verdict", "a", {})
    assert cache.size() > 0
    cache.clear()
    assert cache.size() == 0
    assert cache.entries() == ()
    assert [path for path in cache.folder.rglob("*") if path.is_file()] == []
    assert cache.compile(cache.module("part", source_of(12)).first).address


def test_unfinished_files_of_killed_processes_go_after_a_while(cache: Cache) -> None:
    for name, age in ((".a.json.123.part", 7200), ("b.nbi.tmp.55", 7200), (".c.json.123.part", 10)):
        path = cache.folder / "records" / name
        path.write_text("x")
        os.utime(path, (time.time() - age,) * 2)
    remove_unfinished(cache.folder)
    assert [path.name for path in (cache.folder / "records").iterdir()] == [".c.json.123.part"]


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
@pytest.mark.parametrize("part", ["", "modules", "objects"])
def test_a_folder_that_others_may_write_to_is_not_believed(tmp_path: Path, part: str) -> None:
    folder = tmp_path / "cache"
    Cache(folder).put("verdict", "a", {"keep": True})
    (folder / part).chmod(0o777)
    with pytest.warns(CacheWarning, match="other users may write"):
        cache = Cache(folder)
    assert cache.folder != folder
    assert cache.folder.stat().st_mode & 0o777 == 0o700
    assert cache.get("verdict", "a") is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Cache(folder)  # it is said once


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
def test_a_folder_of_another_user_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_folder.os, "geteuid", lambda: 12345)
    with pytest.warns(CacheWarning, match="belongs to another user"):
        assert Cache(tmp_path / "cache").folder != tmp_path / "cache"


def test_new_folders_are_private(cache: Cache) -> None:
    for path in (cache.folder, *cache.folder.rglob("*")):
        assert path.stat().st_mode & 0o777 == 0o700


def test_a_place_that_cannot_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.warns(CacheWarning, match="cannot be written"):
        cache = Cache(tmp_path / "file" / "cache")
    assert cache.compile(cache.module("part", source_of(13)).first).address


def test_a_disk_that_fills_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(tmp_path / "cache")

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_module, "write_whole", full)
    with pytest.warns(CacheWarning, match="No space left on device"):
        module = cache.module("part", source_of(14))
    assert module.AMOUNT == 14
    cache.put("verdict", "a", {})
    assert cache.get("verdict", "a") is None
    assert cache.compile(module.first).address


def test_code_that_cannot_be_stored_runs_all_the_same(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    module = cache.module("part", source_of(15))
    monkeypatch.setattr(cache_object, "write_whole", full)
    assert cache.compile(module.first).address
    assert not cache.compile(module.first).cached


def test_a_function_that_cannot_be_compiled_says_so(cache: Cache) -> None:
    module = cache.module("wrong", "def first(call, task):\n    return call.nothing\n")
    with pytest.raises(Exception, match="nothing"):
        cache.compile(module.first)


def test_a_function_that_may_raise_works_and_is_not_stored(cache: Cache) -> None:
    """Its entry point needs the interpreter, which code loaded from a file cannot count on."""
    text = source_of(16).replace("+ 16", "// task", 1)
    module = cache.module("part", text)
    word = ctypes.c_int64(100)
    bases, operands = (ctypes.c_int64 * 1)(ctypes.addressof(word)), (ctypes.c_int64 * 2)(0, 0)
    call = (ctypes.c_int64 * 2)(ctypes.addressof(bases), ctypes.addressof(operands))
    for expected in (50, 25):
        made = cache.compile(module.first)
        assert not made.cached
        ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(made.address)(ctypes.addressof(call), 2)
        assert word.value == expected
    assert not cache.compile(module.first_again).cached
    assert cache.compile(module.first_again).cached


def test_functions_of_64_bit_integers_are_stored_and_others_are_not(cache: Cache) -> None:
    module = cache.module("part", "from math import exp\n\n\ndef total(a, b, c):\n    return a + b * c + int(exp(c))\n")
    mixed = types.intp(types.intp, types.intp, types.int32)
    assert not cache.compile(module.total, mixed).cached
    assert not cache.compile(module.total, mixed).cached
    for cached in (False, True):
        made = cache.compile(module.total, types.intp(types.intp, types.intp, types.intp))
        assert made.cached == cached
        call = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(made.address)
        assert call(10, 2, 3) == 36


def test_the_default_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGEBIG_CACHE", str(tmp_path / "mine"))
    assert default_folder() == tmp_path / "mine"
    monkeypatch.delenv("EDGEBIG_CACHE")
    if sys.platform == "linux":
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert default_folder() == tmp_path / "xdg" / "edgebig"
        monkeypatch.delenv("XDG_CACHE_HOME")
        assert default_folder() == Path.home() / ".cache" / "edgebig"
