"""`prepare` fills the cache, shows progress, and refuses what it cannot prepare."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
import pytest

from edgebig.errors import InvalidModelError, UsageError
from edgebig.progress import reporting_to
from edgebig.runtime import Cache, InferenceSession, ahead_of_time, prepare
from edgebig.runtime.bridge import BridgeError
from tests.runtime.models import CLASSES, FEATURES, int8_mlp


class Counting:
    """Counts what passes."""

    def __init__(self) -> None:
        self.passed, self.totals = Counter[str](), Counter[str]()

    def track(self, items: Iterable[Any], description: str, total: int | None) -> Iterator[Any]:
        """Count the items of a loop."""
        self.totals[description] += total or 0
        for item in items:
            yield item
            self.passed[description] += 1


def session(model: onnx.ModelProto, cache: Cache, threads: int = 1) -> InferenceSession:
    """A session as users open it."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return InferenceSession(model.SerializeToString(), options, cache=cache)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    onnx.save(int8_mlp(), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


def test_the_session_after_it_finds_everything(path: Path, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    (record,) = prepare(path, threads=1, cache=cache)
    assert not record.from_cache
    assert record.shapes == {"x": (3, FEATURES)}
    before = {entry.name for entry in cache.entries()}
    (found,) = session(int8_mlp(), cache).records
    assert found.from_cache
    assert (found.kept, found.speedup) == (record.kept, record.speedup)
    assert {entry.name for entry in cache.entries()} == before
    (again,) = prepare(path, threads=1, cache=cache)
    assert again.from_cache


def test_progress_is_shown_per_kernel(path: Path, tmp_path: Path) -> None:
    counting = Counting()
    with reporting_to(counting):
        (record,) = prepare(path, threads=1, cache=Cache(tmp_path / "cache"))
    assert counting.passed == counting.totals
    assert counting.passed["building segments"] == len(record.segments) == 1
    assert counting.passed["compiling kernels"] >= 3


def test_dynamic_axes_need_shapes(tmp_path: Path) -> None:
    onnx.save(int8_mlp("batch"), tmp_path / "m.onnx")
    cache = Cache(tmp_path / "cache")
    with pytest.raises(UsageError, match=r"inputs \['x'\] have dynamic axes; give the shapes"):
        prepare(tmp_path / "m.onnx", cache=cache)
    records = prepare(tmp_path / "m.onnx", shapes=[{"x": (n, FEATURES)} for n in (1, 2)], threads=1, cache=cache)
    assert [record.shapes["x"] for record in records] == [(1, FEATURES), (2, FEATURES)]
    with pytest.raises(InvalidModelError, match="was given"):
        prepare(tmp_path / "m.onnx", shapes=[{"x": (1, CLASSES)}], cache=cache)


def test_unreadable_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidModelError, match=r"bad\.onnx"):
        (tmp_path / "bad.onnx").write_bytes(b"nothing")
        prepare(tmp_path / "bad.onnx")


def test_where_kernels_cannot_run_it_refuses(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead_of_time, "supported", lambda: "no such processor")
    with pytest.raises(BridgeError, match="no such processor"):
        prepare(path)
