"""The models of a measurement: names, sizes, files."""

from pathlib import Path

import onnx_ir as ir
import pytest

from edgebig.bench.candidates import distinct_names, open_candidates
from edgebig.errors import InvalidModelError
from edgebig.files import sha256
from tests.bench.models import DOUBLE, HEAVY, write
from tests.small_models import conv_net


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a.onnx"], ["a.onnx"]),
        (["x/a.onnx", "y/b.onnx"], ["a.onnx", "b.onnx"]),
        (["x/a.onnx", "y/a.onnx", "b.onnx"], ["x/a.onnx", "y/a.onnx", "b.onnx"]),
        (["/r/1/m/a.onnx", "/r/2/m/a.onnx"], ["1/m/a.onnx", "2/m/a.onnx"]),
        (["/a.onnx", "/x/a.onnx"], ["/a.onnx", "x/a.onnx"]),
        (["x/a.onnx", "x/a.onnx"], ["a.onnx (1)", "a.onnx (2)"]),
        (["x/a.onnx", "y/a.onnx", "x/a.onnx"], ["x/a.onnx (1)", "y/a.onnx", "x/a.onnx (2)"]),
        ([], []),
    ],
)
def test_names_are_short_and_differ(paths: list[str], names: list[str]) -> None:
    found = distinct_names([Path(path) for path in paths])
    assert found == names
    assert len(set(found)) == len(found)


def test_files_and_models_in_memory_are_measured_alike(tmp_path: Path) -> None:
    path = write(DOUBLE, tmp_path / "double.onnx")
    with open_candidates([path, conv_net(), str(path)]) as candidates:
        first, memory, again = candidates
        assert [c.name for c in candidates] == ["double.onnx (1)", "conv_net", "double.onnx (2)"]
        assert first.bytes == path.stat().st_size
        assert first.sha256 == again.sha256 == sha256(path)
        assert [str(spec) for spec in first.specs] == ["x: float32 [batchx3]"]
        weights = sum(v.const_value.nbytes for v in conv_net().graph.initializers.values() if v.const_value)
        assert weights < memory.bytes < weights + 5000  # weights beside the graph count too
        assert memory.path.is_file()
        ir.load(memory.path)
    assert not memory.path.exists()


def test_a_broken_model_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    good, bad = write(HEAVY, tmp_path / "good.onnx"), tmp_path / "bad.onnx"
    bad.write_bytes(good.read_bytes()[:40])
    with pytest.raises(InvalidModelError, match=r"bad\.onnx"), open_candidates([good, bad]):
        pytest.fail("a truncated model was opened")
