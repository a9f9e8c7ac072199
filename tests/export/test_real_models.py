"""Real networks, from torch to ONNX."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch

from edgebig.export import ExportOptions, ExportRecord, export_model
from edgebig.export.open_module import open_torch_model
from edgebig.graph.save import save_model
from edgebig.graph.session import Session

pytestmark = pytest.mark.slow

SENTENCE_AXES = ("input_ids:0=batch", "input_ids:1=length", "attention_mask:0=batch", "attention_mask:1=length")


def _export(folder: Path, weights: Path, dynamic: tuple[str, ...]) -> tuple[ir.Model, ExportRecord, ExportOptions]:
    options = ExportOptions(
        source=f"{folder}/model.py:build",
        weights=str(weights),
        sample=str(folder / "calibration.npz"),
        dynamic=dynamic,
        outputs=("result",),
    )
    return *export_model(options.source, options=options), options


def _torch_result(options: ExportOptions, *arrays: np.ndarray) -> np.ndarray:
    module = open_torch_model(options.source, options).module
    with torch.no_grad():
        return module(*map(torch.from_numpy, arrays)).numpy()


def test_efficientnet_lite0(root: Path, obtain_weights: Callable[[str], Path], tmp_path: Path) -> None:
    folder = root / "models" / "efficientnet_lite0_fmnist"
    model, record, options = _export(folder, obtain_weights(folder.name), ("image:0=batch",))
    assert (record.exporter, record.notes, record.skipped) == ("dynamo", (), ())
    assert record.inputs[0].shape == ("batch", 1, 28, 28)
    assert record.outputs[0].shape == ("batch", 10)
    assert record.parameters == 3_383_818
    assert record.real_samples == 32
    assert record.sizes == ("batch=2", "batch=1", "batch=3", "batch=4", "batch=5")
    assert record.parity[0].worst_error < 5e-5
    # Batch norm is in the convolutions: 16 blocks of three (the first of two), the stem and the last one.
    operators = [node.op_type for node in model.graph]
    assert operators.count("Conv") == 49
    assert "BatchNormalization" not in operators
    (path,) = save_model(model, tmp_path / "m.onnx")
    with np.load(folder / "calibration.npz") as sample:
        images = sample["image"][:9]
    found, wanted = Session(path).run({"image": images})["result"], _torch_result(options, images)
    np.testing.assert_allclose(found, wanted, atol=5e-5 * float(np.sqrt(np.mean(wanted**2))))


def test_minilm(root: Path, obtain_weights: Callable[[str], Path], tmp_path: Path) -> None:
    folder = root / "models" / "minilm_l6"
    model, record, options = _export(folder, obtain_weights(folder.name), SENTENCE_AXES)
    assert (record.exporter, record.notes) == ("dynamo", ())
    assert {value.name: value.shape for value in record.inputs} == {
        "input_ids": ("batch", "length"),
        "attention_mask": ("batch", "length"),
    }
    assert record.outputs[0].shape == ("batch", 384)
    assert record.parameters == 22_565_376
    assert record.real_samples == 32
    assert {"batch=1, length=1", "batch=3, length=3"} <= set(record.sizes)
    assert record.parity[0].worst_error < 5e-5
    (path,) = save_model(model, tmp_path / "m.onnx")
    generator = np.random.default_rng(0)
    ids, mask = generator.integers(1000, 2000, (5, 41)), np.ones((5, 41), np.int64)
    mask[2:, 17:] = 0
    found = Session(path).run({"input_ids": ids, "attention_mask": mask})["result"]
    np.testing.assert_allclose(found, _torch_result(options, ids, mask), atol=2e-6)
    # What is masked does not count.
    short = Session(path).run({"input_ids": ids[2:, :17], "attention_mask": mask[2:, :17]})["result"]
    np.testing.assert_allclose(found[2:], short, atol=1e-5)


def test_fashion_mobilenet_by_name(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    if not (root / "models" / "fashion_mobilenet" / "weights.safetensors").is_file():
        pytest.skip("its weights are not in this checkout")
    model, record = export_model("fashion_mobilenet")
    assert record.exporter == "dynamo"
    assert record.inputs[0].shape[0] == "batch"
    assert record.real_samples == 32
    assert record.parity[0].worst_error < 5e-5
    assert "BatchNormalization" not in [node.op_type for node in model.graph]
