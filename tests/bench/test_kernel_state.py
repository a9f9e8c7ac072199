"""What the doctor says of kernels and of their cache."""

from pathlib import Path

import pytest

from edgebig.bench import kernel_state
from edgebig.bench.kernel_state import cache_problem, clear_cache, examine_cache, examine_kernels
from edgebig.runtime import Cache


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEBIG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_kernels_run_here_or_say_why_not() -> None:
    state = examine_kernels()
    assert state.processor
    assert state.products
    assert state.reason is None or "needs" in state.reason
    assert "generic" in state.products


def test_a_process_that_dies_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_state, "run_probe", lambda *_: (None, "x\nthe process was killed by signal 4"))
    state = examine_kernels()
    assert state.reason == "the process was killed by signal 4"
    assert state.products == ()


def test_the_cache_is_counted_and_cleared(folder: Path) -> None:
    cache = Cache()
    assert cache.folder == folder
    for key in ("a", "b"):
        cache.put("verdict", key, {"faster": True})
    state = examine_cache()
    assert (state.folder, state.wanted, state.entries) == (str(folder), str(folder), 2)
    assert state.bytes == cache.size() > 0
    assert state.limit_bytes == cache.limit_bytes
    assert cache_problem(state) is None
    assert clear_cache() == state
    assert examine_cache().entries == 0
    assert cache.get("verdict", "a") is None


@pytest.mark.filterwarnings("ignore::edgebig.runtime.cache_folder.CacheWarning")
def test_a_cache_that_others_may_write_is_a_problem(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    folder.chmod(0o777)
    state = examine_cache()
    assert state.folder != state.wanted == str(folder)
    problem = cache_problem(state)
    assert problem is not None
    assert str(folder) in problem.what
    assert "EDGEBIG_CACHE" in problem.mend
