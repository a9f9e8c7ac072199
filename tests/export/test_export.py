"""Whole exports of small modules: what comes out, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from safetensors.torch import save_file

from edgebig.data.callables import load_callable
from edgebig.errors import InvalidDataError, QualityGateError, UsageError
from edgebig.export import ExportOptions, ExportRecord, export_model
from edgebig.export.opset import PREFERRED_OPSET
from edgebig.graph.provenance import read_provenance
from edgebig.graph.save import save_model
from edgebig.graph.session import Session

Shapes = dict[str, tuple[int | str, ...]]


def _shapes(values: Any) -> Shapes:
    return {value.name: value.shape for value in values}


def test_names_axes_and_structure_of_the_encoder(encoder: tuple[ir.Model, ExportRecord]) -> None:
    model, record = encoder
    assert _shapes(record.inputs) == {"ids": ("batch", "length"), "mask": ("batch", "length")}
    assert _shapes(record.outputs) == {"embedding": ("batch", 16), "longest": ("batch",)}
    assert [value.name for value in model.graph.inputs] == ["ids", "mask"]  # forward's order, not the sample's
    assert (record.exporter, record.opset, record.ir_version) == ("dynamo", PREFERRED_OPSET, 10)
    assert model.opset_imports[""] == PREFERRED_OPSET
    assert model.graph.name == "Encoder"
    assert "words.weight" in model.graph.initializers  # parameters keep their names


def test_the_encoder_is_proven_at_many_sizes_and_on_all_real_samples(encoder: tuple[ir.Model, ExportRecord]) -> None:
    _, record = encoder
    assert {"batch=2, length=9", "batch=1, length=9", "batch=2, length=1", "batch=5, length=9"} <= set(record.sizes)
    assert {"batch=2, length=19", "batch=4, length=18", "batch=1, length=1"} <= set(record.sizes)
    assert record.skipped == ()
    assert record.real_samples == 12
    rows = {row.output: row for row in record.parity}
    assert rows["embedding"].worst_error < 1e-5
    assert rows["longest"].worst_error == rows["longest"].tolerance == 0.0
    assert record.notes == ()


def test_the_encoder_runs_at_a_size_that_nobody_tried(encoder: tuple[ir.Model, ExportRecord], modules: Path) -> None:
    module = load_callable(f"{modules}:encoder", purpose="test")().eval()
    ids, mask = np.random.default_rng(3).integers(1, 40, (6, 33)), np.ones((6, 33), np.int64)
    mask[:, 20:] = 0
    found = Session(encoder[0]).run({"ids": ids, "mask": mask})
    with torch.no_grad():
        wanted = module(torch.from_numpy(ids), torch.from_numpy(mask))
    np.testing.assert_allclose(found["embedding"], wanted["embedding"].numpy(), atol=1e-5)
    np.testing.assert_array_equal(found["longest"], wanted["longest"].numpy())


def test_torchs_own_notes_are_gone_and_ours_are_there(
    encoder: tuple[ir.Model, ExportRecord], sentences: Path, tmp_path: Path
) -> None:
    model, _ = encoder
    (path,) = save_model(model, tmp_path / "encoder.onnx")
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    assert b"stack_trace" not in path.read_bytes()
    assert str(Path(__file__).parent).encode() not in path.read_bytes()  # no folders of this machine
    assert not {value.name for value in proto.graph.value_info} & {tensor.name for tensor in proto.graph.initializer}
    (step,) = read_provenance(model)
    assert step.step == "export"
    assert step.options["source"] == "modules.py:encoder"
    assert set(step.inputs) == {"modules.py", sentences.name}


def test_the_record_survives_json(encoder: tuple[ir.Model, ExportRecord]) -> None:
    _, record = encoder
    assert ExportRecord.from_json(record.to_json()) == record
    assert json.loads(record.to_json())["schema"] == "edgebig.export"
    assert record.describe_sizes().startswith("batch 1, 2, 3, 4, 5; length 1, 2, 3, 9, 18, 19 (")


def test_two_inputs_of_one_shape_stay_apart(make: Callable[[str], Any]) -> None:
    options = ExportOptions(inputs=("right:float32:?x4", "left:float32:?x4"), outputs=("difference",), opset=18)
    model, record = export_model(make("Difference"), options=options)
    found = Session(model).run({"left": np.full((3, 4), 5, np.float32), "right": np.ones((3, 4), np.float32)})
    assert found["difference"].tolist() == [[3.0] * 4] * 3
    assert [value.name for value in record.inputs] == ["left", "right"]
    assert record.opset == model.opset_imports[""] == 18
    assert record.source == "Difference"


def test_a_branch_on_values_fails_at_the_gate(make: Callable[[str], Any]) -> None:
    with pytest.raises(QualityGateError) as caught:
        export_model(make("ValueBranch"), options=ExportOptions(inputs=("x:float32:?x4",), seed=1))
    text = str(caught.value)
    assert "ValueBranch: the exported model is not equal to the module." in text
    assert "branches on a tensor's values at modules.py:" in text
    assert "if x.sum() > 0" in text
    assert "torchscript: output 'output' at batch=" in text
    assert "of its scale" in text
    assert len(text.splitlines()) == 3  # no pages of trace
    assert caught.value.exit_code == 3


def test_what_is_random_cannot_be_compared(make: Callable[[str], Any]) -> None:
    with pytest.raises(QualityGateError, match="'output' differs between two runs on the same inputs"):
        export_model(make("Random"), options=ExportOptions(inputs=("x:float32:2x4",)))


def test_an_axis_that_the_module_fixes_is_named_with_the_line(make: Callable[[str], Any]) -> None:
    options = ExportOptions(inputs=("x:float32:?x7x4",), dynamic=("x:1=length",))
    with pytest.raises(
        UsageError, match=r"axis 'length' cannot be dynamic.* other size than 7: .*modules.py:\d+: return"
    ):
        export_model(make("Positions"), options=options)


def test_an_example_that_the_module_refuses_is_named(make: Callable[[str], Any]) -> None:
    with pytest.raises(UsageError, match=r"forward refuses the example \(x float32\[2, 5\]\): RuntimeError: mat1"):
        export_model(make("SizeBranch"), options=ExportOptions(inputs=("x:float32:2x5",)))
    with pytest.raises(UsageError, match=r"forward refuses the example \(x float64\[2, 4\]\)"):
        export_model(make("SizeBranch"), options=ExportOptions(inputs=("x:float64:2x4",)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": ("y:float32:2x4", "z:float32:2x4")}, "2 inputs are given"),
        ({"inputs": ("x:float32:2x4", "y:float32:2x4")}, "'y' is no parameter of forward"),
        ({"inputs": ("x:float32:2x4",), "sizes": ("n=2",)}, "'n', which is no dynamic axis"),
        ({"inputs": ("x:float32:2x4",), "outputs": ("a", "b")}, "2 names of outputs are given, forward returns 1"),
        ({"inputs": ("x:float32:2x4",), "opset": 99}, "opset 99"),
        ({}, "needs to know the inputs"),
    ],
)
def test_a_wrong_request_is_refused_before_exporting(
    make: Callable[[str], Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        export_model(make("SizeBranch"), options=ExportOptions(**options))


def test_weights_and_samples_that_do_not_fit_are_refused(
    make: Callable[[str], Any], modules: Path, tmp_path: Path
) -> None:
    save_file(make("SizeBranch").state_dict(), tmp_path / "w.safetensors")
    options = ExportOptions(inputs=("image:float32:?x3x8x8",), weights=str(tmp_path / "w.safetensors"))
    with pytest.raises(InvalidDataError, match=r"missing: first.weight"):
        export_model(f"{modules}:conv_net", options=options)
    np.savez(tmp_path / "s.npz", x=np.zeros((4, 3), np.float32))
    options = ExportOptions(inputs=("x:float32:?x4",), sample=str(tmp_path / "s.npz"))
    with pytest.raises(InvalidDataError, match="has shape"):
        export_model(make("SizeBranch"), options=options)


@pytest.mark.slow
def test_a_branch_on_the_size_fails_just_above_it(make: Callable[[str], Any]) -> None:
    options = ExportOptions(inputs=("x:float32:?x4",))
    with pytest.raises(QualityGateError, match=r"dynamo: .* at batch=11: .*for 'batch' up to 10 only"):
        export_model(make("SizeBranch"), options=options)
    # Within the sizes that the user says, the graph is right.
    _, record = export_model(make("SizeBranch"), options=ExportOptions(inputs=options.inputs, sizes=("batch=1,10",)))
    assert record.sizes == ("batch=2", "batch=1", "batch=10")


@pytest.mark.slow
def test_a_loop_over_the_length_is_named(make: Callable[[str], Any]) -> None:
    options = ExportOptions(inputs=("x:float32:?x7x4",), dynamic=("x:1=length",))
    with pytest.raises(QualityGateError) as caught:
        export_model(make("Unrolled"), options=options)
    assert "dynamo: axis 1 ('length') of 'x' is fixed at 7 by modules.py:" in str(caught.value)
    assert "for i in range(x.shape[1])" in str(caught.value)
    assert "torchscript: at batch=2, length=1: onnxruntime fails" in str(caught.value)
    # With the length fixed it is a plain module.
    _, record = export_model(make("Unrolled"), options=ExportOptions(inputs=options.inputs))
    assert record.inputs[0].shape == ("batch", 7, 4)


@pytest.mark.slow
def test_the_older_exporter_takes_over_and_the_record_says_so(
    make: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("an operator is missing\nand a page of trace")

    # torch's own dynamo exporter fails on some modules with every version; this makes it fail on a good one.
    monkeypatch.setattr("torch.onnx._internal.exporter._compat.export_compat", failing)
    model, record = export_model(make("ConvNet"), options=ExportOptions(inputs=("image:float32:?x3x8x8",)))
    assert record.exporter == "torchscript"
    (note,) = record.notes
    assert note.startswith("dynamo failed: torch stopped at test_export.py:")
    assert note.endswith(": RuntimeError: an operator is missing")
    assert record.opset == model.opset_imports[""] == PREFERRED_OPSET
    assert _shapes(record.inputs) == {"image": ("batch", 3, 8, 8)}
    assert Session(model).run({"image": np.zeros((4, 3, 8, 8), np.float32)})["output"].shape == (4, 5)


@pytest.mark.slow
@pytest.mark.parametrize("opset", [13, 17, 20, 22])
def test_other_opsets(make: Callable[[str], Any], opset: int) -> None:
    options = ExportOptions(inputs=("image:float32:?x3x8x8",), opset=opset)
    model, record = export_model(make("ConvNet"), options=options)
    assert record.opset == model.opset_imports[""] == opset
    assert record.parity[0].worst_error < 1e-4
