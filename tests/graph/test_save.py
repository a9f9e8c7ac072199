"""Saving: whole or not at all, and what the written file holds."""

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgebig.errors import OutputError
from edgebig.graph.edit import working_copy
from edgebig.graph.load import load_model
from edgebig.graph.save import save_model, weight_bytes
from edgebig.graph.session import Session
from edgebig.graph.shapes import infer_shapes


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def weights_of(path: Path) -> np.ndarray:
    return load_model(path).graph.initializers["w"].const_value.numpy()


@pytest.mark.parametrize("external", [False, True, None])
def test_round_trip(inline_file, tmp_path, external) -> None:
    target = tmp_path / "out" / "copy.onnx"
    target.parent.mkdir()
    written = save_model(load_model(inline_file), target, external_data=external)
    assert [path.name for path in written] == (["copy.onnx", "copy.onnx.data"] if external else ["copy.onnx"])
    assert names(target.parent) == sorted(path.name for path in written)
    np.testing.assert_array_equal(weights_of(target), weights_of(inline_file))


def test_external_weights_come_into_the_file(external_file, tmp_path) -> None:
    target = tmp_path / "one.onnx"
    save_model(load_model(external_file), target)
    (external_file.parent / "gemm.onnx.data").unlink()
    assert weights_of(target).sum() == np.arange(2400).sum()


def test_external_tensors_of_attributes_come_into_the_file(external_file, tmp_path) -> None:
    """A Constant node whose value lies in the data file: only initializers can go to the new one."""
    model = load_model(external_file)
    weight = model.graph.initializers.pop("w")
    constant = ir.node("Constant", [], attributes={"value": ir.AttrTensor("value", weight.const_value)})
    constant.outputs[0].name = "w2"
    weight.replace_all_uses_with(constant.outputs[0])
    model.graph.insert_before(model.graph.node(0), constant)
    for external in (False, True):
        target = tmp_path / f"constant{external}.onnx"
        save_model(model, target, external_data=external)
        assert load_model(target).graph.node(0).attributes.get_tensor("value").numpy().shape == (8, 300)


def test_a_model_may_replace_the_file_its_weights_are_mapped_from(external_file) -> None:
    model = load_model(external_file)
    save_model(model, external_file, force=True, external_data=True)
    assert weights_of(external_file).sum() == np.arange(2400).sum()
    assert names(external_file.parent) == ["gemm.onnx", "gemm.onnx.data"]


def test_initializers_are_not_listed_in_value_info(inline_file, tmp_path) -> None:
    """quantize_dynamic of onnxruntime fails on files that list them."""
    model = load_model(inline_file)
    infer_shapes(model)
    assert model.graph.initializers["w"].shape is not None
    save_model(model, tmp_path / "a.onnx")
    assert [info.name for info in onnx.load(tmp_path / "a.onnx").graph.value_info] == []
    assert model.graph.initializers["w"].shape is not None  # the model in memory stays


def test_an_existing_file_needs_force(inline_file) -> None:
    before = inline_file.read_bytes()
    with pytest.raises(OutputError, match=r"exists\. Choose another name, or pass --force"):
        save_model(load_model(inline_file), inline_file)
    assert inline_file.read_bytes() == before


def test_an_existing_data_file_needs_force(inline_file, tmp_path) -> None:
    (tmp_path / "b.onnx.data").write_text("mine")
    with pytest.raises(OutputError, match=r"b.onnx.data exists"):
        save_model(load_model(inline_file), tmp_path / "b.onnx", external_data=True)
    assert names(tmp_path) == ["b.onnx.data", "gemm.onnx"]


def test_folders(inline_file, tmp_path) -> None:
    model = load_model(inline_file)
    with pytest.raises(OutputError, match="is a folder"):
        save_model(model, tmp_path)
    with pytest.raises(OutputError, match="does not exist"):
        save_model(model, tmp_path / "nowhere" / "a.onnx")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(inline_file, tmp_path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    with pytest.raises(OutputError, match="not writable"):
        save_model(load_model(inline_file), folder / "a.onnx")


@pytest.mark.parametrize("external", [False, True])
def test_a_full_disk_leaves_the_old_file(inline_file, monkeypatch, external: bool) -> None:
    model, before = load_model(inline_file), inline_file.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("onnx_ir.save", full)
    with pytest.raises(OutputError, match=r"No space left on device\. Nothing was replaced"):
        save_model(model, inline_file, force=True, external_data=external)
    assert inline_file.read_bytes() == before
    assert names(inline_file.parent) == ["gemm.onnx"]


@pytest.mark.parametrize("external", ["False", "True"])
def test_a_write_that_the_system_cuts_off(inline_file, tmp_path, external: str) -> None:
    """A real failure in the middle of the write: the process may not write files of more than 4,000 bytes."""
    code = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000));"
        "from edgebig.graph.load import load_model; from edgebig.graph.save import save_model;"
        f"save_model(load_model({str(inline_file)!r}), {str(tmp_path / 'new.onnx')!r}, external_data={external})"
    )
    assert resource.RLIMIT_FSIZE is not None
    result = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "OutputError" in result.stderr.strip().split("\n")[-1]
    assert "File too large" in result.stderr.strip().split("\n")[-1]
    assert names(tmp_path) == ["gemm.onnx"]


def test_interruption_leaves_nothing_behind(inline_file, tmp_path, monkeypatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("onnx_ir.save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_model(load_model(inline_file), tmp_path / "new.onnx")
    assert names(tmp_path) == ["gemm.onnx"]


def test_too_large_for_one_file(inline_file, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("edgebig.graph.save.PROTOBUF_LIMIT", 5000)
    model = load_model(inline_file)
    with pytest.raises(OutputError, match="9600 bytes of weights exceed protobuf's limit"):
        save_model(model, tmp_path / "a.onnx", external_data=False)
    assert len(save_model(model, tmp_path / "a.onnx")) == 2


def test_weight_bytes_counts_what_is_written(build) -> None:
    text = """g (float[N, 4] x) => (float[N, 4] y) {
        k = Constant<value = float[4] {1.0, 2.0, 3.0, 4.0}>() a = MatMul(x, w) b = MatMul(a, v) y = Add(b, k) }"""
    model = build(text, w=np.zeros((4, 4), np.float32), v=np.zeros((4, 4), np.float32))
    assert weight_bytes(model) == 64 + 64 + 16
    model.graph.initializers["v"].const_value = model.graph.initializers["w"].const_value
    assert weight_bytes(model) == 64 + 64 + 16  # shared in memory, written twice


def test_weights_inside_branches_are_saved(build, tmp_path) -> None:
    text = """g (float[N, 2] x, bool q) => (float[N, 2] y) { y = If(q) <
        then_branch = t () => (float[N, 2] p) { c = Constant<value = float[2] {1.0, 2.0}>() p = Add(x, c) },
        else_branch = e () => (float[N, 2] n) { n = Neg(x) } > }"""
    model = working_copy(build(text))
    save_model(model, tmp_path / "if.onnx")
    result = Session(tmp_path / "if.onnx").run({"x": np.zeros((1, 2), np.float32), "q": np.array(True)})
    np.testing.assert_array_equal(result["y"], [[1, 2]])
