"""Real models: outputs stay, nothing grows, and what onnxruntime fuses by itself it still fuses.

The fashion models lie beside the repository on some machines. The others are looked for in the folder that the
variable EDGEBIG_REFERENCE_WEIGHTS names (default: `models/weights` beside those).
"""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgebig.graph.inspection import inspect_model
from edgebig.graph.load import load_model
from edgebig.graph.save import save_model
from edgebig.graph.session import Session
from edgebig.optimize import optimize_model

pytestmark = pytest.mark.slow
Feeds = list[dict[str, NDArray]]


def runtime_operators(path: Path, folder: Path) -> Counter[str]:
    """What onnxruntime makes of a model at its own highest level."""
    ort = pytest.importorskip("onnxruntime")
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(folder / "runtime.onnx")
    ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in ir.traversal.RecursiveGraphIterator(ir.load(folder / "runtime.onnx").graph))


def check(source: Path, feeds: object, folder: Path, *, tolerance: float = 1e-5) -> Counter[str]:
    """Optimize, save, load, compare by hand; returns the operators of the result."""
    result, record = optimize_model(source, data=feeds)  # type: ignore[arg-type]
    target = folder / "optimized.onnx"
    save_model(result, target)
    assert record.left_out == {}
    assert record.worst_error <= tolerance
    assert target.stat().st_size <= source.stat().st_size + 1000  # the stamp of the step
    before, after = runtime_operators(source, folder), runtime_operators(target, folder)
    for fused in ("Gelu", "BiasGelu", "LayerNormalization", "SkipLayerNormalization", "FusedConv", "FusedGemm"):
        assert after[fused] >= before[fused], (fused, before, after)
    assert after.total() <= before.total()
    return Counter(record.nodes_after)


@pytest.mark.parametrize("name", ["cnn", "mobilenet", "resnet", "vit", "lstm"])
def test_fashion(shared: Path, tmp_path: Path, name: str) -> None:
    folder = shared / "models" / "fashion"
    operators = check(folder / f"{name}.onnx", folder / "calib512.npz", tmp_path)
    if name == "lstm":
        assert operators.total() == 32  # of 56: the reordering of the gates is done ahead
    x = {"x": np.load(folder / "calib512.npz")["x"][:7].astype(np.float32)}
    expected, result = (Session(path).run(x)["y"] for path in (folder / f"{name}.onnx", tmp_path / "optimized.onnx"))
    np.testing.assert_allclose(result, expected, atol=1e-5 * np.abs(expected).max())


def pitch(shared: Path, path: Path) -> Feeds:
    pcm = np.load(shared / "models" / "data" / "calib_basic_pitch_nmp.npz")["pcm"].astype(np.float32) / 32767
    return [{"serving_default_input_2:0": row[None, :, None]} for row in pcm[:4]]


def file_types(shared: Path, path: Path) -> Feeds:
    x = np.load(shared / "models" / "data" / "calib_magika_standard_v3_3.npz")["x"].astype(np.int32)
    return [{"bytes": x[start : start + 8]} for start in range(0, 32, 8)]


def voice(shared: Path, path: Path) -> Feeds:
    """The state is what the frame before gave."""
    pcm = np.load(shared / "models" / "data" / "calib_silero_vad.npz")["pcm"].astype(np.float32) / 32768
    session, feeds = Session(path), []
    state, context = np.zeros((2, 1, 128), np.float32), np.zeros(64, np.float32)
    for start in range(0, 60 * 512, 512):
        chunk = pcm[start : start + 512]
        feed = {"input": np.concatenate([context, chunk])[None], "state": state, "sr": np.array(16000, np.int64)}
        feeds.append(feed)
        state, context = session.run(feed)["stateN"], chunk[-64:]
    return feeds


def lines(shared: Path, path: Path) -> Feeds:
    rng = np.random.default_rng(0)
    return [{"x": rng.uniform(-1, 1, (1, 3, 48, width)).astype(np.float32)} for width in (320, 500)]


OTHERS: dict[str, tuple[Callable[[Path, Path], Feeds], dict[str, int]]] = {
    "basic_pitch_nmp": (pitch, {"Add": 2}),  # one of them adds 1e-10 before a logarithm
    "magika_standard_v3_3": (file_types, {"Conv": 1}),
    "silero_vad": (voice, {"If": 3, "LSTM": 2, "Constant": 0}),
    "silero_vad_16k_op15": (voice, {"If": 1, "LSTM": 1, "Slice": 2}),
    "ppocrv6_rec_small": (lines, {"Identity": 0, "BatchNormalization": 0, "ReduceMean": 15}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_models(shared: Path, tmp_path: Path, name: str) -> None:
    folder = Path(os.environ.get("EDGEBIG_REFERENCE_WEIGHTS", shared / "models" / "weights"))
    path = folder / f"{name}.onnx"
    if not path.is_file():
        pytest.skip(f"{path} is not on this machine")
    make_feeds, wanted = OTHERS[name]
    operators = check(path, make_feeds(shared, path), tmp_path)
    assert {op: operators[op] for op in wanted} == wanted
    assert (load_model(tmp_path / "optimized.onnx").opset_imports[""] or 0) >= 13
    facts = inspect_model(tmp_path / "optimized.onnx")
    assert facts.shape_problem is None
    assert facts.parameters > 0
