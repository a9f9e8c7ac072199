"""Whole models with real data: our kernels against onnxruntime, and against its float simulation of the graph."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from edgebig.export import export_model
from edgebig.optimize import optimize_model
from edgebig.quantize import quantize_model
from edgebig.records.export import ExportOptions
from edgebig.records.quantize import QuantizeOptions
from edgebig.runtime.cache import Cache
from edgebig.runtime.session import InferenceSession
from edgebig.runtime.sessions import to_bytes
from tests.runtime.nets import left_of, steps_of

pytestmark = pytest.mark.slow

STATIC = QuantizeOptions(scheme="int8", effort="fast", cache=False)


def session_of(model: bytes | Path, *, rewrite: bool = True) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    if not rewrite:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    source = model if isinstance(model, bytes) else str(model)
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def kernels_of(model: bytes | Path, shape: tuple[int, ...], name: str, cache: Cache) -> InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return InferenceSession(model, options, measure=False, cache=cache, shapes=[{name: shape}])


def test_fashion_mobilenet_is_one_segment_and_bit_exact(root: Path, cache: Cache) -> None:
    folder = root / "models" / "fashion_mobilenet"
    options = ExportOptions(weights=str(folder / "weights.safetensors"), sample=str(folder / "calibration.npz"))
    exported, _ = export_model(f"{folder / 'model.py'}:build", options=options)
    floats, _ = optimize_model(exported)
    model, _ = quantize_model(floats, data=str(folder / "calibration.npz"), options=STATIC)
    graph = to_bytes(model)
    name = model.graph.inputs[0].name or ""
    array = np.load(folder / "calibration.npz")[name][:64].astype(np.float32)
    batch = int(model.graph.inputs[0].shape[0]) if isinstance(model.graph.inputs[0].shape[0], int) else 1  # type: ignore[index]
    session = kernels_of(graph, (batch, *array.shape[1:]), name, cache)
    stock = session_of(graph)
    for start in range(0, len(array), batch):
        feed = {name: array[start : start + batch]}
        np.testing.assert_allclose(session.run(None, feed)[0], stock.run(None, feed)[0], rtol=1e-5, atol=1e-5)
    assert not left_of(session), session.explain()
    assert {"Conv", "Depthwise", "Table", "Multiply", "GlobalAveragePool"} <= set(steps_of(session))


class _Images(CalibrationDataReader):
    def __init__(self, images: np.ndarray) -> None:
        self._batches = iter(np.split(images, len(images) // 8))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"x": batch}


@pytest.mark.parametrize("name", ["cnn", "mobilenet", "resnet"])
@pytest.mark.parametrize("weight", [QuantType.QInt8, QuantType.QUInt8])
def test_nets_quantized_by_onnxruntime_are_bit_exact(
    name: str, weight: QuantType, shared: Path, tmp_path: Path, cache: Cache
) -> None:
    folder = shared / "models" / "fashion"
    images = np.load(folder / "calib512.npz")["x"].astype(np.float32)
    target = tmp_path / "int8.onnx"
    quantize_static(
        str(folder / f"{name}.onnx"),
        str(target),
        _Images(images[:64]),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=weight,
        per_channel=weight == QuantType.QInt8,
        reduce_range=True,  # weights of 7 bits: onnxruntime's sums do not saturate without VNNI either
    )
    session = kernels_of(target, (8, 1, 28, 28), "x", cache)
    stock = session_of(target)
    assert not left_of(session), session.explain()
    for batch in np.split(images[64:128], 8):
        np.testing.assert_array_equal(session.run(None, {"x": batch})[0], stock.run(None, {"x": batch})[0])


def test_minilm_gives_the_same_embeddings(root: Path, obtain_weights: Callable[[str], Path], cache: Cache) -> None:
    folder = root / "models" / "minilm_l6"
    options = ExportOptions(
        weights=str(obtain_weights("minilm_l6")),
        sample=str(folder / "calibration.npz"),
        dynamic=("input_ids:0=batch", "attention_mask:0=batch"),
    )
    exported, _ = export_model(f"{folder / 'model.py'}:build", options=options)
    floats, _ = optimize_model(exported)
    model, _ = quantize_model(floats, data=str(folder / "calibration.npz"), options=STATIC)
    graph = to_bytes(model)
    samples = np.load(folder / "calibration.npz")
    feeds = [{name: samples[name][i : i + 1] for name in samples.files} for i in range(8)]
    options_ = ort.SessionOptions()
    options_.intra_op_num_threads = 1
    session = InferenceSession(
        graph, options_, measure=False, cache=cache, shapes=[{name: a.shape for name, a in feeds[0].items()}]
    )
    stock = session_of(graph, rewrite=False)
    assert steps_of(session).count("Attention") == 6, session.explain()
    for feed in feeds:
        ours, expected = session.run(None, feed)[0], stock.run(None, feed)[0]
        # One rounding that goes the other way moves everything after it: the direction is what an embedding is for.
        cosine = float((ours * expected).sum() / np.sqrt((ours**2).sum() * (expected**2).sum()))
        assert cosine > 0.995


def test_a_model_in_memory_is_the_model_on_disk(root: Path, tmp_path: Path, cache: Cache) -> None:
    from tests.small_models import conv_net

    path = tmp_path / "net.onnx"
    ir.save(conv_net(), path)
    feed = {"image": np.random.default_rng(0).normal(size=(1, 4, 8, 8)).astype(np.float32)}
    both = [kernels_of(source, (1, 4, 8, 8), "image", cache) for source in (path, path.read_bytes())]
    a, b = (session.run(None, feed)[0] for session in both)
    np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(a, session_of(path).run(None, feed)[0], rtol=1e-4, atol=1e-5)
